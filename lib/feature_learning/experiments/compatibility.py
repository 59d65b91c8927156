"""Which parts of a configuration are incompatible, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_learning.errors import ArgumentError, check_integer, check_scale
from feature_learning.experiments.methods import MeanField, MeanFieldARD, NetworkPosterior
from feature_learning.experiments.runs import AsPublished, Chains, Populations
from feature_learning.model.teachers import SingleIndex, SparseParity, name_of
from feature_learning.samplers.registry import SamplerOptions, SGLDOptions

if TYPE_CHECKING:
    from feature_learning.experiments.config import PointConfig


def check_together(config: PointConfig) -> None:
    """Refuse a run that cannot sample the energy of the method.

    Raises
    ------
    ArgumentError
        Names the two incompatible parts.
    """
    run, method = config.run, config.method
    if isinstance(run, Populations):
        _check_evidence(config, run)
    if isinstance(run, AsPublished):
        if not isinstance(method, NetworkPosterior):
            raise ArgumentError(
                f"protocol published needs method network, not method {method.name}"
            )
        if name_of(config.teacher) not in (SparseParity.name, SingleIndex.name):
            raise ArgumentError(
                "protocol published needs teacher parity or single-index, "
                f"not {name_of(config.teacher)}"
            )
        if run.start == "released":
            raise ArgumentError("start released is for runs without protocol published")
    if isinstance(run, Chains):
        if run.code is not None and not isinstance(method, NetworkPosterior):
            raise ArgumentError(
                f"code has no effect with method {method.name}: it is for method network"
            )
        _check_start_and_replicas(config, run)
        _check_sampler(config, run.sampler)


def _check_evidence(config: PointConfig, run: Populations) -> None:
    """An evidence needs a plain network, whose readouts can be integrated out."""
    method = config.method
    if type(method) is not NetworkPosterior:
        raise ArgumentError(f"sampler {run.name} needs method network, not method {method.name}")
    for name, value, needed in (
        ("homogeneity_penalty", method.homogeneity_penalty, 0.0),
        ("tilt", method.tilt, 1.0),
        ("output_bias_variance", config.network.output_bias_variance, None),
    ):
        if value != needed:
            raise ArgumentError(f"sampler {run.name} needs {name} = {needed!r}, not {value!r}")


def _batch_size(config: PointConfig, sampler: SamplerOptions) -> int | None:
    """Size of a mini-batch, at most the number of training samples; None without mini-batches."""
    batch = sampler.batch_size if isinstance(sampler, SGLDOptions) else None
    if batch is not None:
        check_integer("batch_size", batch, at_least=1, at_most=config.n_train)
    return batch


def _check_start_and_replicas(config: PointConfig, run: Chains) -> None:
    """A released start changes the energy; replica exchange needs fixed energies."""
    method, sampler = config.method, run.sampler
    network, batch = type(method) is NetworkPosterior, _batch_size(config, sampler)
    if run.start == "released" and (not network or sampler.fixed_energy or batch is not None):
        raise ArgumentError(
            "start released changes the prior during the run: it needs method network without "
            f"batch_size and a sampler that takes any energy, not method {method.name}, "
            f"sampler {sampler.name}, batch_size {batch}"
        )
    kappas = sampler.kappas(config.kappa)
    if len(kappas) == 1:
        return
    # Powers of kappa do not overflow within these bounds.
    check_scale("kappa of the last of replicas", kappas[-1])
    if type(method) is not NetworkPosterior:
        raise ArgumentError(
            f"replicas has no effect with method {method.name}: it is for method network"
        )
    if run.start == "released" or batch is not None or method.homogeneity_penalty:
        raise ArgumentError(
            f"replicas = {len(kappas)} needs one fixed energy at every kappa: no start released, "
            f"batch_size or homogeneity_penalty, not start {run.start}, batch_size {batch}, "
            f"homogeneity_penalty {method.homogeneity_penalty:g}"
        )


def _check_sampler(config: PointConfig, sampler: SamplerOptions) -> None:
    """Check the requirements that the sampler's class declares."""
    method, batch = config.method, _batch_size(config, sampler)
    ard = isinstance(method, MeanFieldARD)
    if sampler.fixed_energy and isinstance(method, MeanField) and (ard or method.collapsed):
        raise ArgumentError(
            f"sampler {sampler.name} needs method network, or mf with solver particles, "
            f"not method {method.name} with solver {method.solver}"
        )
    if batch is not None and ard:
        raise ArgumentError(
            "batch_size has no effect with method mf-ard: it is for methods network and mf"
        )
    if (sampler.particles or batch is not None) and config.collapsed:
        what = "batch_size" if batch is not None else f"sampler {sampler.name}"
        raise ArgumentError(f"{what} needs solver particles, not solver collapsed")
    if not sampler.output_bias and config.network.output_bias_variance is not None:
        raise ArgumentError(
            f"sampler {sampler.name} needs a network without output bias, not "
            f"output_bias_variance = {config.network.output_bias_variance!r}"
        )
