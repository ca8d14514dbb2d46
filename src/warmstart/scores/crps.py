"""The continuous ranked probability score: of samples, fair whatever their number, and of a normal law in closed form."""

from __future__ import annotations

import numpy as np


def fair_crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair continuous ranked probability score of numbers.

    Parameters
    ----------
    samples : ``(sample, ...)``, in any order.
    truth : ``(...)``.

    Returns
    -------
    Score ``(...)``: E|X - y| - E|X - X'| / 2; the absolute error of a single sample.

    Notes
    -----
    Ferro (2014, doi:10.1002/qj.2270); the sum over pairs by ranks, which needs no array of pairs.

    Examples
    --------
    >>> fair_crps(np.array([[0.0], [2.0]]), np.array([1.0])).tolist()
    [0.0]
    """
    n = len(samples)
    distance = np.abs(samples - truth).mean(0)
    if n < 2:
        return distance
    rank = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * (samples.ndim - 1))
    return distance - (rank * np.sort(samples, axis=0)).sum(0) / (n * (n - 1))


def gaussian_crps(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of a normal law (Gneiting and Raftery 2007, eq. 21).

    Parameters
    ----------
    error : observation minus mean.
    std : standard deviation of the law, not negative; 0 gives the absolute error.

    Returns
    -------
    Score in the units of `error`.

    Examples
    --------
    >>> gaussian_crps(np.array([2.0]), np.array([0.0])).tolist()
    [2.0]
    """
    from scipy.special import ndtr

    positive = std > 0
    safe = np.where(positive, std, 1.0)
    z = error / safe
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    score = safe * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(positive, score, np.abs(error))
