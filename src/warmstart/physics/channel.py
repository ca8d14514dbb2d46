"""The re-entrant channel of a mesh, found from its masks: what its coasts are, and through which faces water goes round.

The rows whose U faces are open all the way round are the channel's. Each bank is a coast: a group of corner points (F points) that no
water separates. Towards the pole it is the coast of the mesh's edge (the Antarctica of a global mesh), towards the equator the land that
reaches farthest north to south (the wall of a sector, the continents of a globe). An island between them divides no section: both its
sides count.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.physics.streamfunction import coasts, face_differences


@dataclass(frozen=True, eq=False)
class Channel:
    """The sections that lead from one bank of a channel to the other.

    Attributes
    ----------
    rows : which rows are open all the way round, boolean ``(y,)``; none where the channel winds.
    faces : which U faces belong to a section, boolean ``(y, x)``: a column without any leads to another coast.
    sections : which columns have a section, boolean ``(x,)``.
    strait : which of them are the narrowest, boolean ``(x,)``.
    """

    rows: xr.DataArray
    faces: xr.DataArray
    sections: xr.DataArray
    strait: xr.DataArray


_known: WeakKeyDictionary[Grid, Channel | str] = WeakKeyDictionary()


def find_channel(grid: Grid) -> Channel:
    """Find the channel of a mesh in which water goes round; of several the southernmost.

    Raises
    ------
    UserError
        If there is none, saying why.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> find_channel(grid).rows.values.tolist()
    [False, True, False, False, False, False, False, False]
    """
    found = _known.get(grid)
    if found is None:
        try:
            found = _find(grid)
        except UserError as error:
            found = str(error)
        _known[grid] = found
    if isinstance(found, str):
        raise UserError(found)
    return found


def _find(grid: Grid) -> Channel:
    if not grid.periodic_x:
        raise UserError("no open channel: the mesh does not close on itself from west to east")
    flow = [grid.mask(point).any("z").transpose("y", "x").values for point in ("U", "V")]
    east, width = flow[0], grid.e2u.transpose("y", "x").values
    wet = np.concatenate([f.ravel() for f in flow])
    group = coasts(face_differences(grid), wet, grid.shape[2])[1].reshape(grid.shape[1] + 1, grid.shape[2])
    bands = _bands(np.asarray(east.all(axis=1)))
    if not bands and (group[0, 0] == group[-1, 0] or len(set(group[-1])) > 1):
        raise UserError("no open channel: land lies across every way round")
    # where water goes round, but along no one row, a section is a whole column
    first, last = bands[0] if bands else (0, len(east))
    south, north = _banks(group, first, last, bool(bands))
    faces = np.zeros(east.shape, bool)
    for i in range(east.shape[1]):
        start = np.flatnonzero(group[: first + 1, i] == south)
        stop = np.flatnonzero(group[last:, i] == north)
        if start.size and stop.size:
            faces[start[-1] : last + stop[0], i] = True
    faces &= east
    sections = faces.any(axis=0)
    wide = np.where(sections, (width * faces).sum(axis=0), np.inf)
    rows = np.zeros(len(east), bool)
    rows[first:last] = bool(bands)
    return Channel(
        xr.DataArray(rows, dims="y"),
        xr.DataArray(faces, dims=("y", "x")),
        xr.DataArray(sections, dims="x"),
        xr.DataArray(wide <= wide.min() * (1 + 1e-6), dims="x"),
    )


def _bands(rows: np.ndarray) -> list[tuple[int, int]]:
    """First and last-but-one of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rows.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _banks(group: np.ndarray, first: int, last: int, along_rows: bool) -> tuple[int, int]:
    """Coasts south and north of the rows `first` to `last` (without it): the edge poleward, the tallest land equatorward."""
    if not along_rows:
        return int(group[0, 0]), int(group[-1, 0])
    southern = first + last < len(group)  # nearer to the southern edge than to the northern
    edge = int(group[0, 0] if southern else group[-1, 0])
    facing = set(_nearest(group[last:]) if southern else _nearest(group[: first + 1][::-1])) - {edge}
    if not facing:
        raise UserError("no open channel: the land on both sides of it is one")
    tall = {g: np.ptp(np.flatnonzero((group == g).any(axis=1))) for g in facing}
    other = max(tall, key=lambda g: (tall[g], (group == g).sum()))
    if (group == other).sum() == 1:
        raise UserError("no open channel: no coast bounds it towards the equator")
    return (edge, int(other)) if southern else (int(other), edge)


def _nearest(group: np.ndarray) -> list[int]:
    """The coast that each column meets first, from the channel outward: a group of more than one point, or the edge."""
    names, count = np.unique(group, return_counts=True)
    coast = np.isin(group, names[count > 1])
    coast[-1] = True
    at = coast.argmax(axis=0)
    return [int(group[row, i]) for i, row in enumerate(at)]
