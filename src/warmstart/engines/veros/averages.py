"""Output of any set-up of Veros: its snapshots and averages as states, with the mesh that they carry.

Veros writes its levels from the sea floor up, its longitudes and latitudes along axes of their own for each C-grid point, and a missing value on
land. Under its rigid lid there is no sea level.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo import seawater
from warmstart.errors import UserError, reading, shortened
from warmstart.io import lazy_arrays
from warmstart.io.netcdf import open_file
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES

#: Axes of the points of each variable.
AXES = {
    "temp": ("zt", "yt", "xt"),
    "salt": ("zt", "yt", "xt"),
    "u": ("zt", "yt", "xu"),
    "v": ("zt", "yu", "xt"),
}
#: Mask, the variable that shows it, and the depth of its columns.
MASKS = (("tmask", "temp", "ht"), ("umask", "u", "hu"), ("vmask", "v", "hv"))
YEAR = 360.0  #: days of a year of Veros
#: Radius of the Earth [m] and its rotation [s-1], Veros's own, where a file does not say them.
RADIUS, OMEGA = 6370e3, 7.292123516990375e-05
#: What to do with a file that is none of Veros.
DAMAGED = "give a snapshot or averages as Veros wrote them"
TEOS10 = 5  #: its ``eq_of_state_type`` with conservative temperature


def open_grid(path: str | Path) -> Grid:
    """Read the mesh of a snapshot or of averages.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    The mesh, in memory, surface first; wet down to the depth of each column; where the file does not hold that, where the first record is a number.

    Raises
    ------
    UserError
        If the file lacks what a mesh needs, or lies on a plane.
    """
    with open_file(path) as ds, reading(f"the mesh of {path}", DAMAGED):
        needed = ("temp", "u", "v", "xt", "xu", "yt", "yu", "zt", "zw")
        if missing := [n for n in needed if n not in ds.variables]:
            raise UserError(f"{path}: of the mesh of Veros {', '.join(missing)} are missing; give a snapshot")
        units = ds["xt"].attrs.get("units")
        if "degree" not in str(units):
            raise UserError(
                f"{path} lies on a plane (xt in {units}): it has no latitudes; only set-ups with coord_degree are read"
            )
        _require_axes(ds, path)
        masks = {m: _mask(ds, n, depth) for m, n, depth in MASKS}
        return _grid(
            {str(n): v.values for n, v in ds.variables.items() if v.ndim < 3}, masks, _settings(ds), path
        )


def _require_axes(ds: xr.Dataset, path: str | Path) -> None:
    """Refuse axes that are none, and variables along others: what is computed of them would be no mesh."""
    for name in dict.fromkeys(axis for axes in AXES.values() for axis in axes) | {"zw": None}:
        var = ds[name].variable
        good = var.dims == (name,) and var.size > 0 and var.dtype.kind in "fiu"
        if not good or not np.isfinite(var.values).all() or (np.diff(var.values) <= 0).any():
            raise UserError(
                f"{path}: {name} is no axis: expected numbers that increase along {name}; {DAMAGED}"
            )
    flat = {depth: AXES[name][1:] for _, name, depth in MASKS} | {
        f"d{axis}": (axis,) for axis in ("xt", "xu", "yt", "yu", "zt")
    }
    for name, dims in (AXES | flat).items():
        if name not in ds.variables:
            continue
        var = ds[name].variable
        lead = ("Time",) if name in AXES and var.ndim > len(dims) else ()
        if var.dims != (*lead, *dims) or not var.size or var.dtype.kind not in "fiu":
            raise UserError(
                f"{path}: {name} has the sizes {dict(zip(var.dims, var.shape, strict=True))}; expected numbers along "
                f"{', '.join((*lead, *dims))}; {DAMAGED}"
            )


def open_state(path: str | Path, grid: Grid) -> xr.Dataset:
    """Open a snapshot or averages of Veros as states.

    Parameters
    ----------
    path : the file.
    grid : its mesh.

    Returns
    -------
    ``thetao [degC] so [1e-3] uo vo [m s-1]``, dims ``(time, z, y, x)``, surface first, NaN on land; coordinate ``year``. Conservative
    temperature (``eq_of_state_type`` 5) is converted.

    Raises
    ------
    UserError
        If it cannot be read, or the mesh is another one.
    """
    ds = open_file(path)
    equation = int(_number(_settings(ds), "eq_of_state_type", 0, path))
    out = xr.Dataset(attrs={"engine": "veros", "source_files": Path(path).name})
    if equation:
        out.attrs["equation_of_state"] = "teos10" if equation == TEOS10 else f"veros {equation}"
    for name, table in VARIABLES.items():
        if table.veros not in AXES or table.veros not in ds.variables:
            continue
        var = ds[table.veros].variable
        if tuple(var.dims[-3:]) != AXES[table.veros] or var.shape[-3:] != grid.shape:
            raise UserError(
                f"{path}: {table.veros} has the sizes {dict(zip(var.dims, var.shape, strict=True))}, the mesh {grid.shape} (z, y, x); "
                "give the file's own mesh"
            )
        salt = _salinity(ds, path, var) if equation == TEOS10 and name == "thetao" else None
        out[name] = _field(var, salt, grid.mask(table.point).values, table.attrs)
    times = np.atleast_1d(ds["Time"].values) if "Time" in ds.variables else np.zeros(1)
    if times.dtype.kind not in "fiu" or times.shape != (out.sizes.get("time", times.size),):
        raise UserError(f"{path}: Time is not a number for each record; {DAMAGED}")
    if "day" not in (
        units := str(ds["Time"].attrs.get("units", "days") if "Time" in ds.variables else "days")
    ):
        raise UserError(f"{path}: Time is in {shortened(units, 60)}; expected days; {DAMAGED}")
    about = {"units": "years", "long_name": "model years since the start of the run, of 360 days"}
    out = out.assign_coords(year=("time", times.astype(float) / YEAR, about))
    out.set_close(ds.close)
    return out


def _salinity(ds: xr.Dataset, path: str | Path, temperature: xr.Variable) -> xr.Variable:
    """The salinity beside a conservative temperature."""
    if "salt" not in ds.variables or ds["salt"].shape != temperature.shape:
        raise UserError(f"{path}: temp is conservative temperature, and no salt lies beside it; {DAMAGED}")
    return ds["salt"].variable


def _field(
    var: xr.Variable, salt: xr.Variable | None, wet: np.ndarray, attrs: Mapping[str, Any]
) -> xr.Variable:
    """A variable with the surface first, read when it is asked for."""
    timed = var.ndim == 4
    shape = (var.shape[0] if timed else 1, *wet.shape)

    def taken(source: xr.Variable, key: lazy_arrays.Key) -> np.ndarray:
        # whole columns: the order of the levels is turned after reading
        values = lazy_arrays.take(source, ((key[0],) if timed else ()) + (slice(None), *key[2:]))
        axis = 1 if timed and isinstance(key[0], slice) else 0
        turned = np.flip(values, axis)
        turned = turned[(slice(None), key[1])] if axis else turned[key[1]]
        return turned if timed or isinstance(key[0], int) else turned[None][key[0]]

    def read(key: lazy_arrays.Key) -> np.ndarray:
        values = taken(var, key)
        if salt is not None:
            values = seawater.potential_temperature(values, taken(salt, key))
        return np.where(wet[key[1:]], values, np.nan)

    dtype = np.result_type(var.dtype, "float32")
    return lazy_arrays.variable(("time", "z", "y", "x"), shape, dtype, read, attrs)


def _mask(ds: xr.Dataset, name: str, depth: str) -> np.ndarray:
    """Where a variable has water, surface first: by the depth of its columns, else where its first record is a number."""
    if depth not in ds.variables or "dzt" not in ds.variables:
        var = ds[name].variable
        return np.isfinite((var[0] if var.ndim == 4 else var).values)[::-1]
    floor = np.cumsum(ds["dzt"].values[::-1])
    return np.asarray(floor[:, None, None] <= np.nan_to_num(ds[depth].values) * (1 + 1e-9))


def _settings(ds: xr.Dataset) -> dict[str, Any]:
    try:
        found = json.loads(str(ds.attrs.get("setup_settings", "{}")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(settings: Mapping[str, Any], name: str, default: float, path: str | Path) -> float:
    """A finite number of the settings of a run."""
    value = settings.get(name, default)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise UserError(
            f"{path}: {name} in setup_settings is {shortened(repr(value), 60)}; expected a number; {DAMAGED}"
        )
    return value


def _spacing(given: np.ndarray | None, here: np.ndarray, edge: np.ndarray, scale: float) -> np.ndarray:
    """Distances between the edges around points [m]; of the first as of the second where the file does not say it."""
    if given is not None:
        return given
    between = np.diff(edge, prepend=2 * here[0] - edge[0])
    return between * scale


def _grid(
    v: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    path: str | Path,
) -> Grid:
    """NEMO's names for the axes of Veros, levels turned over."""
    nz, ny, nx = masks["tmask"].shape
    metres = np.deg2rad(1.0) * _number(settings, "radius", RADIUS, path)
    dx = {"t": _spacing(v.get("dxt"), v["xt"], v["xu"], metres)}
    dy = {"t": _spacing(v.get("dyt"), v["yt"], v["yu"], metres)}
    dx["u"] = v.get("dxu", metres * np.diff(v["xt"], append=2 * v["xu"][-1] - v["xt"][-1]))
    dy["v"] = v.get("dyu", metres * np.diff(v["yt"], append=2 * v["yu"][-1] - v["yt"][-1]))
    h = _spacing(v.get("dzt"), v["zt"], v["zw"], 1.0)[::-1]
    top, centre = np.concatenate([[0.0], np.cumsum(h)[:-1]]), -v["zt"][::-1]
    cos = {"t": np.cos(np.deg2rad(v["yt"])), "v": np.cos(np.deg2rad(v["yu"]))}
    ds = xr.Dataset()
    for point, x, y, across, along in (
        ("t", "xt", "yt", "t", "t"), ("u", "xu", "yt", "u", "t"), ("v", "xt", "yu", "t", "v"), ("f", "xu", "yu", "u", "v"),
    ):  # fmt: skip
        lon, lat = np.meshgrid(v[x], v[y])
        ds[f"glam{point}"], ds[f"gphi{point}"] = (("y", "x"), lon), (("y", "x"), lat)
        ds[f"e1{point}"] = (("y", "x"), cos[along][:, None] * dx[across][None])
        ds[f"e2{point}"] = (("y", "x"), np.repeat(dy[along][:, None], nx, axis=1))
    for point in "tf":
        sine = np.sin(np.deg2rad(ds[f"gphi{point}"].values))
        ds[f"ff_{point}"] = (("y", "x"), 2 * _number(settings, "omega", OMEGA, path) * sine)
    steps = np.diff(centre, prepend=-centre[0])
    levels = {"e3t_0": h, "e3u_0": h, "e3v_0": h, "e3w_0": steps, "gdept_0": centre, "gdepw_0": top}
    for name, level in levels.items():
        ds[name] = (("z", "y", "x"), np.broadcast_to(level[:, None, None], (nz, ny, nx)).copy())
    ds = ds.assign(gdept_1d=("z", centre), gdepw_1d=("z", top), e3t_1d=("z", h))
    fmask = masks["vmask"] & np.roll(masks["vmask"], -1, axis=-1)
    for name, mask in {**masks, "fmask": fmask}.items():
        ds[name] = (("z", "y", "x"), mask.astype("int8"))
    ds["bathymetry"] = (ds.e3t_0 * ds.tmask).sum("z")
    periodic = settings.get("enable_cyclic_x", bool(masks["umask"][..., -1].any()))
    name = f"Veros {settings.get('identifier', '')}".strip()
    return Grid(ds.assign_attrs(configuration=name, engine="veros", periodic_x=int(periodic)))
