"""How a run adjusts after its start: the shock of the first days, the drift of the years after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warmstart.equilibrium.trend import trend

#: Days after a start in which it is a shock.
SHOCK_DAYS = 30.0
#: Years at the end of a run over which its drift is taken.
DRIFT_YEARS = 10.0
#: Years at its beginning that are left out of it: the adjustment, of which there are daily values, is no drift.
ADJUSTMENT_YEARS = 1.0
#: Years that a drift needs at least, after those.
SHORTEST_DRIFT_YEARS = 5.0
#: Parts of a year that are compared with themselves only, so that a season is no drift: half months.
SEASONS = 24


def shock(day: np.ndarray, values: np.ndarray, control: np.ndarray) -> float:
    """Measure the largest deviation from the control in the first 30 days.

    Parameters
    ----------
    day : days since the start, shape ``(n,)``.
    values, control : the same quantity of the start and of the control at those days, any units.

    Returns
    -------
    Largest absolute difference over the mean size of the control in those days [1]; NaN if nothing can be compared.

    Examples
    --------
    >>> round(shock(np.array([10.0, 20.0, 40.0]), np.array([1.1, 1.0, 9.0]), np.ones(3)), 3)
    0.1
    """
    both = (day > 0) & (day <= SHOCK_DAYS) & np.isfinite(values) & np.isfinite(control)
    scale = float(np.abs(control[both]).mean()) if both.any() else 0.0
    return float(np.abs(values - control)[both].max() / scale) if scale > 0 else float("nan")


@dataclass(frozen=True)
class Drift:
    """The trend at the end of a run.

    Attributes
    ----------
    slope, error : trend and its standard error [units of the values a century]; NaN if it is not judged.
    span : years that were looked at [years].
    note : why it is not judged; else what the trend is of.
    """

    slope: float
    error: float
    span: float
    note: str


def drift(year: np.ndarray, values: np.ndarray) -> Drift:
    """Fit the trend over the last ten years, without the first year of a run.

    Values of the same half month are compared with one another only, so that no season passes for a drift.

    Parameters
    ----------
    year : times since the start, increasing, shape ``(n,)`` [years].
    values : any quantity, shape ``(n,)``; what is not a number is left out.

    Returns
    -------
    The trend; not judged if fewer than five years after the first are left, or no half month comes back.

    Examples
    --------
    >>> found = drift(np.arange(21.0), 0.01 * np.arange(21.0))
    >>> round(found.slope, 9), found.span
    (1.0, 10.0)
    >>> drift(np.arange(1, 13) / 12, np.sin(np.arange(12.0))).note
    'not judged: the record is too short, 0 years after the first; a drift needs 5'
    """
    known = np.isfinite(values)
    year, values = np.asarray(year, "float64")[known], np.asarray(values, "float64")[known]
    late = year >= (max(year[-1] - DRIFT_YEARS, ADJUSTMENT_YEARS) - 1e-9 if year.size else 0.0)
    year, values = year[late], values[late]
    season = np.round((year % 1.0) * SEASONS).astype(int) % SEASONS
    twice = np.array([np.ptp(year[season == one]) > 0.5 for one in season], bool)
    span = float(np.ptp(year[twice])) if twice.any() else 0.0
    # the mean of December ends a whole year although its middle does not
    if span < SHORTEST_DRIFT_YEARS - 1.0 / 12.0 - 1e-6:
        held = float(np.ptp(year)) if year.size else 0.0
        said = f"the record is too short, {held:.3g} years after the first; a drift needs {SHORTEST_DRIFT_YEARS:g}"
        if held >= SHORTEST_DRIFT_YEARS:
            said = (
                "no part of the year comes back in the record, so that the season cannot be told from a drift"
            )
        return Drift(math.nan, math.nan, held, f"not judged: {said}")
    slope, error = trend(year[twice], values[twice], season[twice])
    seasonal = np.unique(season[twice]).size > 1
    said = f"trend over the last {span:.3g} years{', season taken out' if seasonal else ''}"
    return Drift(100.0 * slope, 100.0 * error, span, said)
