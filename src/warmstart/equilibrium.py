"""How far a run is from equilibrium, when it arrives there, how it starts and how it drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from warmstart.engine.verdict import trend
from warmstart.errors import UserError
from warmstart.grid import Grid

#: The variables that the distance compares; the ocean's memory is in them.
TRACERS = ("thetao", "so")
#: Ranges of depth [m].
DEPTHS: dict[str, tuple[float, float]] = {
    "all": (0.0, np.inf), "0-500 m": (0.0, 500.0), "500-2000 m": (500.0, 2000.0), "below 2000 m": (2000.0, np.inf),
}  # fmt: skip
#: A level whose spread is a smaller share of the whole ocean's is measured in that share of it: where nearly nothing varies,
#: any difference would be enormous.
LEAST_SPREAD = 0.1
#: Days after a start in which it is a shock.
SHOCK_DAYS = 30.0
#: Years at the end of a run over which its drift is taken.
DRIFT_YEARS = 10.0
#: Years at its beginning that are left out of it: the adjustment, of which there are daily values, is no drift.
ADJUSTMENT_YEARS = 1.0
#: Years that a drift needs at least, after those.
SHORTEST_DRIFT_YEARS = 5.0
#: Share of an equilibrium's own distances that its threshold lets through.
PERCENTILE = 95.0
#: Parts of a year that are compared with themselves only, so that a season is no drift: half months.
SEASONS = 24


def ensemble_spread(states: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much the states of an ensemble differ from their mean, level by level.

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(sample, z, y, x)``, at least two samples.
    grid : their mesh.

    Returns
    -------
    Standard deviation over samples and wet cells, weighted with the area, about the mean state, as :func:`floored`; dims
    ``(z,)``, the units of the variables. Levels without water are NaN.

    Raises
    ------
    UserError
        If there are fewer than two samples, or they do not differ at all.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> ensemble_spread(xr.concat([state, state + 2.0], "sample"), grid).thetao.values.round(3)
    array([1., 1., 1., 1.])
    """
    if states.sizes.get("sample", 1) < 2:
        raise UserError("one state has no spread; give at least two samples, or a reference of its own")
    out = {}
    for name in TRACERS:
        variance = states[name].astype("float64").var("sample", skipna=False)
        out[name] = _level_rms(variance, grid).assign_attrs(units=states[name].attrs.get("units", ""))
    return floored(xr.Dataset(out), grid)


def horizontal_spread(state: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much one state varies along each level, where no ensemble is at hand.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], dims ``(z, y, x)``.
    grid : its mesh.

    Returns
    -------
    Standard deviation along each level, weighted with the area, as :func:`floored`; dims ``(z,)``, the units of the
    variables.

    Raises
    ------
    UserError
        If no level varies at all.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> horizontal_spread(state, grid).thetao.dims
    ('z',)
    """
    area = grid.volume / grid.e3t_0
    out = {}
    for name in TRACERS:
        values = state[name].where(grid.tmask > 0).astype("float64")
        mean = (values.fillna(0.0) * area).sum(("y", "x")) / area.sum(("y", "x"))
        out[name] = _level_rms((values - mean) ** 2, grid).assign_attrs(
            units=state[name].attrs.get("units", "")
        )
    return floored(xr.Dataset(out), grid)


def _level_rms(square: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Root of the area mean of a square over the wet cells of each level."""
    area = grid.volume / grid.e3t_0
    total = area.sum(("y", "x"))
    return ((square.where(grid.tmask > 0, 0.0) * area).sum(("y", "x")) / total.where(total > 0)) ** 0.5


def floored(spread: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Raise the spread of levels where nearly nothing varies to a tenth of the whole ocean's.

    Parameters
    ----------
    spread : ``thetao`` [degC] and ``so`` [1e-3], dims ``(z,)``.
    grid : the mesh.

    Returns
    -------
    The same; a variable of which levels were raised has the attributes ``raised_levels`` and ``raised_to``.

    Raises
    ------
    UserError
        If a variable does not vary at any level.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> small = xr.Dataset({name: ("z", [2.0, 1.0, 1.0, 1e-9]) for name in TRACERS})
    >>> floored(small, grid).thetao.values[-1] > 0.05
    np.True_
    """
    volume = grid.volume.sum(("y", "x"))
    out = {}
    for name in TRACERS:
        level = spread[name].where(volume > 0)
        whole = float(((level.fillna(0.0) ** 2 * volume).sum() / volume.sum()) ** 0.5)
        if not (np.isfinite(whole) and whole > 0):
            raise UserError(
                f"the reference does not vary in {name}; expected states that differ, or that vary along their levels"
            )
        raised = (volume > 0) & ~(level >= LEAST_SPREAD * whole)
        out[name] = level.where(~raised, LEAST_SPREAD * whole).assign_attrs(spread[name].attrs)
        if raised.any():
            out[name].attrs |= {"raised_levels": int(raised.sum()), "raised_to": LEAST_SPREAD * whole}
    return xr.Dataset(out)


def say_spread(spread: xr.Dataset) -> str:
    """Say which levels of a spread :func:`floored` raised; nothing if it raised none.

    Examples
    --------
    >>> say_spread(xr.Dataset({name: ("z", [1.0]) for name in TRACERS}))
    ''
    """
    units = {"thetao": "K", "so": "1e-3"}
    said = [
        f"{name} at {spread[name].attrs['raised_levels']} levels by {spread[name].attrs['raised_to']:.2g} {units[name]}"
        for name in TRACERS
        if spread[name].attrs.get("raised_levels")
    ]
    share = f"a tenth of the whole ocean's, where it varies by less: {' and '.join(said)}"
    return f", at least {share}" if said else ""


def distance(states: xr.Dataset, target: xr.Dataset, spread: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how far states are from a target, each level in units of the ensemble's standard deviation.

    D is the root of the volume mean of ((x - target) / spread)**2, for temperature, for salinity, and for both
    together (root of the mean of the two squares).

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(..., z, y, x)``.
    target : the same variables, dims ``(z, y, x)``.
    spread : the same variables, dims ``(z,)``, from :func:`ensemble_spread`.
    grid : the mesh.

    Returns
    -------
    ``distance``, ``distance_thetao_sd``, ``distance_so_sd``, dims ``(...)`` [1]; NaN where a wet cell is no number.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> float(distance(state + 2.0, state, one, grid).distance)
    2.0
    """
    wet = grid.tmask > 0
    squares = {
        name: grid.mean((((states[name] - target[name]) / spread[name]) ** 2).where(wet, 0.0))
        for name in TRACERS
    }
    holes = _holes(states, grid)
    out = {
        "distance": (((squares["thetao"] + squares["so"]) / 2) ** 0.5, "temperature and salinity"),
        "distance_thetao_sd": (squares["thetao"] ** 0.5, "temperature"),
        "distance_so_sd": (squares["so"] ** 0.5, "salinity"),
    }
    return xr.Dataset(
        {
            name: values.where(holes == 0)
            .drop_attrs(deep=False)  # a distance in temperature is no temperature
            .assign_attrs(
                units="1",
                long_name=f"distance to the equilibrium in {label}, each level in units of its spread",
            )
            for name, (values, label) in out.items()
        }
    )


def _holes(states: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Whether a wet cell of each state is no number: it has no distance then, which a mask must not hide."""
    wet = grid.tmask > 0
    found = [states[name].isnull().where(wet, False).any(("z", "y", "x")) for name in TRACERS]
    return found[0] | found[1]


def differences(states: xr.Dataset, target: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how far states are from a target in physical units, by range of depth.

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(..., z, y, x)``.
    target : the same variables, dims ``(z, y, x)``.
    grid : the mesh.

    Returns
    -------
    ``distance_thetao_K`` [K] and ``distance_so`` [1e-3], dims ``(..., depth)``: the root of the volume mean of the squared
    difference in each range of :data:`DEPTHS`; NaN in a range without water, and where a wet cell is no number.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> differences(state + 2.0, state, grid).distance_thetao_K.values[:2]
    array([2., 2.])
    """
    wet, holes = grid.tmask > 0, _holes(states, grid)
    depth = grid.gdept_0
    parts = [grid.volume.where((depth >= low) & (depth < high), 0.0) for low, high in DEPTHS.values()]
    names = xr.DataArray(np.array(list(DEPTHS), dtype=object), dims="depth", name="depth")
    volume = xr.concat(parts, "depth").assign_coords(depth=names)
    total = volume.sum(("z", "y", "x"))
    out = {}
    for name, label, units in (("thetao", "distance_thetao_K", "K"), ("so", "distance_so", "1e-3")):
        square = ((states[name].astype("float64") - target[name]) ** 2).where(wet, 0.0)
        mean = xr.dot(square, volume, dim=("z", "y", "x")) / total.where(total > 0)
        attrs = {"units": units, "long_name": f"root-mean-square difference of {name} to the equilibrium"}
        out[label] = (mean**0.5).where(~holes).drop_attrs(deep=False).assign_attrs(attrs)
    return xr.Dataset(out)


def own_distances(snapshots: xr.Dataset, spread: xr.Dataset, grid: Grid) -> np.ndarray:
    """Measure how far the snapshots of an equilibrium are from one another.

    Parameters
    ----------
    snapshots : ``thetao`` [degC] and ``so`` [1e-3], dims ``(time, z, y, x)``.
    spread : the same variables, dims ``(z,)``.
    grid : the mesh.

    Returns
    -------
    Distances [1] of all pairs, shape ``(n (n - 1) / 2,)``; empty if there is only one snapshot.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> own_distances(xr.concat([state, state + 2.0, state + 3.0], "time"), one, grid)
    array([2., 3., 1.])
    """
    n = snapshots.sizes["time"]
    return np.array(
        [
            float(value)
            for i in range(n - 1)
            for value in distance(
                snapshots.isel(time=slice(i + 1, None)), snapshots.isel(time=i), spread, grid
            ).distance.values
        ]
    )


def threshold(own: np.ndarray) -> float:
    """Find the distance within which a state counts as equilibrium.

    Parameters
    ----------
    own : distances of the equilibrium's own snapshots from one another [1].

    Returns
    -------
    The smallest of them that at least 95 % do not exceed [1]; NaN if there are none.

    Examples
    --------
    >>> threshold(np.arange(1.0, 21.0))
    20.0
    """
    return float(np.percentile(own, PERCENTILE, method="higher")) if np.size(own) else float("nan")


@dataclass(frozen=True)
class Years:
    """A number of years, or what is known of it.

    Attributes
    ----------
    value : the number, or a bound of it [years]; NaN if nothing is known.
    bound : ``"="``, ``">"`` or ``"<"`` that value; empty if nothing is known.
    note : how to read it, or why nothing is known.
    """

    value: float = math.nan
    bound: str = ""
    note: str = ""


def years_until(year: np.ndarray, distances: np.ndarray, level: float) -> Years:
    """Find the first year after which the distance stays within a level.

    To stay means that at least 95 % of the snapshots from then on are within, which is what the equilibrium's own
    do: a rule without exception would call a perfect start late whenever one year is unusual.

    Parameters
    ----------
    year : times of the distances, increasing, shape ``(n,)`` [years].
    distances : shape ``(n,)`` [1]; one that is not a number is not within.
    level : largest distance that counts [1].

    Returns
    -------
    The year; more than the last one if it does not stay within to the end; nothing if there is no distance, or `level` is
    no number.

    Examples
    --------
    >>> years_until(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.5]), 1.0).value
    1.0
    >>> years_until(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.5]), 0.1).bound
    '>'
    """
    year, distances = np.asarray(year, "float64"), np.asarray(distances, "float64")
    if not np.isfinite(level):
        return Years(note="not judged: there is no level to compare with")
    if not np.isfinite(distances).any():
        return Years(note="not judged: no state has a distance")
    within = distances <= level
    share = np.cumsum(within[::-1])[::-1] / np.arange(within.size, 0, -1)
    arrived = np.flatnonzero(within & (share >= PERCENTILE / 100.0))
    if not arrived.size:
        return Years(
            float(year[-1]), ">", f"a distance within {level:.3g} was not kept until year {year[-1]:.4g}"
        )
    return Years(float(year[arrived[0]]), "=", f"distance within {level:.3g} from then on")


def spinup_passed(final: float, spinup: tuple[np.ndarray, np.ndarray]) -> Years:
    """Find the last snapshot of a spin-up that is farther from the equilibrium than a given state.

    Parameters
    ----------
    final : distance of the state [1].
    spinup : years and distances of the snapshots of the spin-up, years increasing [years], [1].

    Returns
    -------
    More than its year, for nobody kept the states between the snapshots; less than the first year if none is farther;
    nothing if there are no snapshots or the state has no distance.

    Examples
    --------
    >>> spinup_passed(0.5, (np.array([10.0, 100.0, 400.0]), np.array([2.0, 1.0, 0.4]))).value
    100.0
    """
    year, distances = spinup
    if not np.isfinite(final):
        return Years(note="not judged: the state has no distance")
    if not len(year):
        return Years(note="not judged: the control holds no snapshots of its spin-up")
    farther = np.flatnonzero(np.asarray(distances) > final)
    if not farther.size:
        return Years(
            float(year[0]), "<", "no snapshot of the control's own spin-up was farther from the equilibrium"
        )
    said = "the control's own spin-up was still farther from the equilibrium in that year"
    return Years(float(year[farther[-1]]), ">", said)


def years_from_rest(
    level: float, rest: Years | None, spinup: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, str]:
    """Bound the years that an undisturbed spin-up needs to a distance: by a run from rest, else by snapshots of a spin-up.

    Parameters
    ----------
    level : the distance [1].
    rest : :func:`years_until` of a run from rest; None without one.
    spinup : years and distances of the snapshots of a spin-up; empty arrays if there are none.

    Returns
    -------
    least, most : between them the years lie; equal if they are known, infinite where nothing bounds them [years].
    source : what says so.

    Examples
    --------
    >>> spinup = np.array([10.0, 100.0, 400.0]), np.array([2.0, 1.0, 0.4])
    >>> years_from_rest(0.5, Years(20.0, ">"), spinup)
    (100.0, 400.0, "the control's own spin-up")
    >>> years_from_rest(0.5, Years(17.0, "="), spinup)
    (17.0, 17.0, 'the start from rest')
    """
    if rest is not None and rest.bound == "=":
        return rest.value, rest.value, "the start from rest"
    year, distances = np.asarray(spinup[0]), np.asarray(spinup[1])
    ran = rest.value if rest is not None and rest.bound == ">" else -math.inf
    farther = np.flatnonzero(~(distances <= level))
    least = float(year[farther[-1]]) if farther.size else -math.inf
    after = year[farther[-1] + 1 :] if farther.size else year
    most = float(after[0]) if after.size else math.inf
    if least >= ran and np.isfinite(least):
        return least, most, "the control's own spin-up"
    if ran > most:  # the two contradict one another: another way to the equilibrium
        most = math.inf
    return ran, most, "the start from rest" if np.isfinite(ran) else "the control's own spin-up"


def years_saved(start: Years, least: float, most: float, source: str) -> Years:
    """Compare the years that a start needs to a distance with those of an undisturbed spin-up.

    Parameters
    ----------
    start : :func:`years_until` of the start.
    least, most, source : :func:`years_from_rest`.

    Returns
    -------
    The years saved, at least or at most so many where one of both was not seen to arrive; nothing where neither was.

    Examples
    --------
    >>> years_saved(Years(2.0, "="), 20.0, math.inf, "the start from rest")
    Years(value=18.0, bound='>', note='at least: the start from rest needs more than 20 years')
    >>> years_saved(Years(20.0, ">"), 15.0, 15.0, "the start from rest").bound
    '<'
    """
    if not start.bound:
        return Years(note=start.note)
    if start.bound == "=" and least == most:
        return Years(least - start.value, "=", f"{source} needs {least:.4g} years")
    if start.bound == "=" and np.isfinite(least):
        return Years(least - start.value, ">", f"at least: {source} needs more than {least:.4g} years")
    if np.isfinite(most):
        needs = f"{most:.4g} years" if least == most else f"at most {most:.4g} years"
        mine = "this start needs more than" if start.bound == ">" else "this start needs"
        return Years(most - start.value, "<", f"at most: {source} needs {needs}, {mine} {start.value:.4g}")
    if start.bound == "=":
        return Years(
            note="not known: neither a start from rest nor the control's own spin-up to compare with"
        )
    said = (
        f"{source} needs more than {least:.4g}"
        if np.isfinite(least)
        else "nothing is known of a start from rest"
    )
    return Years(note=f"not known: this start needs more than {start.value:.4g} years, {said}")


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
