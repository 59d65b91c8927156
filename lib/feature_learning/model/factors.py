"""Cholesky factors in double precision, with one error message for matrices that have none."""

from __future__ import annotations

import torch
from torch import Tensor

from feature_learning.errors import ArgumentError


def cholesky(system: Tensor, *, kappa: float, what: str) -> Tensor:
    """Lower factor of a positive definite matrix, or of a batch of them, (..., n, n).

    Parameters
    ----------
    system : Tensor
    kappa : float
        Noise scale: the smaller it is, the closer the matrix is to singular.
    what : str
        Name of the matrix in the error message.

    Raises
    ------
    ArgumentError
        If the matrix is not positive definite in its precision.
    """
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(system)
    if bool(info.any()) or not bool(torch.isfinite(factor).all()):
        raise ArgumentError(
            f"kappa must be larger: at {kappa!r} {what} is not positive definite in double "
            "precision"
        )
    return factor
