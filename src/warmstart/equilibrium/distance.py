"""How far a state is from equilibrium: distances in units of a spread, level by level."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import carried, held

#: The variables that the distance compares; the ocean's memory is in them.
TRACERS = ("thetao", "so")
#: What they are called in labels.
WORDS = {"thetao": "temperature", "so": "salinity"}
#: Name and unit of the difference of each in physical units; of others ``distance_NAME`` in the unit of the variable.
IN_UNITS = {"thetao": ("distance_thetao_K", "K"), "so": ("distance_so", "1e-3")}
#: Ranges of depth [m].
DEPTHS: dict[str, tuple[float, float]] = {
    "all": (0.0, np.inf), "0-500 m": (0.0, 500.0), "500-2000 m": (500.0, 2000.0), "below 2000 m": (2000.0, np.inf),
}  # fmt: skip
#: A level whose spread is a smaller share of the whole ocean's is measured in that share of it: where nearly nothing varies,
#: any difference would be enormous.
LEAST_SPREAD = 0.1
#: Share of an equilibrium's own distances that its threshold lets through.
PERCENTILE = 95.0


def compared(states: xr.Dataset) -> tuple[str, ...]:
    """Variables that a distance compares: temperature and salinity, as far as they are there, else the tracers of the engine.

    Examples
    --------
    >>> compared(xr.Dataset({"so": 35.0, "thetao": 4.0, "uo": 0.1})), compared(xr.Dataset({"thetao": 4.0}))
    (('thetao', 'so'), ('thetao',))
    """
    usual = tuple(name for name in TRACERS if name in states)
    return usual or tuple(n for n, t in carried(states).items() if t.three_d and t.point == "T")


def expected(states: xr.Dataset, what: str) -> tuple[str, ...]:
    """Variables that a distance compares in a file of states, all of those that the file says its states hold.

    Parameters
    ----------
    states : the file.
    what : what to call it in the message.

    Raises
    ------
    UserError
        If one is missing, or the states have no tracer.

    Examples
    --------
    >>> expected(xr.Dataset({"thetao": 4.0}), "control.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: control.nc holds no so; expected a states file
    """
    usual = tuple(name for name in TRACERS if name in held(states))
    if missing := [name for name in usual if name not in states]:
        raise UserError(f"{what} holds no {' and no '.join(missing)}; expected a states file")
    if not (names := usual or compared(states)):
        raise UserError(f"{what} holds no tracer that a distance could compare; expected a states file")
    return names


def ensemble_spread(states: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much the states of an ensemble differ from their mean, level by level.

    Parameters
    ----------
    states, grid : ``thetao`` [degC] and ``so`` [1e-3], dims ``(sample, z, y, x)``, at least two samples, and their mesh.

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
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> ensemble_spread(xr.concat([state, state + 2.0], "sample"), grid).thetao.values.round(3)
    array([1., 1., 1., 1.])
    """
    if states.sizes.get("sample", 1) < 2:
        raise UserError("one state has no spread; give at least two samples, or a reference of its own")
    squares = {n: states[n].astype("float64").var("sample", skipna=False) for n in compared(states)}
    return _level_rms(squares, states, grid)


def horizontal_spread(state: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how much one state varies along each level, where no ensemble is at hand.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], dims ``(z, y, x)``, and their mesh.

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
    >>> horizontal_spread(*ws.basin()).thetao.dims
    ('z',)
    """
    area = grid.volume / grid.e3t_0
    squares = {}
    for name in compared(state):
        values = state[name].where(grid.tmask > 0).astype("float64")
        mean = (values.fillna(0.0) * area).sum(("y", "x")) / area.sum(("y", "x"))
        squares[name] = (values - mean) ** 2
    return _level_rms(squares, state, grid)


def _level_rms(squares: Mapping[str, xr.DataArray], states: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Root of the area mean of squares over the wet cells of each level, floored, in the units of the states."""
    area = grid.volume / grid.e3t_0
    total = area.sum(("y", "x"))
    out = {}
    for name, square in squares.items():
        mean = (square.where(grid.tmask > 0, 0.0) * area).sum(("y", "x")) / total.where(total > 0)
        out[name] = (mean**0.5).assign_attrs(units=states[name].attrs.get("units", ""))
    return floored(xr.Dataset(out), grid)


def floored(spread: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Raise the spread of levels where nearly nothing varies to a tenth of the whole ocean's.

    Parameters
    ----------
    spread, grid : ``thetao`` [degC] and ``so`` [1e-3], dims ``(z,)``, and the mesh.

    Returns
    -------
    The same; a variable of which levels were raised has the attributes ``raised_levels`` and ``raised_to``.

    Raises
    ------
    UserError
        If a variable does not vary at any level.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> small = xr.Dataset({name: ("z", [2.0, 1.0, 1.0, 1e-9]) for name in TRACERS})
    >>> floored(small, grid).thetao.values[-1] > 0.05
    np.True_
    """
    volume = grid.volume.sum(("y", "x"))
    out = {}
    for name in spread.data_vars:
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
    raised = {str(n): da.attrs for n, da in spread.data_vars.items() if da.attrs.get("raised_levels")}
    units = {n: IN_UNITS[n][1] if n in IN_UNITS else about.get("units", "1") for n, about in raised.items()}
    said = [
        f"{n} at {about['raised_levels']} levels by {about['raised_to']:.2g} {units[n]}"
        for n, about in raised.items()
    ]
    share = f"a tenth of the whole ocean's, where it varies by less: {' and '.join(said)}"
    return f", at least {share}" if said else ""


def distance(states: xr.Dataset, target: xr.Dataset, spread: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how far states are from a target, each level in units of the ensemble's standard deviation.

    D is the root of the volume mean of ((x - target) / spread)**2, for temperature, for salinity, and for both
    together (root of the mean of the two squares). It is of what the spread holds (:func:`compared`).

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(..., z, y, x)``.
    target : the same variables, dims ``(z, y, x)``.
    spread, grid : the same variables, dims ``(z,)``, from :func:`ensemble_spread`, and the mesh.

    Returns
    -------
    ``distance``, ``distance_thetao_sd``, ``distance_so_sd``, dims ``(...)`` [1]; NaN where a wet cell is no number.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> float(distance(state + 2.0, state, one, grid).distance)
    2.0
    """
    wet = grid.tmask > 0
    squares = {
        name: grid.mean((((states[name] - target[name]) / spread[name]) ** 2).where(wet, 0.0))
        for name in spread.data_vars
    }
    words = {name: WORDS.get(str(name), str(name)) for name in squares}
    total = functools.reduce(operator.add, squares.values())
    found = {"distance": ((total / len(squares)) ** 0.5, " and ".join(words.values()))}
    found |= {f"distance_{name}_sd": (square**0.5, words[name]) for name, square in squares.items()}
    holes, out = _holes(states, grid, squares), {}
    for name, (values, label) in found.items():
        text = f"distance to the equilibrium in {label}, each level in units of its spread"
        # a distance in temperature is no temperature
        bare = values.where(~holes).drop_attrs(deep=False)
        out[name] = bare.assign_attrs(units="1", long_name=text)
    return xr.Dataset(out)


def _holes(states: xr.Dataset, grid: Grid, names: Iterable[Any]) -> xr.DataArray:
    """Whether a wet cell of each state is no number: it has no distance then, which a mask must not hide."""
    wet = grid.tmask > 0
    found = [states[name].isnull().where(wet, False).any(("z", "y", "x")) for name in names]
    return functools.reduce(operator.or_, found)


def differences(states: xr.Dataset, target: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Measure how far states are from a target in physical units, by range of depth.

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], dims ``(..., z, y, x)``.
    target, grid : the same variables, dims ``(z, y, x)``, and the mesh.

    Returns
    -------
    ``distance_thetao_K`` [K] and ``distance_so`` [1e-3], dims ``(..., depth)``: the root of the volume mean of the squared
    difference in each range of :data:`DEPTHS`; NaN in a range without water, and where a wet cell is no number.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> differences(state + 2.0, state, grid).distance_thetao_K.values[:2]
    array([2., 2.])
    """
    chosen = compared(target)
    wet, holes = grid.tmask > 0, _holes(states, grid, chosen)
    depth = grid.gdept_0
    parts = [grid.volume.where((depth >= low) & (depth < high), 0.0) for low, high in DEPTHS.values()]
    names = xr.DataArray(np.array(list(DEPTHS), dtype=object), dims="depth", name="depth")
    volume = xr.concat(parts, "depth").assign_coords(depth=names)
    total = volume.sum(("z", "y", "x"))
    out = {}
    for name in chosen:
        label, units = IN_UNITS.get(name, (f"distance_{name}", str(target[name].attrs.get("units", "1"))))
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
    spread, grid : the same variables, dims ``(z,)``, and the mesh.

    Returns
    -------
    Distances [1] of all pairs, shape ``(n (n - 1) / 2,)``; empty if there is only one snapshot.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> own_distances(xr.concat([state, state + 2.0, state + 3.0], "time"), one, grid)
    array([2., 3., 1.])
    """
    later = [
        distance(
            snapshots.isel(time=slice(i + 1, None)), snapshots.isel(time=i), spread, grid
        ).distance.values
        for i in range(snapshots.sizes["time"] - 1)
    ]
    return np.concatenate([np.zeros(0), *later])


def threshold(own: np.ndarray) -> float:
    """Find the distance within which a state counts as equilibrium, from its own snapshots' distances from one another [1].

    Returns
    -------
    The smallest of them that at least 95 % do not exceed [1]; NaN if there are none.

    Examples
    --------
    >>> threshold(np.arange(1.0, 21.0))
    20.0
    """
    return float(np.percentile(own, PERCENTILE, method="higher")) if np.size(own) else float("nan")
