"""Volume transport across a section: along the faces of the mesh between two of its corner points.

The broken line of faces that runs nearest to the great circle through both ends. The flow across it is the difference of the
streamfunction between its ends: for a flow without depth-integrated divergence every path between them has the same transport.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.constants import EARTH_RADIUS
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import SVERDRUP, east_transport, labelled, north_transport, total


class Section(NamedTuple):
    """Faces of a section, as signs.

    Attributes
    ----------
    east : 1 where the eastward flow through a U face counts, -1 where it counts against, else 0; ``(y, x)``.
    north : the same of the northward flow through V faces.
    """

    east: xr.DataArray
    north: xr.DataArray


def find_section(grid: Grid, start: tuple[float, float], end: tuple[float, float]) -> Section:
    """Find the faces between the corner points (F points) that are nearest to two places.

    Parameters
    ----------
    grid : the mesh.
    start, end : longitude and latitude of the ends [degrees_east, degrees_north]; on land, where the section shall be a strait.

    Returns
    -------
    The faces. What flows to the right of the way from `start` to `end` counts positive: from the southern to the northern bank, eastward.

    Raises
    ------
    UserError
        If an end is no place, lies outside of the mesh, or both fall on one corner point.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> int(find_section(grid, (25.0, -60.0), (25.0, 60.0)).east.sum())
    6
    """
    place = _on_sphere(grid.glamf.transpose("y", "x").values, grid.gphif.transpose("y", "x").values)
    ends = [_nearest(grid, place, *point) for point in (start, end)]
    (j, i), (j_end, i_end) = ends
    if ends[0] == ends[1]:
        both = f"both ends of the section {start} to {end} are one corner of the mesh"
        raise UserError(f"{both}; take them farther apart")
    columns = grid.shape[2]
    pole = np.cross(_on_sphere(*start), _on_sphere(*end))
    pole = pole / max(float(np.linalg.norm(pole)), 1e-12)
    across = i_end - i
    if grid.periodic_x:
        across = (across + columns // 2) % columns - columns // 2
    east, north = np.zeros(grid.shape[1:]), np.zeros(grid.shape[1:])
    along_x, along_y = int(np.sign(across)), int(np.sign(j_end - j))
    left_x, left_y = abs(across), abs(j_end - j)
    while left_x or left_y:
        nearer = [abs(float(place[j + along_y, i] @ pole)) if left_y else np.inf,
                  abs(float(place[j, (i + along_x) % columns] @ pole)) if left_x else np.inf]  # fmt: skip
        if nearer[0] <= nearer[1]:
            east[max(j, j + along_y), i] += along_y
            j, left_y = j + along_y, left_y - 1
        else:
            beyond = (i + along_x) % columns
            north[j, beyond if along_x > 0 else i] -= along_x
            i, left_x = beyond, left_x - 1
    return Section(xr.DataArray(east, dims=("y", "x")), xr.DataArray(north, dims=("y", "x")))


def transport_across(
    state: xr.Dataset, grid: Grid, start: tuple[float, float], end: tuple[float, float], name: str = "section"
) -> xr.DataArray:
    """Volume transport across a section.

    Parameters
    ----------
    state, grid : ``uo`` and ``vo``, ``(..., z, y, x)`` [m s-1], and their mesh.
    start, end : as in :func:`find_section`.
    name : what to call it.

    Returns
    -------
    ``(...)`` [Sv], positive to the right of the way from `start` to `end`.

    Raises
    ------
    UserError
        As :func:`find_section`.

    Examples
    --------
    >>> bool(transport_across(*ws.basin(), (0.0, -70.0), (0.0, -40.0)) > 0)
    True
    """
    flows = east_transport(state, grid), north_transport(state, grid)
    parts = [
        total(flow.where(signs != 0, 0.0) * signs, ("z", "y", "x"))
        for flow, signs in zip(flows, find_section(grid, start, end), strict=True)
    ]
    text = f"volume transport across {name}, from {start[0]:g}E {start[1]:g}N to {end[0]:g}E {end[1]:g}N"
    return labelled((parts[0] + parts[1]) / SVERDRUP, name, "Sv", text)


def _on_sphere(lon: np.ndarray | float, lat: np.ndarray | float) -> np.ndarray:
    """Unit vectors ``(..., 3)``."""
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _nearest(grid: Grid, place: np.ndarray, lon: float, lat: float) -> tuple[int, int]:
    """Row and column of the nearest F point; refuses a place farther from it than two cells are long."""
    if not (-90.0 <= lat <= 90.0 and np.isfinite(lon)):
        raise UserError(f"{lon:g}, {lat:g} is no longitude and latitude; expected for example -68, -55")
    near = place @ _on_sphere(lon, lat)
    j, i = np.unravel_index(int(np.argmax(near)), near.shape)
    away = np.linalg.norm(place[j, i] - _on_sphere(lon, lat)) * EARTH_RADIUS
    longest = 2.0 * max(float(grid.ds[name].isel(y=j, x=i)) for name in ("e1f", "e2f"))
    if away > longest:
        outside = f"{lon:g}E {lat:g}N lies {away / 1e3:.0f} km outside of the mesh"
        raise UserError(f"{outside}; give ends of the section inside of it")
    return int(j), int(i)
