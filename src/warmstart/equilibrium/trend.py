"""Trends of a series, with an interval that counts independent values only. Numpy only."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from warmstart.equilibrium.approach import independent_values

CONFIDENCE = 0.95  #: of intervals, and of the transports being stationary all together


def trend(year: np.ndarray, values: np.ndarray, regime: np.ndarray | None = None) -> tuple[float, float]:
    """Fit a straight line by least squares; the standard error counts independent values only.

    The residuals of an ocean series remember each other; the number of independent ones is n (1 - r) / (1 + r) with
    r their lag-one correlation (Santer et al. 2000, J. Geophys. Res. 105, 7337).

    Parameters
    ----------
    year : times, shape ``(n,)``, n >= 3 [years].
    values : shape ``(n,)`` [any].
    regime : shape ``(n,)``, equal for years that may be compared; where it changes the line may jump. None: all may be.

    Returns
    -------
    Slope and its standard error [units of `values` a year]; NaN if a value is not finite.

    Examples
    --------
    >>> slope, error = trend(np.arange(4.0), np.array([0.0, 2.0, 4.0, 6.0]))
    >>> round(slope, 12), round(error, 12)
    (2.0, 0.0)
    """
    if not (np.isfinite(values).all() and np.isfinite(year).all()):
        return math.nan, math.nan
    t, v = _centred(year, regime), _centred(values, regime)
    if not t.any():
        return math.nan, math.nan
    slope = float(t @ v / (t @ t))
    return slope, _chance(t, v - slope * t)[0]


def _centred(values: np.ndarray, regime: np.ndarray | None) -> np.ndarray:
    """Values less the mean of their regime."""
    if regime is None:
        return values - values.mean()
    out = values.astype("float64")
    for one in np.unique(regime):
        out[regime == one] -= out[regime == one].mean()
    return out


def trend_interval(year: np.ndarray, values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Fit a straight line and give the 95 % confidence interval of its slope, by Student's t.

    What varies about the line by chance is taken from a cubic through the values: the approach to an equilibrium is
    curved, and that is no noise.

    Parameters
    ----------
    year : times, shape ``(n,)``, n >= 3 [years].
    values : shape ``(n,)`` [any].

    Returns
    -------
    Slope, and lowest and highest slope of the interval [units of `values` a year]; NaN if a value is not finite or there
    are fewer than six.

    Examples
    --------
    >>> slope, (low, high) = trend_interval(np.arange(100.0), np.cos(np.arange(100.0)))
    >>> low < slope < high
    True
    """
    slope = trend(year, values)[0]
    if not np.isfinite(slope) or year.size < 6:
        return slope, (math.nan, math.nan)
    curve = np.polynomial.Polynomial.fit(year, values, 3)
    error, independent = _chance(year - year.mean(), values - curve(year))
    half = float(stdtrit(independent - 2.0, 0.5 + CONFIDENCE / 2.0)) * error
    return slope, (slope - half, slope + half)


def spread(year: np.ndarray, values: np.ndarray) -> float:
    """Standard deviation about a cubic through the values: what varies from year to year, the approach taken out.

    Parameters
    ----------
    year : times, shape ``(n,)`` [years].
    values : shape ``(n,)`` [any].

    Returns
    -------
    In the units of `values`; NaN if a value is not finite or there are fewer than six.

    Examples
    --------
    >>> round(spread(np.arange(1000.0), 0.3 * np.arange(1000.0) + np.sqrt(2) * np.sin(np.arange(1000.0))), 2)
    1.0
    """
    if year.size < 6 or not (np.isfinite(values).all() and np.ptp(year) > 0):
        return math.nan
    return float(np.std(values - np.polynomial.Polynomial.fit(year, values, 3)(year)))


def _chance(t: np.ndarray, residual: np.ndarray) -> tuple[float, float]:
    """Standard error of a slope over centred times, from what varies about it, and the number of independent values."""
    independent = independent_values(residual)
    return float(np.sqrt(residual @ residual / (independent - 2.0) / (t @ t))), independent
