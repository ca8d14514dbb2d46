"""The fair continuous ranked probability score: its expectation does not depend on the number of members."""

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
