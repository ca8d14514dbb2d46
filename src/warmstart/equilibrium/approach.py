"""How fast a run approaches its equilibrium: an exponential fitted to the deep temperature. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LONGEST_WINDOW_SHARE = 0.5  #: the first half of a long series is adjustment in many modes and is left out
SHORTEST_WINDOW = 200.0  #: but never so much that less than this is left [years]
SHORTEST_YEARS = 50.0  #: a shorter series cannot show anything [years]
TRIALS = 400  #: e-folding times tried
SIGNIFICANT = 3.84  #: 95 % of chi-squared with one degree of freedom


@dataclass(frozen=True)
class Approach:
    """The exponential approach to an equilibrium, where the series shows one.

    Attributes
    ----------
    years : e-folding time [years]; NaN where it cannot be told, for the reason in `note`.
    interval : 95 % confidence interval [years].
    limit : deep temperature that is approached [degC].
    note : why there is no e-folding time; empty where there is one.
    """

    years: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    limit: float = math.nan
    note: str = "the series is too short"

    def __str__(self) -> str:
        """Say it in one line."""
        if math.isnan(self.years):
            return f"no e-folding time: {self.note}"
        low, high = self.interval
        return f"e-folding in {self.years:.0f} years (95 %: {low:.0f} to {high:.0f}), towards {self.limit:.3f} degC"


def approach(year: np.ndarray, values: np.ndarray) -> Approach:
    """Fit ``limit + amplitude * exp(-t / tau)`` to the second half of a series.

    For each tau limit and amplitude follow by linear least squares; tau is the one with the least residual. An
    exponential is claimed only if tau is no longer than the window (a slower approach looks straight, and its end cannot
    be told) and it is significantly better than a straight line, independent residuals counted only.

    Parameters
    ----------
    year : times, increasing, shape ``(n,)`` [years].
    values : temperature, shape ``(n,)`` [degC].

    Examples
    --------
    >>> year = np.arange(601.0)
    >>> round(approach(year, 4.0 - np.exp(-year / 150.0)).years)
    150
    >>> approach(year, 4.0 + 0.001 * year).note
    'the approach is longer than the 300 years looked at, which show its beginning only'
    """
    year, values = np.asarray(year, "float64"), np.asarray(values, "float64")
    if not year.size or np.ptp(year) < SHORTEST_YEARS or year.size < 10:
        return Approach()
    if not (np.isfinite(values).all() and np.isfinite(year).all()):
        return Approach(note="the series is not finite")
    length = max(LONGEST_WINDOW_SHARE * np.ptp(year), min(SHORTEST_WINDOW, np.ptp(year)))
    kept = year >= year[-1] - length
    t, y = year[kept] - year[kept][0], values[kept]
    straight = np.polynomial.Polynomial.fit(t, y, 1)
    residual = y - straight(t)
    if np.ptp(straight(t[[0, -1]])) < np.std(residual) or np.ptp(y) == 0.0:
        return Approach(note="there is no approach left: the deep ocean varies more than it drifts")
    taus = np.geomspace(0.02 * length, 20.0 * length, TRIALS)
    curves = [_exponential(t, y, tau) for tau in taus]
    squares = np.array([c[1] for c in curves])
    best = int(np.argmin(squares))
    error = y - curves[best][2]
    noise, count = float(error @ error), independent_values(error)
    floor = np.finfo("float64").eps * float(y @ y)
    # likelihood ratio of Gaussian residuals, for the values that are independent
    inside = taus[count * np.log((squares + floor) / (noise + floor)) <= SIGNIFICANT]
    gain = count * np.log((float(residual @ residual) + floor) / (noise + floor))
    note = ""
    if taus[best] > length:
        note = f"the approach is longer than the {length:.0f} years looked at, which show its beginning only"
    elif gain <= SIGNIFICANT:
        note = f"no single exponential describes the last {length:.0f} years better than a straight line"
    if note:
        return Approach(note=note)
    return Approach(float(taus[best]), (float(inside[0]), float(inside[-1])), curves[best][0], "")


def _exponential(t: np.ndarray, y: np.ndarray, tau: float) -> tuple[float, float, np.ndarray]:
    """Limit, sum of squared residuals and curve of the best exponential of one e-folding time."""
    decay = np.exp(-t / tau)
    shape = decay - decay.mean()
    amplitude = float(shape @ (y - y.mean())) / float(shape @ shape)
    curve = y.mean() + amplitude * shape
    return float(y.mean() - amplitude * decay.mean()), float(((y - curve) ** 2).sum()), curve


def independent_values(residual: np.ndarray) -> float:
    """Count the independent values of deviations from a fit, shape ``(n,)``: n (1 - r) / (1 + r), at least 3.

    r is their lag-one correlation, cut to 0 ... 0.99 (Santer et al. 2000, J. Geophys. Res. 105, 7337).

    Examples
    --------
    >>> independent_values(np.array([1.0, -1.0, 1.0, -1.0]))
    4.0
    """
    square = float(residual @ residual)
    r = float(residual[1:] @ residual[:-1]) / square if square > 0 else 0.0
    r = min(max(r, 0.0), 0.99)
    return max(residual.size * (1 - r) / (1 + r), 3.0)
