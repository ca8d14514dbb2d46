"""Files as NEMO 3.6, 4.0, 4.2 and 5.0 lay them out, made from the analytic basin: what real files of these versions look like."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from warmstart.ocean.basin import basin
from warmstart.ocean.grid import Grid

REAL = Path(__file__).parents[2] / "shared" / "data"
needs_real_files = pytest.mark.skipif(
    not (REAL / "nemo_dino").is_dir(), reason="the real NEMO files are not here (../shared/data)"
)
Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]
H, D, V = ("T", "y", "x"), ("T", "z", "y", "x"), ("T", "z")
#: Names of the dimensions of time and level in mesh and restart of each version.
NAMES = {"3.6": ("t", "z"), "4.0": ("time_counter", "nav_lev"), "4.2": ("time_counter", "nav_lev"), "5.0": ("time_counter", "nav_lev")}  # fmt: skip
UNCUT = {"DOMAIN_number_total": 1, "DOMAIN_number": 0}


def ocean(nx: int = 8, ny: int = 12, nz: int = 5) -> tuple[xr.Dataset, Grid]:
    """The analytic basin with a partial bottom cell in every column, open in a channel."""
    state, grid = basin(nx=nx, ny=ny, nz=nz)
    ds = grid.ds.copy(deep=True)
    bottom = (ds.tmask.cumsum("z") == ds.tmask.sum("z")) & (ds.tmask > 0)
    share = 0.5 + 0.4 * np.cos(np.arange(nx))[None, :] ** 2 * np.ones((ny, 1))
    ds["e3t_0"] = ds.e3t_0.where(~bottom, ds.e3t_0 * xr.DataArray(share, dims=("y", "x"))).transpose(
        "z", "y", "x"
    )
    e3t = ds.e3t_0.values
    ds["e3u_0"] = (("z", "y", "x"), np.minimum(e3t, np.roll(e3t, -1, axis=2)))
    ds["e3v_0"] = (("z", "y", "x"), np.minimum(e3t, np.concatenate([e3t[:, 1:], e3t[:, -1:]], axis=1)))
    ds["gdepw_0"] = (("z", "y", "x"), np.concatenate([0 * e3t[:1], np.cumsum(e3t, axis=0)[:-1]]))
    ds["bathymetry"] = (ds.e3t_0 * ds.tmask).sum("z")
    return state, Grid(ds)


def mesh_variables(grid: Grid, version: str = "5.0", domain: bool = False) -> Variables:
    """Variables of a mesh_mask, or of a domain_cfg."""
    ds = grid.ds
    out: Variables = {
        n: (H, ds[n].values[None]) for n in ds if n[:4] in ("glam", "gphi") or n[:2] in ("e1", "e2")
    }
    out |= (
        {"ff": (H, ds.ff_f.values[None])}
        if version == "3.6"
        else {n: (H, ds[n].values[None]) for n in ("ff_f", "ff_t")}
    )
    centre, faces = ds.gdept_1d.values, ds.gdepw_1d.values
    out |= {"e3t_1d": (V, ds.e3t_1d.values[None]), "e3w_1d": (V, np.diff(centre, prepend=-centre[0])[None])}
    levels = ds.tmask.values.sum(axis=0)
    if version != "3.6":
        out |= {n: (D, ds[n].values[None]) for n in ("e3t_0", "e3u_0", "e3v_0", "e3w_0")}
    else:  # partial cells as 3.6 writes them: the bottom cell of each column
        j, i = np.indices(levels.shape)
        at = np.maximum(levels - 1, 0)
        out |= {
            "e3t_ps": (H, ds.e3t_0.values[at, j, i][None]),
            "e3w_ps": (H, ds.e3w_0.values[at, j, i][None]),
        }
    if domain:
        wet = (levels > 0).astype("int32")
        return out | {"top_level": (H, wet[None]), "bottom_level": (H, levels.astype("int32")[None])}
    friction = np.where(ds.fmask.values + ds.umask.values > 0, 2.0, 0.0)  # not 0 and 1, as with no slip
    out |= {n: (D, ds[n].values.astype("int8")[None]) for n in ("tmask", "umask", "vmask")}
    out |= {"fmask": (D, friction.astype("float32" if version == "5.0" else "int8")[None])}
    # as in real files mbathy is not 0 on land, where there are levels for it
    out["mbathy"] = (H, (levels if version == "3.6" else np.maximum(levels, 1)).astype("int32")[None])
    out |= {"gdept_1d": (V, centre[None]), "gdepw_1d": (V, faces[None])}
    if version != "3.6":
        out |= {n: (D, ds[n].values[None]) for n in ("gdept_0", "gdepw_0")}
    return out


def restart_variables(state: xr.Dataset, scheme: str = "leapfrog", kt: int = 5760) -> Variables:
    """Variables of a restart: 0 on land; other fields hold what must not be taken for the state."""
    names = {"tn": "thetao", "sn": "so", "un": "uo", "vn": "vo", "sshn": "zos"}
    out: Variables = {
        n: (D if n != "sshn" else H, np.nan_to_num(state[v].values)[None]) for n, v in names.items()
    }
    year = kt // 5760
    out |= {n: ((), np.float64(v)) for n, v in
            {"kt": kt, "ndastp": year * 10000 + 1230, "adatrj": kt / 16, "ntime": 0, "rdt": 5400}.items()}  # fmt: skip
    if scheme == "RK3":
        return out | {n: (H, out["sshn"][1] + 9.0) for n in ("uu_n", "vv_n", "ssha")}
    return out | {
        b: (out[n][0], out[n][1] + 9.0)
        for b, n in (("tb", "tn"), ("sb", "sn"), ("ub", "un"), ("vb", "vn"), ("sshb", "sshn"))
    }


def repeat_columns(variables: Variables) -> Variables:
    """The cyclic columns of 3.6 and 4.0: the last but one before the first, the second after the last."""
    return {
        n: (d, np.concatenate([v[..., -1:], v, v[..., :1]], axis=-1) if "x" in d else v)
        for n, (d, v) in variables.items()
    }


def write(
    path: Path,
    variables: Variables,
    version: str = "5.0",
    attrs: Mapping[str, Any] = UNCUT,
    form: str = "NETCDF4",
) -> Path:
    """Write a file with the dimensions and coordinates of a version."""
    time, level = NAMES[version]
    names = {"T": time, "z": level, "y": "y", "x": "x"}
    sizes = {names[d]: n for dims, v in variables.values() for d, n in zip(dims, np.shape(v), strict=True)}
    with netCDF4.Dataset(path, "w", format=form) as nc:
        for dim, size in sizes.items():
            nc.createDimension(dim, None if dim == time else size)
        lon = ("x", "y") if version == "4.2" else ("nav_lon", "nav_lat")
        for name in lon:
            nc.createVariable(name, "f4", ("y", "x"))[:] = 1.0
        for name, (dims, values) in variables.items():
            var = nc.createVariable(name, np.asarray(values).dtype, tuple(names[d] for d in dims))
            var[...] = values
        if version == "4.0":
            nc.createVariable("jperio", "i4", ())[...] = (
                1 if "tmask" in variables and variables["tmask"][1][..., 0].any() else 0
            )
        nc.setncatts(dict(attrs) | ({"CfgName": "DINO", "Iperio": 1} if version in ("4.2", "5.0") else {}))
    return path


def write_pieces(
    folder: Path, stem: str, variables: Variables, cuts: tuple[int, int], halo: int = 0, **options: Any
) -> list[Path]:
    """Write a file as one piece a process, cut into rows and columns, with or without halo cells."""
    ny, nx = next(np.shape(v)[-2:] for d, v in variables.values() if d[-2:] == ("y", "x"))
    edges = [np.linspace(0, n, c + 1).astype(int) for n, c in zip((ny, nx), cuts, strict=True)]
    paths = []
    for number, (j, i) in enumerate(np.ndindex(*cuts)):
        (y0, y1), (x0, x1) = (edges[0][j], edges[0][j + 1]), (edges[1][i], edges[1][i + 1])
        south, north = min(halo, y0), min(halo, ny - y1)
        west, east = min(halo, x0), min(halo, nx - x1)
        rows, columns = slice(y0 - south, y1 + north), slice(x0 - west, x1 + east)
        part = {}
        for name, (dims, values) in variables.items():
            cut = values
            if dims[-2:] == ("y", "x"):
                cut = np.array(values[..., rows, columns])
                # halo cells that were never exchanged
                cut[..., :south, :] = cut[..., cut.shape[-2] - north :, :] = 77
                cut[..., :west] = cut[..., cut.shape[-1] - east :] = 77
            part[name] = (dims, cut)
        attrs = {
            "DOMAIN_number_total": cuts[0] * cuts[1], "DOMAIN_number": number,
            "DOMAIN_size_global": np.array([nx, ny], "i4"),
            "DOMAIN_position_first": np.array([columns.start + 1, rows.start + 1], "i4"),
            "DOMAIN_position_last": np.array([columns.stop, rows.stop], "i4"),
            "DOMAIN_halo_size_start": np.array([west, south], "i4"), "DOMAIN_halo_size_end": np.array([east, north], "i4"),
        }  # fmt: skip
        paths.append(write(folder / f"{stem}_{number:04d}.nc", part, attrs=attrs, **options))
    return paths


def write_output(
    path: Path, fields: dict[str, np.ndarray], days: np.ndarray, length: float, point: str = "t",
    calendar: str = "360d", operation: str = "ave(x)", units: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write output in the layout of IOIPSL (calendar ``360d``) or XIOS: single precision, a time axis with bounds."""
    with netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC") as nc:
        shape = next(iter(fields.values())).shape
        sizes = {"time_counter": None, "y": shape[-2], "x": shape[-1], "tbnds": 2}
        sizes |= {f"depth{point}": v.shape[1] for v in fields.values() if v.ndim == 4}
        for name, size in sizes.items():
            nc.createDimension(name, size)
        time = nc.createVariable("time_counter", "f8", ("time_counter",))
        time.setncatts(
            {
                "units": "seconds since 0001-01-01 00:00:00",
                "calendar": calendar,
                "bounds": "time_counter_bnds",
            }
        )
        bounds = nc.createVariable("time_counter_bnds", "f8", ("time_counter", "tbnds"))
        time[:] = (np.asarray(days) - length / 2) * 86400.0
        bounds[:] = np.stack([np.asarray(days) - length, np.asarray(days)], axis=1) * 86400.0
        for name, values in fields.items():
            dims = (
                ("time_counter", f"depth{point}", "y", "x")
                if values.ndim == 4
                else ("time_counter", "y", "x")
            )
            var = nc.createVariable(name, "f4", dims, fill_value=np.float32(1e20))
            var.setncatts({"online_operation": operation, "units": (units or {}).get(name, "1")})
            var[:] = np.nan_to_num(values)
        if calendar == "360d":
            nc.setncattr("production", "An IPSL model")
    return path
