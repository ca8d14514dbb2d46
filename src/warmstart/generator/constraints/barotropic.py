"""A depth-integrated flow without divergence as a constraint."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import xarray as xr

from warmstart.generator.constraints.constraint import Moved, declared
from warmstart.ocean.grid import Grid


@declared(
    needs=("uo", "vo"), changes=("uo", "vo"), makes=("barotropic flow",),
    keeps=("land", "bounds", "heat content", "salt content", "columns", "stability", "mean sea level"),
    records={"constraint_barotropic_velocity": ("m s-1", "root mean square change of the depth-mean velocity")},
)  # fmt: skip
def close_barotropic(state: xr.Dataset, grid: Grid) -> Moved:
    """Make the depth-integrated transport that of a streamfunction, constant along each wall.

    The change of velocity is uniform with depth and the smallest in kinetic energy that removes the divergence: a Poisson
    problem for the streamfunction on F points, with one unknown a wall. A flow without divergence is not changed, so that
    the transport through a re-entrant channel stays.

    Parameters
    ----------
    state : with ``uo`` and ``vo`` [m s-1], dims ``(z, y, x)``, NaN on land.
    grid : its mesh.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
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
