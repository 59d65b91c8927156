"""The command ``feature-learning point``: one point of a figure."""

from __future__ import annotations

import json
from typing import Any

import torch

from feature_learning.cli.ending import answer, check_output, say
from feature_learning.errors import check_integer
from feature_learning.experiments.flat import check_sampler_said, configure
from feature_learning.experiments.point import run_point
from feature_learning.experiments.row import MEASURED, Point
from feature_learning.inference.interruption import exit_code


def run_command(command: str, options: dict[str, Any]) -> int:
    """Compute and print a point; returns the exit code. ``options`` are the options given."""
    as_json, quiet = options.pop("json", False), options.pop("quiet", False)
    checkpoint, threads = options.pop("checkpoint", None), options.pop("threads", None)
    max_time = options.pop("max_time", None)
    check_sampler_said(options)
    config = configure(**options)
    if threads is not None:
        torch.set_num_threads(check_integer("threads", threads, at_least=1, at_most=1024))
    check_output()
    point = run_point(config, progress=not quiet, checkpoint=checkpoint, max_time=max_time)
    if point.row["interrupted"] and checkpoint is not None and not quiet:
        say("feature-learning", f"saved in {checkpoint}; the same command resumes from there")
    answer(json.dumps(point.row, allow_nan=False) if as_json else _table(point))
    return exit_code() if point.row["interrupted"] else 0


def _table(point: Point) -> str:
    """The row as a table for people."""
    row, config = point.row, point.row["config"]
    lines = [
        f"{config['method']}, {config['teacher']} d={config['dim']} k={config['sparsity']}, "
        f"P={config['n_train']}, kappa={config['kappa']:g}"
    ]
    if row["interrupted"] and all(row[name] is None for name in MEASURED):
        if row["m_S_last"] is None:
            lines.append("interrupted before the first measurement: there are no numbers")
        else:
            lines += [
                f"interrupted during burn-in, after {row['steps']} steps and Langevin time "
                f"{row['langevin_time']:.6g}",
                f"last measurement: m_S {row['m_S_last']:.4g}, test MSE {row['test_mse_last']:.4g}",
            ]
        return "\n".join(lines)
    lines.append(f"{'':28}{'value':>12}{'std. error':>14}")
    names = {
        "test_mse": f"test MSE, {row['predictor']}",
        "test_mse_posterior_mean": "test MSE, posterior mean",
        "train_mse": "training MSE",
        "m_S": "m_S",
        "noise": "noise",
    }
    exact = config["method"] == "nngp"
    for name in MEASURED:
        if exact and name == "test_mse_posterior_mean":
            continue  # test_mse is already that of the posterior mean
        value, error = (
            "-" if number is None else f"{number:.4g}" for number in (row[name], row[f"{name}_sem"])
        )
        lines.append(f"{names[name]:28}{value:>12}{error:>14}")
    if exact:
        lines.append(f"exact: nothing is sampled; {row['seconds']:.1f} s")
        return "\n".join(lines)
    if row["specialised"] is not None:
        codes = "" if row["codes"] is None else f"; codes: {row['codes']}"
        lines.append(f"{row['specialised']:.4g} specialised neurons{codes}")
    if row["swap_rate"] is not None:
        lines.append(
            f"{config['replicas']} replicas; lowest swap acceptance between neighbours "
            f"{100 * row['swap_rate']:.0f} %"
        )
    if row.get("agreement") is None:
        return "\n".join([*lines, *_evidence_lines(row)])
    hat, size = ("-" if row[key] is None else f"{row[key]:.4g}" for key in ("r_hat", "ess"))
    reasons = row["not_converged_because"]
    lines += [
        f"R-hat {hat}, effective sample size {size}; {row['steps']} steps, "
        f"Langevin time {row['langevin_time']:.6g}, {row['seconds']:.1f} s",
        f"{row['agreement']}:" if reasons else row["agreement"],
        *(f"  {reason}" for reason in reasons),
    ]
    return "\n".join(lines)


def _evidence_lines(row: dict[str, Any]) -> list[str]:
    """The lines about populations or integrals, in place of R-hat."""
    resampled = row["config"]["sampler"] == "population"
    kind = "populations" if resampled else "integrals"
    error = row["log_evidence_sem"]
    spread = "" if error is None else f" +- {error:.2g}"
    values = ", ".join("-" if value is None else f"{value:.2f}" for value in row["populations"])
    families = ", ".join(map(str, row["surviving_families"]))
    shares = ", ".join(f"{value:.3g}" for value in row["concentration"])
    noises = ", ".join(map(str, row["noises"]))
    # Members of an integral are never resampled.
    lost = f"families left {families}; rho_t {shares}; " if resampled else ""
    reasons = row["not_converged_because"]
    return [
        f"log evidence {row['log_evidence']:.2f}{spread}; single {kind}: {values}",
        f"{lost}noises {noises}; {row['seconds']:.1f} s",
        "NOT converged:" if reasons else "converged",
        *(f"  {reason}" for reason in reasons),
    ]
