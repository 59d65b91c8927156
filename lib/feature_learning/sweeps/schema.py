"""The columns of a table of results, and the values of a stored result in them.

A result whose numbers have wrong types is treated as damaged, like one with a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from feature_learning.errors import LARGEST_INTEGER
from feature_learning.experiments.flat import hints

if TYPE_CHECKING:
    from feature_learning.sweeps.store import StoredResult

#: Field to the name of its column, where the field's own name is that of a measured value.
_RENAMED = {"langevin_time": "asked_langevin_time", "step": "asked_step"}
_MEASURED = {
    "predictor": "string",
    "test_mse_one_sample": "Float64",
    "test_mse_one_sample_sem": "Float64",
    "test_mse_posterior_mean": "Float64",
    "test_mse_posterior_mean_sem": "Float64",
    "train_mse": "Float64",
    "train_mse_sem": "Float64",
    "m_S": "Float64",
    "m_S_sem": "Float64",
    "noise": "Float64",
    "noise_sem": "Float64",
    "relevant_variance": "Float64",
    "relevant_variance_sem": "Float64",
    "specialised": "Float64",
    "specialised_sem": "Float64",
    "codes": "string",
    "agreement": "string",
    "agreeing_chains": "Int64",
    "log_evidence": "Float64",
    "log_evidence_sem": "Float64",
    "staying": "Float64",
    "langevin_time": "Float64",
    "step": "Float64",
    "steps": "Int64",
    "kinetic_temperature": "Float64",
    "swap_rate": "Float64",
    "curvature": "Float64",
    "r_hat_max": "Float64",
    "ess_min": "Float64",
    "converged": "boolean",
    "interrupted": "boolean",
    "wall_seconds": "Float64",
}
#: Columns added later; they are empty in older tables.
LATER = (
    *("relevant_variance", "relevant_variance_sem", "swap_rate"),
    *("specialised", "specialised_sem", "codes"),
    *("log_evidence", "log_evidence_sem", "staying"),
    *("agreement", "agreeing_chains"),
)
_ORIGIN = {
    "method_version": "Int64",
    "library_version": "string",
    "revision": "string",
    "date_utc": "string",
    "machine": "string",
    "cores": "Int64",
    "threads": "Int64",
    "torch_version": "string",
}


@cache
def schema() -> dict[str, str]:
    """The pandas type of every column by name, in order."""
    kinds = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}
    columns = {"block": "string", "key": "string"}
    for name, hint in hints().items():
        kind = next(kinds[each] for each in (hint, *get_args(hint)) if each in kinds)
        columns[_RENAMED.get(name, name)] = kind
    return columns | _MEASURED | _ORIGIN


def values_of(cell: StoredResult, blocks: Sequence[str] = ()) -> dict[str, Any]:
    """The row of a stored result: a value, or None, for each column."""
    row, origin = cell.row, cell.provenance
    machine = origin["machine"]
    sampled = row["predictor"] == "one sample"
    values: dict[str, Any] = {"block": "; ".join(blocks), "key": cell.key}
    for name, value in row["config"].items():
        values[_RENAMED.get(name, name)] = value
    for suffix in ("", "_sem"):
        # The NNGP predicts with the posterior mean, not with a sample.
        values[f"test_mse_one_sample{suffix}"] = row[f"test_mse{suffix}"] if sampled else None
    return values | {
        "predictor": row["predictor"],
        **{
            name: row.get(name)
            for name in _MEASURED
            if name not in values and name not in ("predictor", "r_hat_max", "ess_min")
        },
        "r_hat_max": row["r_hat"],
        "ess_min": row["ess"],
        "wall_seconds": cell.wall_seconds,
        "method_version": cell.method_version,
        "library_version": origin["library_version"],
        "revision": origin["revision"],
        "date_utc": origin["date_utc"],
        "machine": machine["cpu"] if machine["device"] == "cpu" else machine["device"],
        "cores": machine["cores"],
        "threads": machine["threads"],
        "torch_version": machine["torch"],
    }


def column_of(field: str) -> str:
    """The column that holds a field of the configuration."""
    return _RENAMED.get(field, field)


def check_values(cell: StoredResult) -> None:
    """Check that every value of a stored result fits the type of its column.

    Raises
    ------
    ValueError
        Names the column and the value.
    KeyError, TypeError
        If a part of the result is missing or has a wrong type.
    """
    values = values_of(cell)
    for name, kind in schema().items():
        value = values[name]
        if value is not None and not _fits(value, kind):
            raise ValueError(f"{name} is {value!r}")


def _fits(value: object, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    whole = isinstance(value, int)
    if whole and abs(value) > LARGEST_INTEGER:
        return False  # too large for a column of real numbers as well
    return whole or kind == "Float64"
