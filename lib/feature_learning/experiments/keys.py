"""The name of a stored result: a digest of everything that decides their law, and the seed.

That is the whole configuration and the version of its method
(:data:`METHOD_VERSIONS`), not the source code.

Every field of the configuration is part of the key. The device is, because a GPU draws other
random numbers; ``block_elements`` is, because sums in another order round differently, and
chaotic chains turn that into other samples of the same law. Two things are not part of it: the
processor and the compiled code, with or without which one seed has one noise or another
(:func:`feature_learning.randomness.normal_`). A folder is for numbers of one law, and both give it;
the provenance of a result says on which machine it was computed. An option too many in the key
costs a computation; one too few would mix results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import configure, flat, key_names, kinds, later

#: Raise a method's number when the law of its numbers changes: stored results of the old number are
#: then no longer taken for those of this library. An edit that only rounds differently, or draws
#: other noise of the same law, leaves it alone: it must not throw away hours of computing.
METHOD_VERSIONS = {"network": 1, "mf": 1, "mf-ard": 1, "nngp": 1}


def canonical(config: PointConfig) -> dict[str, Any]:
    """The configuration as it enters the key: 1 and 1.0 are the same κ."""
    plain: dict[str, Any] = {}
    neutral, names = later(), key_names()
    for name, value in flat(config).items():
        if name in neutral and value == neutral[name]:
            continue
        key = names.get(name, name)
        if value is None or isinstance(value, str | bool):
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
    """Name of a cell: method and samples for people, a digest of everything for the machine.

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
    return f"{config.method.name}-P{config.samples}-{digest}"
