"""When a run had reached the verdict that it kept."""

import math

import numpy as np
import xarray as xr

from warmstart.equilibrium.verdict import UNTIL_YEARS, WINDOW_YEARS, judge


def years_until(series: xr.Dataset, verdict: str) -> float:
    """Find the model years after which a run had a verdict that it kept to its end.

    Parameters
    ----------
    series : as for :func:`warmstart.equilibrium.verdict.judge`.
    verdict : ``"near"``, which an equilibrium is too, or ``"equilibrium"``.

    Returns
    -------
    First year, of those every decade, from which on the years before, 200 for equilibrium and 100 at least for near, had
    that verdict [years]; NaN if the last had not. A drift that changes its sign passes zero without an equilibrium. The
    window begins again with each stretch.

    Raises
    ------
    UserError
        As :func:`warmstart.equilibrium.verdict.judge`.

    Examples
    --------
    >>> years = np.arange(800.0)
    >>> deep = ("time", np.minimum(0.001 * years, 0.3))
    >>> years_until(xr.Dataset({"thetao_deep": deep}, {"year": ("time", years)}), "equilibrium")
    470.0
    """
    enough = ("equilibrium",) if verdict == "equilibrium" else ("near", "equilibrium")
    years = np.asarray(series["year"].values, "float64")
    found = math.nan
    window = WINDOW_YEARS if verdict == "equilibrium" else UNTIL_YEARS[verdict]
    for year in years[(years % 10 == 0) & (years >= years[0] + window)][::-1] if years.size else ():
        end = judge(series.isel(time=np.flatnonzero(years <= year)))
        if end.years < window - 1.0 or end.verdict not in enough:
            break
        found = float(year)
    return found
