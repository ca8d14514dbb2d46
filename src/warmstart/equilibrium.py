"""How far a run is from equilibrium, when it arrives there, how it starts and how it drifts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.engine.verdict import trend
from warmstart.errors import UserError
from warmstart.grid import Grid

#: The variables that the distance compares; the ocean's memory is in them.
TRACERS = ("thetao", "so")
#: Days after a start in which it is a shock.
SHOCK_DAYS = 30.0
#: Years at the end of a run over which its drift is taken.
DRIFT_YEARS = 10.0
#: Years at its beginning that are left out of it: the adjustment, of which there are daily values, is no drift.
ADJUSTMENT_YEARS = 1.0
#: Share of an equilibrium's own distances that its threshold lets through.
PERCENTILE = 95.0


def ensemble_spread(states: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much the states of an ensemble differ from their mean, level by level.

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(sample, z, y, x)``, at least two samples.
    grid : their mesh.

    Returns
    -------
    Standard deviation over samples and wet cells, weighted with the area, about the mean state; dims ``(z,)``,
    the units of the variables. Levels without water are NaN.

    Raises
    ------
    UserError
        If there are fewer than two samples or a level does not differ at all.

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
    return _positive(xr.Dataset(out), grid)


def horizontal_spread(state: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much one state varies along each level, where no ensemble is at hand.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], dims ``(z, y, x)``.
    grid : its mesh.

    Returns
    -------
    Standard deviation along each level, weighted with the area; dims ``(z,)``, the units of the variables.

    Raises
    ------
    UserError
        If a level does not vary at all.

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
    return _positive(xr.Dataset(out), grid)


def _level_rms(square: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Root of the area mean of a square over the wet cells of each level."""
    area = grid.volume / grid.e3t_0
    total = area.sum(("y", "x"))
    return ((square.where(grid.tmask > 0, 0.0) * area).sum(("y", "x")) / total.where(total > 0)) ** 0.5


def _positive(spread: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Refuse a level that holds water but no differences: nothing could be measured in its units."""
    wet = (grid.tmask > 0).any(("y", "x"))
    for name in TRACERS:
        dead = np.flatnonzero((wet & ~(spread[name] > 0)).values)
        if dead.size:
            raise UserError(
                f"the reference does not vary in {name} at level {dead[0]}; expected states that differ"
            )
    return spread


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
    ``distance``, ``distance_thetao``, ``distance_so``, dims ``(...)`` [1].

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
    # a cell that is not a number has no distance; `where` above must not hide it
    holes = sum(states[name].isnull().where(wet, False).any(("z", "y", "x")) for name in TRACERS)
    out = {
        "distance": (((squares["thetao"] + squares["so"]) / 2) ** 0.5, "temperature and salinity"),
        "distance_thetao": (squares["thetao"] ** 0.5, "temperature"),
        "distance_so": (squares["so"] ** 0.5, "salinity"),
    }
    return xr.Dataset(
        {
            name: values.where(holes == 0)
            .drop_attrs(deep=False)  # a distance in temperature is no temperature
            .assign_attrs(
                units="1",
                long_name=f"distance to the equilibrium in {label}, in ensemble standard deviations",
            )
            for name, (values, label) in out.items()
        }
    )


def own_distances(snapshots: xr.Dataset, spread: xr.Dataset, grid: Grid) -> np.ndarray:
    """Measure how far each snapshot of an equilibrium is from the mean of the others.

    The others, because a mean that holds the snapshot itself is too near to it: with four snapshots by a quarter.

    Parameters
    ----------
    snapshots : ``thetao`` [degC] and ``so`` [1e-3], dims ``(time, z, y, x)``.
    spread : the same variables, dims ``(z,)``.
    grid : the mesh.

    Returns
    -------
    Distances [1], shape ``(time,)``; empty if there is only one snapshot.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> own_distances(xr.concat([state, state + 2.0], "time"), one, grid)
    array([2., 2.])
    """
    n = snapshots.sizes["time"]
    if n < 2:
        return np.zeros(0)
    others = [
        snapshots.isel(time=[j for j in range(n) if j != i]).mean("time", skipna=False) for i in range(n)
    ]
    return np.array(
        [
            float(distance(snapshots.isel(time=i), other, spread, grid).distance)
            for i, other in enumerate(others)
        ]
    )


def threshold(own: np.ndarray) -> float:
    """Find the distance within which a state counts as equilibrium.

    Parameters
    ----------
    own : distances of the equilibrium's own snapshots [1].

    Returns
    -------
    The smallest of them that at least 95 % do not exceed [1]; NaN if there are none.

    Examples
    --------
    >>> threshold(np.arange(1.0, 21.0))
    20.0
    """
    return float(np.percentile(own, PERCENTILE, method="higher")) if np.size(own) else float("nan")


def years_to_equilibrium(year: np.ndarray, distances: np.ndarray, threshold: float) -> float:
    """Find the first year after which the distance stays within a threshold.

    To stay means that at least 95 % of the snapshots from then on are within, which is what the equilibrium's own
    do: a rule without exception would call a perfect start late whenever one year is unusual.

    Parameters
    ----------
    year : times of the distances, increasing, shape ``(n,)`` [years].
    distances : shape ``(n,)`` [1]; one that is not a number is not within.
    threshold : largest distance that counts as equilibrium [1].

    Returns
    -------
    The year; NaN if it does not stay within to the end, or the threshold is not a number.

    Examples
    --------
    >>> years_to_equilibrium(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.5]), 1.0)
    1.0
    """
    within = np.asarray(distances) <= threshold
    if not within.any():
        return float("nan")
    share = np.cumsum(within[::-1])[::-1] / np.arange(within.size, 0, -1)
    arrived = np.flatnonzero(within & (share >= PERCENTILE / 100.0))
    return float(year[arrived[0]]) if arrived.size else float("nan")


def spinup_passed(final: float, spinup: tuple[np.ndarray, np.ndarray]) -> float:
    """Find the last snapshot of a spin-up that is farther from the equilibrium than a given state.

    Parameters
    ----------
    final : distance of the state [1].
    spinup : years and distances of the snapshots of the spin-up, years increasing [years], [1].

    Returns
    -------
    Its year, a lower bound of the years of spin-up that the state is worth; 0 if none is farther, NaN if there are no
    snapshots or the state has no distance.

    Examples
    --------
    >>> spinup_passed(0.5, (np.array([10.0, 100.0, 400.0]), np.array([2.0, 1.0, 0.4])))
    100.0
    """
    year, distances = spinup
    if not len(year) or not np.isfinite(final):
        return float("nan")
    farther = np.flatnonzero(np.asarray(distances) > final)
    return float(year[farther[-1]]) if farther.size else 0.0


def years_saved(sample: float, rest: float, years: float) -> tuple[float, bool]:
    """Compare the years that a start needs to reach equilibrium with those from rest.

    Parameters
    ----------
    sample, rest : :func:`years_to_equilibrium` of the start and of the start from rest; NaN: not reached.
    years : length of the runs [years].

    Returns
    -------
    saved : years saved [years]; NaN if the start itself did not arrive.
    bound : whether that is a lower bound only, because the start from rest had not arrived when the runs ended.

    Examples
    --------
    >>> years_saved(2.0, float("nan"), 20.0)
    (18.0, True)
    """
    if not np.isfinite(sample):
        return float("nan"), False
    if not np.isfinite(rest):
        return float(years - sample), True
    return float(rest - sample), False


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


def drift(year: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Fit the trend over the last ten years, without the first year of a run.

    Parameters
    ----------
    year : times since the start, increasing, shape ``(n,)`` [years].
    values : any quantity, shape ``(n,)``.

    Returns
    -------
    slope : trend [units of `values` a century]; NaN if fewer than three values are left.
    error : its standard error, same units.
    span : years that were looked at [years].

    Examples
    --------
    >>> slope, error, span = drift(np.arange(21.0), 0.01 * np.arange(21.0))
    >>> round(slope, 9), span
    (1.0, 10.0)
    """
    known = np.isfinite(values)
    year, values = np.asarray(year)[known], np.asarray(values)[known]
    last = year >= (max(year[-1] - DRIFT_YEARS, ADJUSTMENT_YEARS) - 1e-9 if year.size else 0.0)
    if last.sum() < 3:
        return float("nan"), float("nan"), 0.0
    slope, error = trend(year[last], values[last])
    return 100.0 * slope, 100.0 * error, float(np.ptp(year[last]))
