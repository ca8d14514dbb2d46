"""Constraints: what a generated state has to satisfy exactly, and how much each correction moved.

Every function takes one state as a Dataset ``(z, y, x)`` with its mesh, changes nothing else than what it says, and returns
the state with a record of what it moved. Masks need no correction: land is never generated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import xarray as xr

from warmstart.eos import density_anomaly
from warmstart.errors import UserError
from warmstart.generator.conserve import conserve, means
from warmstart.grid import Grid
from warmstart.variables import STATE_VARIABLES, VARIABLES

#: Unit and meaning of each number in a record.
RECORDS: dict[str, tuple[str, str]] = {
    "constraint_clipped_cells": (
        "1",
        "cells of temperature and salinity set to the bound of their physical range",
    ),
    "constraint_convected_share": ("1", "share of the volume that was mixed down to the predicted depth"),
    "constraint_convected_temperature": (
        "K",
        "root mean square change of temperature by mixing down to the predicted depth",
    ),
    "constraint_convected_salinity": (
        "1e-3",
        "root mean square change of salinity by mixing down to the predicted depth",
    ),
    "constraint_carried_temperature": (
        "K",
        "root mean square change of temperature to carry the predicted heat across each row",
    ),
    "constraint_carried_salinity": (
        "1e-3",
        "root mean square change of salinity to carry the predicted salt across each row",
    ),
    "constraint_mixed_share": ("1", "share of the volume that convective adjustment mixed"),
    "constraint_mixed_temperature": ("K", "root mean square change of temperature by convective adjustment"),
    "constraint_mixed_salinity": ("1e-3", "root mean square change of salinity by convective adjustment"),
    "constraint_heat": ("J", "heat content added to reach the wanted one"),
    "constraint_salt": ("kg", "salt content added to reach the wanted one"),
    "constraint_volume": ("m3", "volume added to reach the wanted one"),
    "constraint_conserved_temperature": (
        "K",
        "root mean square change of temperature by setting the contents",
    ),
    "constraint_conserved_salinity": ("1e-3", "root mean square change of salinity by setting the contents"),
    "constraint_barotropic_velocity": ("m s-1", "root mean square change of the depth-mean velocity"),
    "constraint_balanced_velocity": ("m s-1", "root mean square change of the velocity towards thermal wind"),
    "constraint_sea_level": ("m", "mean sea level removed"),
}

#: Share of a variable's physical range by which a state may leave it: what was clipped moves when its contents are set.
CLIPPED = 1e-3

#: What turns a state on its mesh into one that satisfies something, with a record of what it moved.
Constraint = Callable[[xr.Dataset, Grid], tuple[xr.Dataset, dict[str, float]]]


def apply(
    state: xr.Dataset, grid: Grid, constraints: Sequence[Constraint] | None = None
) -> tuple[xr.Dataset, dict[str, float]]:
    """Apply constraints one after the other.

    Parameters
    ----------
    state : ``thetao so uo vo zos``, dims ``(z, y, x)``, NaN on land.
    grid : its mesh.
    constraints : what to apply, in this order; None applies :func:`standard`, with the heat and salt that the state has.

    Returns
    -------
    state : the corrected state.
    record : numbers named in :data:`RECORDS`.

    Raises
    ------
    UserError
        If the state is of another mesh, or not finite at sea.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> apply(state, grid)[1]["constraint_clipped_cells"]
    0.0
    >>> apply(state, grid, [level])[1].keys()
    dict_keys(['constraint_sea_level'])
    """
    record: dict[str, float] = {}
    _require_finite(state, grid)
    chosen = standard(contents_of(state, grid)) if constraints is None else constraints
    for constraint in chosen:
        state, moved = constraint(state, grid)
        record |= moved
    return state, record


def _require_finite(state: xr.Dataset, grid: Grid) -> None:
    """Refuse what no correction can mend."""
    for name in (n for n in STATE_VARIABLES if n in state):
        wet = grid.mask(VARIABLES[name].point, VARIABLES[name].three_d)
        if state[name].dims != wet.dims or state[name].shape != wet.shape:
            raise UserError(
                f"{name} has shape {dict(state[name].sizes)}; expected one state on the mesh, {dict(wet.sizes)}"
            )
        bad = int((~np.isfinite(state[name].values) & wet.values).sum())
        if bad:
            raise UserError(f"{name} is not finite at {bad} wet points; expected NaN on land only")


def standard(
    targets: Mapping[str, float],
    responses: Mapping[str, xr.Dataset] | None = None,
    predicted: Sequence[Constraint] = (),
    currents: Sequence[Constraint] = (),
) -> tuple[Constraint, ...]:
    """The constraints of a generated state, in the order in which each keeps what those before it have made.

    Parameters
    ----------
    targets : means of ``thetao``, ``so`` and ``zos`` that stand for heat, salt and volume.
    responses : how the state changes with each (:func:`warmstart.generator.conserve.responses_of`).
    predicted : what has a regression of its own: the depth down to which columns are mixed
        (:func:`warmstart.generator.mixed_layer.mixed`), then transports of heat and salt
        (:func:`warmstart.generator.transports.carrying`).
    currents : what makes the currents follow the water as it is then (:func:`warmstart.generator.thermal_wind.balancing`).

    Returns
    -------
    Bounds, contents, non-divergent barotropic flow, mixed layers, transports, stable columns (all three conserve the
    contents), thermal wind (which keeps the depth-mean flow), mean sea level: that of the target, or 0.
    """

    def contents(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        kept, record = conserve(state, grid, targets, responses)
        _require_bounded(kept, targets)
        return kept, record

    def volume(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        return level(state, grid, targets.get("zos", 0.0))

    return bound, contents, close_barotropic, *predicted, stabilise, *currents, volume


def _require_bounded(state: xr.Dataset, targets: Mapping[str, float]) -> None:
    """Refuse contents that take temperature or salinity to what no ocean has."""
    for name in ("thetao", "so"):
        low, high = VARIABLES[name].bounds
        lowest, highest = float(state[name].min()), float(state[name].max())
        slight = CLIPPED * (high - low)
        if lowest < low - slight or highest > high + slight:
            raise UserError(
                f"with a mean {name} of {targets[name]:g} {VARIABLES[name].units} the state ranges from {lowest:.3g} to "
                f"{highest:.3g}; expected {low:g} to {high:g}. Ask for a mean nearer to those of the training states"
            )


def contents_of(state: xr.Dataset, grid: Grid) -> dict[str, float]:
    """Means of temperature and salinity that a state has, and no mean sea level: what its corrections have to keep."""
    return means(state, grid) | {"zos": 0.0}


def bound(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
    """Keep temperature and salinity within the physical range of the variables table."""
    new = {n: state[n].clip(*VARIABLES[n].bounds, keep_attrs=True) for n in ("thetao", "so")}
    cells = sum(int((new[n] != state[n]).where(state[n].notnull(), False).sum()) for n in new)
    return state.assign(new), {"constraint_clipped_cells": float(cells)}


def level(state: xr.Dataset, grid: Grid, mean: float = 0.0) -> tuple[xr.Dataset, dict[str, float]]:
    """Give the sea level this area mean [m], and record by how much it was too high."""
    above = float((state["zos"].fillna(0.0) * grid.area).sum() / grid.area.sum()) - mean
    return state.assign(zos=(state["zos"] - above).assign_attrs(state["zos"].attrs)), {
        "constraint_sea_level": above
    }


def stabilise(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
    """Mix every column until no cell is denser than the one below it, at the depth of their common face.

    Parameters
    ----------
    state : with ``thetao`` [degC] and ``so`` [1e-3], dims ``(z, y, x)``.
    grid : its mesh.

    Returns
    -------
    state : heat and salt content of every column unchanged; cells of a mixed layer are equal, bit for bit.
    record : share of the volume mixed, changes of temperature and salinity.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> upside_down = state.assign(thetao=state.thetao.isel(z=slice(None, None, -1)))
    >>> mixed, record = stabilise(upside_down, grid)
    >>> record["constraint_mixed_share"] > 0.9
    True
    """
    wet = grid.tmask.values > 0
    thetao, so = adjust_columns(
        state["thetao"].values, state["so"].values, grid.e3t_0.values, grid.gdepw_0.values, wet
    )
    moved = {n: np.where(wet, new - state[n].values, 0.0) for n, new in (("thetao", thetao), ("so", so))}
    volume = grid.volume.values
    rms = {n: float(np.sqrt((volume * m**2).sum() / volume.sum())) for n, m in moved.items()}
    share = float(volume[(moved["thetao"] != 0) | (moved["so"] != 0)].sum() / volume.sum())
    new = {
        n: state[n].copy(data=np.where(wet, values, np.nan)) for n, values in (("thetao", thetao), ("so", so))
    }
    return state.assign(new), {
        "constraint_mixed_share": share,
        "constraint_mixed_temperature": rms["thetao"],
        "constraint_mixed_salinity": rms["so"],
    }


def adjust_columns(
    thetao: np.ndarray, so: np.ndarray, thickness: np.ndarray, top: np.ndarray, wet: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Conservative convective adjustment: pool adjacent violators on locally referenced density.

    Cells are taken from the surface down. The last layer of the profile is mixed with the one above it as long as it is the
    lighter of the two at the depth of their common face; a layer that is left behind never changes again, so one pass
    leaves no unstable pair, whatever the equation of state.

    Parameters
    ----------
    thetao, so : ``(z, y, x)``, [degC] and [1e-3].
    thickness : of the cells, ``(z, y, x)`` [m].
    top : depth of the upper face of the cells, ``(z, y, x)`` [m].
    wet : ``(z, y, x)``.

    Returns
    -------
    thetao, so : as given on land.
    """
    shape, levels = wet.shape, wet.shape[0]
    t, s, h, face, sea = (
        a.reshape(levels, -1) for a in (thetao.astype(float), so.astype(float), thickness, top, wet)
    )
    columns = np.arange(sea.shape[1])
    stack_t, stack_s, stack_h, stack_face = (np.zeros((levels, columns.size)) for _ in range(4))
    layer = np.zeros((levels, columns.size), int)  # which layer of the stack each cell went to
    count = np.zeros(columns.size, int)
    for k in range(levels):
        new = columns[sea[k]]
        for stack, values in ((stack_t, t), (stack_s, s), (stack_h, h), (stack_face, face)):
            stack[count[new], new] = values[k, new]
        count[new] += 1
        layer[k] = count - 1
        active = new[count[new] > 1]
        while active.size:
            below, above = (count[active] - 1, active), (count[active] - 2, active)
            depth = stack_face[below]
            heavy = density_anomaly(stack_t[above], stack_s[above], depth) > density_anomaly(
                stack_t[below], stack_s[below], depth
            )
            active = active[heavy]
            below, above = (count[active] - 1, active), (count[active] - 2, active)
            total = stack_h[above] + stack_h[below]
            for stack in (stack_t, stack_s):
                stack[above] = (stack[above] * stack_h[above] + stack[below] * stack_h[below]) / total
            stack_h[above] = total
            count[active] -= 1
            layer[: k + 1, active] = np.minimum(layer[: k + 1, active], count[active] - 1)
            active = active[count[active] > 1]
    pick = (np.maximum(layer, 0), np.broadcast_to(columns, layer.shape))
    return tuple(
        np.where(sea, stack[pick], old).reshape(shape) for stack, old in ((stack_t, t), (stack_s, s))
    )  # type: ignore[return-value]


def inversions(thetao: np.ndarray, so: np.ndarray, top: np.ndarray, wet: np.ndarray) -> int:
    """Count vertical pairs of wet cells with the denser one above, at the depth of their common face.

    Parameters
    ----------
    thetao, so, top, wet : as :func:`adjust_columns`.
    """
    pair = wet[:-1] & wet[1:]
    upper = density_anomaly(thetao[:-1], so[:-1], top[1:])
    lower = density_anomaly(thetao[1:], so[1:], top[1:])
    return int((np.where(pair, upper - lower, 0.0) > 0).sum())


def close_barotropic(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
    """Make the depth-integrated transport that of a streamfunction, constant along each wall.

    The change of velocity is uniform with depth and the smallest in kinetic energy that removes the divergence: a Poisson
    problem for the streamfunction on F points, with one unknown a wall. A flow without divergence is not changed, so that
    the transport through a re-entrant channel stays.

    Parameters
    ----------
    state : with ``uo`` and ``vo`` [m s-1], dims ``(z, y, x)``, NaN on land.
    grid : its mesh.

    Returns
    -------
    state : with corrected velocities.
    record : change of the depth-mean velocity.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> closed, record = close_barotropic(state, grid)
    >>> close_barotropic(closed, grid)[1]["constraint_barotropic_velocity"] < 1e-15
    True
    """
    solver = _streamfunction(grid)
    change_u, change_v = solver(state["uo"].values, state["vo"].values)
    umask, vmask = grid.umask.values > 0, grid.vmask.values > 0
    new = {
        "uo": state["uo"].copy(data=np.where(umask, state["uo"].values + change_u, np.nan)),
        "vo": state["vo"].copy(data=np.where(vmask, state["vo"].values + change_v, np.nan)),
    }
    squares = np.concatenate([change_u[umask[0]] ** 2, change_v[vmask[0]] ** 2])
    return state.assign(new), {
        "constraint_barotropic_velocity": float(np.sqrt(squares.mean())) if squares.size else 0.0
    }


@lru_cache(maxsize=4)
def _streamfunction(grid: Grid) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Factorise the Poisson problem of a mesh; the answer maps velocities to the change of their depth mean."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    ends, depth, width, length = _faces(grid)
    node = _walls(ends, depth > 0)
    opened = np.flatnonzero(depth > 0)
    rows = np.tile(np.arange(opened.size), 2)
    columns = np.concatenate([node[ends[1, opened]], node[ends[0, opened]]])
    signs = np.repeat([1.0, -1.0], opened.size)
    # only differences of the streamfunction matter: the first wall keeps 0
    gradient = coo_matrix((signs, (rows, columns)), shape=(opened.size, node.max() + 1)).tocsc()[:, 1:]
    energy = diags(length[opened] / (width[opened] * depth[opened]))
    factor = splu((gradient.T @ energy @ gradient).tocsc())
    thickness = [(grid.ds[f"e3{p}_0"] * (grid.ds[f"{p}mask"] > 0)).values for p in "uv"]

    def change(uo: np.ndarray, vo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flow = [np.where(h > 0, v, 0.0) * h for v, h in zip((uo, vo), thickness, strict=True)]
        transport = np.concatenate([f.sum(0).ravel() for f in flow])[opened] * width[opened]
        psi = factor.solve(gradient.T @ (energy @ transport))
        moved = np.zeros(depth.size)
        moved[opened] = (gradient @ psi - transport) / (width[opened] * depth[opened])
        half = uo[0].size
        return moved[:half].reshape(uo.shape[1:]), moved[half : 2 * half].reshape(vo.shape[1:])

    return change


def _faces(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Faces of the columns: the F points at their two ends, depth [m], width across and length along the flow [m].

    U faces come first, then V faces, then the rim of the domain, which is closed; `ends` is ``(2, face)`` and the
    transport through a face is the streamfunction at its second end minus that at its first.
    """
    _, ny, nx = grid.shape
    wrap = nx if grid.periodic_x else nx + 1
    point = np.arange((ny + 1) * wrap).reshape(ny + 1, wrap)  # row 0 lies south of the domain
    east = point[:, -nx:]
    west = np.roll(point, 1, axis=1) if grid.periodic_x else point[:, :-1]
    ends = [(east[1:], east[:-1]), (west[1:], east[1:])]
    rim = [(west[0], east[0])] if grid.periodic_x else [(west[0], east[0]), (point[1:, 0], point[:-1, 0])]
    depth, width, length = [], [], []
    for p, across, along in (("u", "e2u", "e1u"), ("v", "e1v", "e2v")):
        column = (grid.ds[f"e3{p}_0"] * (grid.ds[f"{p}mask"] > 0)).sum("z").values
        if p == "v":
            column[-1] = 0.0  # no flow leaves through the northern rim
        elif not grid.periodic_x:
            column[:, -1] = 0.0
        depth.append(column.ravel())
        width.append(grid.ds[across].values.ravel())
        length.append(grid.ds[along].values.ravel())
    closed = np.zeros(sum(a.size for a, _ in rim))
    joined = np.stack([np.concatenate([pair[i].ravel() for pair in ends + rim]) for i in (0, 1)])
    return joined, *(np.concatenate([*parts, closed]) for parts in (depth, width, length))  # type: ignore[return-value]


def _walls(ends: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Number the unknowns: F points that closed faces join share one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(ends.max()) + 1
    first, second = ends[:, ~opened]
    graph = coo_matrix((np.ones(first.size), (first, second)), shape=(size, size))
    return connected_components(graph, directed=False)[1]
