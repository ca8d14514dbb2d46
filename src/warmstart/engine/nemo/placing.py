"""Fields on the mesh: pieces put together, repeated columns taken off, rows that a file leaves out put in their place."""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart import lazy
from warmstart.engine.nemo.names import arrange
from warmstart.engine.nemo.pieces import Source
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.variables import Variable

#: Names of the latitude of the points in files.
LATITUDES = ("nav_lat", "latitude", "lat", "nav_lat_grid_T", "gphit")


def on_mesh(source: Source, name: str, table: Variable, grid: Grid) -> xr.Variable:
    """A variable of a file as ``(time, [z,] y, x)`` on the mesh.

    Parameters
    ----------
    source : the file, or its pieces.
    name : of the variable in it.
    table : what it is.
    grid : the mesh.

    Returns
    -------
    Not read yet; NaN in rows and columns of land that the file leaves out. A row beyond a north fold that it leaves out has the values that
    it repeats.

    Raises
    ------
    UserError
        If the sizes are those of another mesh.
    """
    sizes = dict(zip("zyx", grid.shape, strict=True))
    whole = source.merged([arrange(p.variables[name], table.dims, name, sizes) for p in source.parts])
    if whole.sizes["x"] == sizes["x"] + 2 and grid.periodic_x:
        whole = whole[..., 1:-1]
    if whole.sizes["y"] == sizes["y"] + 1 and grid.fold is not None and not grid.fold.beyond:
        whole = whole[..., :-1, :]
    if _levels_fit(whole, table, grid) and whole.shape[-2:] != grid.shape[1:]:
        whole = _completed(whole, source, table, grid)
    found = {d: whole.sizes[d] for d in table.dims}
    if found != {d: sizes[d] for d in table.dims}:
        raise UserError(
            f"{source.path}: {name} has sizes {found} but the mesh {sizes}; give the mesh_mask of the same run"
        )
    return whole


def _levels_fit(whole: xr.Variable, table: Variable, grid: Grid) -> bool:
    return not table.three_d or whole.sizes["z"] == grid.shape[0]


def _completed(whole: xr.Variable, source: Source, table: Variable, grid: Grid) -> xr.Variable:
    """With the rows and columns at the edges that the file leaves out; as it is where these are not known to be land or repeated."""
    wet = grid.mask("T", three_d=False).values
    ny, nx = grid.shape[1:]
    rows, columns = ny - whole.sizes["y"], nx - whole.sizes["x"]
    east = west = 0
    if columns == 2 and not grid.periodic_x and not wet[:, [0, -1]].any():
        east = west = 1
    elif columns:
        return whole
    folded = rows == 1 and grid.fold is not None and grid.fold.beyond
    south, north = _edges(rows, wet, source, grid) if not folded else (0, 1)
    if south + north != rows:
        return whole
    pad = ((south, north), (west, east))
    shape = (*whole.shape[:-2], ny, nx)

    def read(key: lazy.Key) -> np.ndarray:
        part = lazy.take(whole, (*key[:-2], slice(None), slice(None)))
        values = np.pad(part, (*((0, 0),) * (part.ndim - 2), *pad), constant_values=np.nan)
        if folded and grid.fold is not None:
            values = grid.fold.restored(values, table.point)
        return values[(*(slice(None),) * (values.ndim - 2), *key[-2:])]

    dtype = np.result_type(whole.dtype, "float32")
    return lazy.variable(tuple(map(str, whole.dims)), shape, dtype, read, whole.attrs)


def _edges(rows: int, wet: np.ndarray, source: Source, grid: Grid) -> tuple[int, int]:
    """How many rows of land are missing in the south and in the north."""
    land = (not wet[0].any(), not wet[-1].any())
    if rows == 2 and all(land):
        return 1, 1
    if rows != 1 or not any(land):
        return 0, 0
    if all(land):  # only its latitudes tell
        latitude = next((source.first[n] for n in LATITUDES if n in source.first.variables), None)
        if latitude is None or source.size is not None:
            return 0, 0
        first = float(np.atleast_1d(latitude.values).reshape(latitude.shape[0], -1)[0].mean())
        mesh = grid.gphit.values.mean(axis=1)
        return (1, 0) if abs(first - mesh[1]) < abs(first - mesh[0]) else (0, 1)
    return int(land[0]), int(land[1])
