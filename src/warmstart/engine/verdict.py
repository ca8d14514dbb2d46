"""Has a run reached equilibrium: drift of the deep ocean and stationarity of the transports, from its series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from warmstart.errors import UserError

WINDOW_YEARS = 200.0  #: the trend is taken over the last so many years
SHORTEST_YEARS = 50.0  #: a shorter series cannot show an equilibrium
EQUILIBRIUM_DRIFT = 0.01  #: [K/century]
NEAR_DRIFT = 0.05  #: [K/century]
STATIONARY_PERCENT = 1.0  #: trend of a transport that counts as none [% of its mean a century]
TRANSPORTS = ("channel_transport", "overturning_north", "overturning_abyssal")


@dataclass(frozen=True)
class Verdict:
    """What the end of a run says about its equilibrium.

    Attributes
    ----------
    drift : trend of the temperature below 2000 m [K/century]; NaN if there is no trend to take.
    verdict : ``"equilibrium"``, ``"near"`` or ``"drifting"``.
    years : length of the window that was looked at [years].
    moving : transports that still have a trend.
    """

    drift: float
    verdict: str
    years: float
    moving: tuple[str, ...]


def judge(series: xr.Dataset) -> Verdict:
    """Judge the end of a run from its time series.

    Equilibrium: deep temperature drifts by less than 0.01 K/century and every transport is stationary (its trend is
    within two standard errors, or below 1 % of its mean a century). Near: below 0.05 K/century. Anything else,
    and any series shorter than 50 years, is drifting.

    Parameters
    ----------
    series : dims ``(time,)``, coordinate ``year`` [years], ``thetao_deep`` [degC] and the transports [Sv].

    Returns
    -------
    Drift and verdict over the last 200 years.

    Raises
    ------
    UserError
        If ``year`` or ``thetao_deep`` is missing.

    Examples
    --------
    >>> years = np.arange(300.0)
    >>> judge(xr.Dataset({"thetao_deep": ("time", 2 + 3e-4 * years)}, {"year": ("time", years)})).verdict
    'near'
    """
    missing = [name for name in ("year", "thetao_deep") if name not in series.variables]
    if missing:
        raise UserError(
            f"the series holds no {' and no '.join(missing)}; expected a series.nc that an engine wrote"
        )
    year = np.asarray(series["year"].values, dtype="float64")
    last = year >= year[-1] - WINDOW_YEARS if year.size else np.zeros(0, bool)
    year = year[last]
    if year.size < 3:
        return Verdict(float("nan"), "drifting", float(np.ptp(year)) if year.size else 0.0, ())
    length = float(np.ptp(year))
    drift = 100.0 * trend(year, np.asarray(series["thetao_deep"].values[last], dtype="float64"))[0]
    transports = {
        name: np.asarray(series[name].values[last], "float64") for name in TRANSPORTS if name in series
    }
    moving = tuple(name for name, values in transports.items() if not is_stationary(year, values))
    if length < SHORTEST_YEARS or not abs(drift) < NEAR_DRIFT:
        verdict = "drifting"
    else:
        verdict = "equilibrium" if abs(drift) < EQUILIBRIUM_DRIFT and not moving else "near"
    return Verdict(drift, verdict, length, moving)


def is_stationary(year: np.ndarray, transport: np.ndarray) -> bool:
    """Tell whether a transport has no trend: within two standard errors of none, or below 1 % a century.

    Parameters
    ----------
    year : times, shape ``(n,)`` [years].
    transport : values, shape ``(n,)`` [any].

    Returns
    -------
    False if any value is not finite.

    Examples
    --------
    >>> years = np.arange(100.0)
    >>> is_stationary(years, 150 + 5 * np.sin(years)), is_stationary(years, 150 + 0.1 * years)
    (True, False)
    """
    slope, error = trend(year, transport)
    if not np.isfinite(slope):
        return False
    small = abs(slope) * 100.0 < STATIONARY_PERCENT / 100.0 * abs(float(np.mean(transport)))
    return bool(small or abs(slope) <= 2.0 * error)


def trend(year: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Fit a straight line by least squares; the standard error counts independent values only.

    The residuals of an ocean series remember each other; the number of independent ones is n (1 - r) / (1 + r) with
    r their lag-one correlation (Santer et al. 2000, J. Geophys. Res. 105, 7337).

    Parameters
    ----------
    year : times, shape ``(n,)``, n >= 3 [years].
    values : shape ``(n,)`` [any].

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
        return float("nan"), float("nan")
    t = year - year.mean()
    spread = float(t @ t)
    if spread == 0.0:
        return float("nan"), float("nan")
    slope = float(t @ (values - values.mean())) / spread
    residual = values - values.mean() - slope * t
    variance = float(residual @ residual)
    r = float(residual[1:] @ residual[:-1]) / variance if variance > 0 else 0.0
    r = min(max(r, 0.0), 0.99)
    independent = max(values.size * (1 - r) / (1 + r), 3.0)
    return slope, float(np.sqrt(variance / (independent - 2.0) / spread))
