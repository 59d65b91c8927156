"""The name of a stored result: a digest of its seed and of all that determines its distribution.

The digest covers the whole configuration and the version of its method (:data:`METHOD_VERSIONS`),
not the source code.

Every field of the configuration is part of the key. The device is included because a GPU draws
other random numbers; ``tile_elements`` is included because sums in another order round differently,
which chaotic chains amplify to other samples of the same distribution. Two things are left out,
although they change the noise of a seed: the processor, and the presence of the compiled code
(:func:`feature_learning.model.randomness.normal_`). A folder holds numbers of one distribution, and
neither changes it; the provenance of a result names the machine that computed it. A superfluous
option in the key costs a computation; a missing one would mix results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import configure, flat, key_names, kinds, later
from feature_learning.experiments.methods import METHODS

#: Raise the ``version`` of a method when the distribution of its numbers changes: stored results
#: of the old version are then refused. An edit that only rounds differently, or draws other noise
#: of the same distribution, leaves it unchanged: it must not throw away hours of computing.
METHOD_VERSIONS = {name: method.version for name, method in METHODS.items()}


def canonical(config: PointConfig) -> dict[str, Any]:
    """The configuration in the form that enters the key: κ = 1 and κ = 1.0 are equal."""
    plain: dict[str, Any] = {}
    neutral, names = later(), key_names()
    for name, value in flat(config).items():
        if name in neutral and value == neutral[name]:
            continue
        key = names.get(name, name)
        if name.startswith("teacher."):  # of a teacher of one's own
            plain[key] = list(value) if isinstance(value, tuple) else value
        elif value is None or isinstance(value, str | bool):
            plain[key] = value
        else:
            plain[key] = float(value) if float in kinds(name) else int(value)
    return plain


def configuration(fields: Mapping[str, Any]) -> PointConfig:
    """The configuration of such a canonical form.

    Raises
    ------
    ArgumentError
        If there is no such configuration.
    """
    names = {key: name for name, key in key_names().items()}
    return configure(**{names.get(key, key): value for key, value in dict(fields).items()})


def cell_key(config: PointConfig, version: int | None = None) -> str:
    """Name of a cell: method and samples in readable form, then the digest.

    Parameters
    ----------
    config : PointConfig
    version : int, optional
        Version of the method; this library's by default.
    """
    identity = {
        "config": canonical(config),
        "method_version": METHOD_VERSIONS[config.method.name] if version is None else version,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    return f"{config.method.name}-P{config.n_train}-{digest}"
