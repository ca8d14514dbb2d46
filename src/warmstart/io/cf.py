"""Files for other tools: what CF and CDO ask for is added when a Dataset is written and taken off when it is opened.

Inside the package the mesh alone says where points lie; in a file ncview, CDO or Panoply also want positions, depths and a
time axis, and units that UDUNITS knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from warmstart.ocean.grid import Grid
from warmstart.ocean.places import bare
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES

#: Global attribute that names the variables which are there for other tools only.
ADDED = "for_other_tools"
#: Leading dimensions, written as UNLIMITED: CDO takes that for the time and skips variables of four dimensions without one.
LEADING = ("time", "sample")
#: Units of tables -> units that UDUNITS reads.
UNITS = {"K/century": "0.01 K year-1", "Sv/century": "0.01 Sv year-1"}
#: A dimension ``time`` without times; CF expects a coordinate of that name.
RECORD = "record"


def dress(ds: xr.Dataset, grid: Grid | None, made: dict[str, Any]) -> xr.Dataset:
    """Add what other tools need to a Dataset that is about to be written.

    Parameters
    ----------
    ds : any Dataset of the package.
    grid : its mesh, if it has one: longitude and latitude of the points of each variable, nominal depth of the levels.
    made : who made it, from :func:`warmstart.io.files.provenance`; the Dataset's own attributes go before it.

    Returns
    -------
    A copy; the names of what was added are in its attribute ``for_other_tools``.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> dress(state, grid, {}).attrs["for_other_tools"]
    'z lon_t lat_t lon_u lat_u lon_v lat_v'
    """
    ds = bare(ds)
    out = _with_time(ds.copy())
    added = ["time"] if "time" in out.variables and "time" not in ds.variables else []
    if grid is not None:
        positions = _positions(out, grid)
        out, added = out.assign_coords(positions), [*added, *positions]
        for name in out.data_vars:
            out[name].encoding["coordinates"] = _coordinates(str(name), out, added) or None
    for var in out.variables.values():
        if var.attrs.get("units") in UNITS:
            var.attrs = {**var.attrs, "units": UNITS[var.attrs["units"]]}
        if "temperature" in str(var.attrs.get("standard_name", "")):
            var.attrs = {**var.attrs, "units_metadata": "temperature: on_scale"}
    out.attrs = _history({**made, **ds.attrs}, "thetao" in ds)
    if added:
        out.attrs[ADDED] = " ".join(added)
    out.encoding["unlimited_dims"] = {dim for dim in LEADING if dim in out.dims and _leads(dim, out)}
    return out


def undress(ds: xr.Dataset) -> xr.Dataset:
    """Take off what :func:`dress` added to an opened Dataset; title and history stay. One of other origin is not changed.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> xr.testing.assert_identical(undress(dress(state, grid, {})).drop_attrs(), state.drop_attrs())
    """
    if not {"warmstart_version", ADDED} & set(ds.attrs):
        return ds
    out = ds.drop_vars(str(ds.attrs.get(ADDED, "")).split(), errors="ignore")
    if RECORD in out.dims:
        out = out.rename({RECORD: "time"})
    former = {new: old for old, new in UNITS.items()}
    for var in out.variables.values():
        var.encoding.pop("coordinates", None)
        var.attrs.pop("units_metadata", None)
        if var.attrs.get("units") in former:
            var.attrs["units"] = former[var.attrs["units"]]
    out.attrs.pop(ADDED, None)
    out.set_close(ds.close)
    return out


def _with_time(ds: xr.Dataset) -> xr.Dataset:
    """A time axis in the model's calendar of 360 days, from years or days that increase; else the dimension of another name."""
    if "time" not in ds.dims or "time" in ds.variables:
        return ds
    if not _leads("time", ds):
        return ds.rename({"time": RECORD})
    for name, days in (("year", 360.0), ("day", 1.0)):
        values = (
            ds[name].values * days if name in ds.variables and ds[name].dims == ("time",) else np.zeros(0)
        )
        if values.size and np.isfinite(values).all() and (np.diff(values) > 0).all():
            attrs = {
                "standard_name": "time",
                "units": "days since 0001-01-01",
                "calendar": "360_day",
                "axis": "T",
            }
            return ds.assign_coords(time=("time", values, attrs))
    return ds.rename({"time": RECORD})


def _leads(dim: str, ds: xr.Dataset) -> bool:
    """Whether a dimension is the first of all variables that have it."""
    return all(var.dims[0] == dim for var in ds.variables.values() if dim in var.dims)


def _positions(ds: xr.Dataset, grid: Grid) -> dict[str, Any]:
    """Nominal depths, and longitude and latitude of the points at which there are variables."""
    found: dict[str, Any] = {}
    if "z" in ds.dims and "z" not in ds.variables:
        about = {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"}
        found["z"] = ("z", grid.gdept_1d.values, {**about, "long_name": "nominal depth of the T points"})
    held = {_point(str(name)) for name, var in ds.data_vars.items() if {"y", "x"} <= set(var.dims)}
    for point in (p for p in "TUV" if p in held):
        p = point.lower()
        for name, source, said in (("lon", "glam", "longitude"), ("lat", "gphi", "latitude")):
            attrs = {"standard_name": said, "units": f"degrees_{'east' if name == 'lon' else 'north'}"}
            attrs["long_name"] = f"{said} of the {point} points"
            found[f"{name}_{p}"] = (("y", "x"), grid.ds[f"{source}{p}"].values, attrs)
    return found


def _point(name: str) -> str:
    """C-grid point of a variable, as far as the horizontal goes."""
    table = VARIABLES.get(name) or DIAGNOSTICS.get(name)
    return "T" if table is None or table.point == "W" else table.point


def _coordinates(name: str, ds: xr.Dataset, added: list[str]) -> str:
    """The coordinates of a variable: positions of its own points, and what else has its dimensions."""
    dims, own = set(ds[name].dims), _point(name).lower()
    return " ".join(
        str(c)
        for c, var in ds.coords.items()
        if c not in ds.dims and set(var.dims) <= dims and (c not in added or str(c).endswith(f"_{own}"))
    )


def _history(attrs: dict[str, Any], states: bool) -> dict[str, Any]:
    """Title, and one line of history a step."""
    former = str(attrs.get("history", ""))
    line = f"{attrs.get('created', '')} {attrs.get('command', '')}".strip()
    history = former if not line or line in former.splitlines() else "\n".join(filter(None, (line, former)))
    title = "Ocean states" if states else "Results of warmstart"
    return {"title": title, **attrs, **({"history": history} if history else {})}
