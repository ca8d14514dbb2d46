"""Covariance of the Gaussian process: a linear and a smooth part."""

from __future__ import annotations

import numpy as np


def covariance(a: np.ndarray, b: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Covariance without noise between two sets of inputs: linear 12/P a . b + smooth exp(-|a - b|^2 / (2 P length^2)).

    Parameters
    ----------
    a, b : P scaled parameters of each member, ``(member, parameter)``.
    table : linear variance, smooth variance, length and noise variance (not looked at), ``(row, 4)``.

    Returns
    -------
    ``(row, member of a, member of b)``. With P parameters spread evenly over -0.5 to 0.5 the linear part has a variance of
    `linear` on average.

    Examples
    --------
    >>> covariance(np.zeros((1, 2)), np.zeros((1, 2)), np.array([[1.0, 2.0, 1.0, 0.1]])).item()
    2.0
    """
    count = max(a.shape[1], 1)
    product = 12.0 / count * np.einsum("ip,jp->ij", a, b)
    distance = ((a[:, None] - b[None]) ** 2).sum(-1) / count
    linear, smooth, length = (table[:, i, None, None] for i in range(3))
    return linear * product + smooth * np.exp(-0.5 * distance / length**2)
