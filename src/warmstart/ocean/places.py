"""Positions as coordinates: what states in memory carry, so that they can be selected by latitude and drawn as they are.

Dimensions stay ``z y x``. Where the mesh is rectilinear ``lat lon depth`` select along them, and coordinates of the dimensions'
own names label the axes of plots; elsewhere latitude and longitude are fields. They are those of the T points: U lies half a cell to the
east, V half a cell to the north.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.indexes import PandasIndex

from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import carried

ROLE = "position"  #: attribute ``role`` of what :func:`locate` adds
LATITUDE = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "role": ROLE}
LONGITUDE = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "role": ROLE}
DEPTH = {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down", "role": ROLE}
YEAR = {"long_name": "model year", "units": "years", "role": ROLE}


class Places(PandasIndex):
    """Positions that select and never align: neighbours on a C grid are combined by their place in the array."""

    def equals(self, other: Any, **_: Any) -> bool:
        """Whether two arrays may be combined as they are: always, as without positions."""
        return True


def locate(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Add positions to states, and make coordinates of their parameters.

    Parameters
    ----------
    ds : states, dims ``([sample|time,] z, y, x)``.
    grid : their mesh.

    Returns
    -------
    The states; coordinates ``lat lon depth`` [degrees, m], indexed, where the mesh is rectilinear, else ``latitude longitude``
    ``(y, x)``; ``time`` [years] where there is a ``year``.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> float(locate(state, grid).thetao.sel(lat=30, method="nearest").lat)
    30.0
    """
    lat, lon = grid.gphit.values, grid.glamt.values
    plain = np.allclose(lat, lat[:, :1], atol=1e-6) and np.allclose(lon, lon[:1], atol=1e-6)
    axes = {"z": ("depth", grid.gdept_1d.values, DEPTH)}
    if plain:
        axes |= {"y": ("lat", lat[:, 0], LATITUDE), "x": ("lon", lon[0], LONGITUDE)}
    out = ds
    for dim, (name, values, attrs) in axes.items():
        if dim in ds.dims and ds.sizes[dim] == values.size:
            out = _labelled(out, dim, values, attrs)
            out = out.assign_coords({name: (dim, values, attrs)}).set_xindex(name, Places)
    if not plain and (ds.sizes.get("y"), ds.sizes.get("x")) == lat.shape:
        out = out.assign_coords(latitude=(("y", "x"), lat, LATITUDE), longitude=(("y", "x"), lon, LONGITUDE))
    if "time" in ds.dims and "time" not in ds.variables and "year" in ds.coords and ds.year.dims == ("time",):
        out = _labelled(out, "time", ds.year.values, YEAR)
    out = out.set_coords([n for n in carried(ds) if n in ds.data_vars])
    out.set_close(ds.close)
    return out


def bare(ds: xr.Dataset) -> xr.Dataset:
    """Take off what :func:`locate` added.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> xr.testing.assert_identical(bare(locate(state, grid)), state)
    """
    added = [n for n, c in ds.coords.items() if c.attrs.get("role") == ROLE]
    if not added:
        return ds
    out = ds.drop_vars(added)
    out = out.reset_coords([n for n in carried(out) if n in out.coords])
    out.set_close(ds.close)
    return out


def _labelled(ds: xr.Dataset, dim: str, values: np.ndarray, attrs: dict[str, str]) -> xr.Dataset:
    """With a coordinate of the dimension's own name that labels plots and is no index."""
    return ds.assign_coords(xr.Coordinates({dim: (dim, values, attrs)}, indexes={}))
