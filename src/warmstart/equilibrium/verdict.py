"""Has a run reached equilibrium: drift of the deep ocean and stationarity of the transports, from its series."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtri

from warmstart.equilibrium.approach import SHORTEST_YEARS, Approach, approach
from warmstart.equilibrium.trend import CONFIDENCE, spread, trend, trend_interval
from warmstart.errors import UserError

WINDOW_YEARS = 200.0  #: the trend is taken over the last so many years
KEPT_YEARS = 50.0  #: for so long a run has to have been at equilibrium before it may end
UNTIL_YEARS = {
    "equilibrium": WINDOW_YEARS + KEPT_YEARS,
    "near": WINDOW_YEARS / 2,
}  #: undisturbed years that a run which goes on until then has at least
EQUILIBRIUM_DRIFT = 0.01  #: [K/century]
NEAR_DRIFT = 0.05  #: [K/century]
STATIONARY_PERCENT = 1.0  #: trend of a transport that counts as none [% of its mean a century]
STATIONARY_SVERDRUP = 0.1  #: and the least that counts as one, for cells of a Sverdrup or less [Sv/century]
TRANSPORTS = ("channel_transport", "overturning_north", "overturning_abyssal")
UNITS = {"thetao_deep": "K", **dict.fromkeys(TRANSPORTS, "Sv")}


@dataclass(frozen=True)
class Verdict:
    """What the end of a run says about its equilibrium.

    Attributes
    ----------
    drift : trend of the temperature below 2000 m [K/century]; NaN if there is no trend to take.
    verdict : ``"equilibrium"``, ``"near"`` or ``"drifting"``.
    years : length of the window that was looked at [years].
    moving : transports that still have a trend.
    interval : 95 % confidence interval of the drift [K/century].
    variability : standard deviation about a smooth trend, of the deep temperature [K] and of each transport [Sv].
    approach : e-folding of the way there.
    """

    drift: float
    verdict: str
    years: float
    moving: tuple[str, ...]
    interval: tuple[float, float] = (math.nan, math.nan)
    variability: dict[str, float] = field(default_factory=dict)
    approach: Approach = field(default_factory=Approach)

    def attributes(self) -> dict[str, Any]:
        """Attributes for a file: numbers and text only."""
        found = {
            "drift_K_per_century": self.drift,
            "drift_interval_K_per_century": list(self.interval),
            "drift_window_years": self.years,
            "verdict": self.verdict,
            "moving_transports": " ".join(self.moving),
            "efolding_years": self.approach.years,
            "efolding_interval_years": list(self.approach.interval),
            "efolding_note": self.approach.note,
            "thetao_deep_limit_degC": self.approach.limit,
        }
        return found | {f"variability_{name}_{UNITS[name]}": std for name, std in self.variability.items()}

    def summary(self) -> dict[str, Any]:
        """The attributes for YAML: None where there is no number."""
        return {name: _known(value) for name, value in self.attributes().items()}

    def __str__(self) -> str:
        """Say it in a few lines."""
        low, high = self.interval
        moving = ", ".join(self.moving).replace("_", " ") or "none"
        spread = ", ".join(f"{n.replace('_', ' ')} {s:.3g} {UNITS[n]}" for n, s in self.variability.items())
        return "\n".join(
            [
                f"{self.verdict}: the ocean below 2000 m drifts by {self.drift:+.4f} K/century "
                f"(95 %: {low:+.4f} to {high:+.4f}) over the last {self.years:g} years",
                f"transports with a trend: {moving}",
                f"year-to-year standard deviation: {spread or 'unknown'}",
                f"approach: {self.approach}",
            ]
        )


def _known(value: Any) -> Any:
    if isinstance(value, list):
        return [_known(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(series: xr.Dataset) -> Verdict:
    """Judge the end of a run from its time series.

    Equilibrium: deep temperature drifts by less than 0.01 K/century and every transport is stationary (its trend is not
    significant, all transports together at 95 %, or below 1 % of its mean or 0.1 Sv a century), over 200 years without a
    shift. Near: below 0.05 K/century, over 50 years at least. Anything else is drifting.

    Parameters
    ----------
    series : dims ``(time,)``, coordinate ``year`` [years], ``thetao_deep`` [degC] and the transports [Sv]. A variable
        ``stretch`` numbers uninterrupted stretches of running; only the last one is looked at, because a shift of the
        state between two is no drift. A variable ``dt_tracer`` [s] is the time step on the way to each row: where it
        changes, a transport may jump, because a step of momentum that is shorter than that of tracers distorts the
        seasons (Bryan 1984, J. Phys. Oceanogr. 14, 666); its trend is that within years of one time step.

    Raises
    ------
    UserError
        If ``year`` or ``thetao_deep`` is missing, or a column does not lie along the time.

    Examples
    --------
    >>> years = np.arange(300.0)
    >>> judge(xr.Dataset({"thetao_deep": ("time", 2 + 3e-4 * years)}, {"year": ("time", years)})).verdict
    'near'
    """
    if missing := [name for name in ("year", "thetao_deep") if name not in series.variables]:
        lacking = " and no ".join(missing)
        raise UserError(f"the series holds no {lacking}; expected a series.nc that an engine wrote")
    columns = [
        n for n in ("year", "thetao_deep", *TRANSPORTS, "stretch", "dt_tracer") if n in series.variables
    ]
    if odd := [n for n in columns if series[n].dims != ("time",) or series[n].dtype.kind not in "fiu"]:
        raise UserError(
            f"{' and '.join(odd)} of the series: expected a number for each time; give a series.nc that an engine wrote"
        )
    series = _last_stretch(series)
    found = _judge_end(series)
    deep = np.asarray(series["thetao_deep"].values, "float64")
    return replace(found, approach=approach(np.asarray(series["year"].values, "float64"), deep))


def has_arrived(series: xr.Dataset, until: str) -> bool:
    """Tell whether a run that goes on until a verdict may end.

    Parameters
    ----------
    series : as for :func:`judge`.
    until : ``"near"`` or ``"equilibrium"``.

    Returns
    -------
    Whether the last stretch is long enough, 100 years for near and 250 for equilibrium, and has that verdict; for near
    the whole interval of the drift has to lie below 0.05 K/century. Equilibrium has to have been kept for 50 years, looked
    at each decade: a run that ends as soon as it is met is often lucky, and loses it when it is continued.

    Raises
    ------
    UserError
        As :func:`judge`.

    Examples
    --------
    >>> series = xr.Dataset({"thetao_deep": ("time", np.zeros(120))}, {"year": ("time", np.arange(120.0))})
    >>> has_arrived(series, "near"), has_arrived(series, "equilibrium")
    (True, False)
    """
    series = _last_stretch(series)
    year = np.asarray(series["year"].values, "float64")
    if year.size < 2 or np.ptp(year) < UNTIL_YEARS[until]:
        return False
    if until == "equilibrium":
        ends = year[-1] - np.arange(0.0, KEPT_YEARS + 1.0, 10.0)
        return all(_judge_end(series.isel(time=np.flatnonzero(year <= end))).verdict == until for end in ends)
    found = _judge_end(series)
    return found.verdict != "drifting" and max(abs(v) for v in found.interval) < NEAR_DRIFT


def _judge_end(series: xr.Dataset) -> Verdict:
    """The verdict of the last 200 years, without the approach."""
    year = np.asarray(series["year"].values, "float64")
    last = year >= year[-1] - WINDOW_YEARS if year.size else np.zeros(0, bool)
    year = year[last]
    if year.size < 3:
        return Verdict(math.nan, "drifting", float(np.ptp(year)) if year.size else 0.0, ())
    names = ("thetao_deep", *(n for n in TRANSPORTS if n in series))
    columns = {name: np.asarray(series[name].values[last], "float64") for name in names}
    drift, interval = trend_interval(year, columns["thetao_deep"])
    drift, length = 100.0 * drift, float(np.ptp(year))
    regime = series["dt_tracer"].values[last] if "dt_tracer" in series else None
    moving = []
    for name in names[1:]:
        # of years in which it was defined otherwise nothing is known
        here = slice(int(np.isfinite(columns[name]).argmax()), None)
        own = None if regime is None else regime[here]
        if not is_stationary(year[here], columns[name][here], len(names) - 1, STATIONARY_SVERDRUP, own):
            moving.append(name)
    if length < SHORTEST_YEARS or not abs(drift) < NEAR_DRIFT:
        verdict = "drifting"
    else:
        still = abs(drift) < EQUILIBRIUM_DRIFT and not moving and length > WINDOW_YEARS - 2.0
        verdict = "equilibrium" if still else "near"
    variability = {n: spread(year[np.isfinite(v)], v[np.isfinite(v)]) for n, v in columns.items()}
    low, high = interval
    return Verdict(drift, verdict, length, tuple(moving), (100.0 * low, 100.0 * high), variability)


def _last_stretch(series: xr.Dataset) -> xr.Dataset:
    if "stretch" not in series or not series.sizes["time"]:
        return series
    return series.isel(time=np.flatnonzero(series["stretch"].values == series["stretch"].values[-1]))


def is_stationary(
    year: np.ndarray,
    transport: np.ndarray,
    together: int = 1,
    least: float = 0.0,
    regime: np.ndarray | None = None,
) -> bool:
    """Tell whether a transport has no trend: none that is significant at 95 %, or below 1 % of its mean a century.

    Parameters
    ----------
    year : times, shape ``(n,)`` [years].
    transport : values, shape ``(n,)`` [any].
    together : how many transports are asked: the confidence is that of all of them together (Bonferroni), so that a
        steady ocean is not called moving because it was asked often.
    least : a trend that counts as none whatever the mean [units of `transport` a century].
    regime : equal for years that may be compared, as of :func:`trend`.

    Returns
    -------
    False if any value is not finite.

    Examples
    --------
    >>> years = np.arange(100.0)
    >>> is_stationary(years, 150 + 5 * np.sin(years)), is_stationary(years, 150 + 0.1 * years)
    (True, False)
    """
    slope, error = trend(year, transport, regime)
    if not np.isfinite(slope):
        return False
    small = abs(slope) * 100.0 < max(STATIONARY_PERCENT / 100.0 * abs(float(np.mean(transport))), least)
    errors = float(ndtri(1.0 - (1.0 - CONFIDENCE) / (2.0 * max(together, 1))))
    return bool(small or abs(slope) <= errors * error)
