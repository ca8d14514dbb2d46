"""States packed into integers as coarsely as physics allows, and written as small NetCDF-4 files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.grid import Grid
from warmstart.physics.column import density_step
from warmstart.variables import STATE_VARIABLES

REPAIRS = 10  #: rounds in which pairs that rounding turned over are turned back
#: Steps of temperature [K] and salinity [1e-3], coarsest first; the first that keeps all inversions is taken.
STEPS = ((1e-6, 1e-7), (1e-7, 1e-8))
OFFSET = {"thetao": 15.0, "so": 35.0}  #: so that the finest steps fit into 32 bits
VELOCITY_STEP, SEA_LEVEL_STEP = 1e-6, 1e-6  #: [m s-1], [m]
FILL = -(2**31)  #: land
#: Files of HDF5 1.10 (2016) and later need 0.15 MB less a file for their own tables.
LIBVER = ("v110", "v110")
DEFLATE = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def pack(states: xr.Dataset, mesh: Grid) -> xr.Dataset:
    """Choose the packing of states: the coarsest for which no pair of cells becomes stable or unstable.

    Parameters
    ----------
    states : ``thetao so uo vo zos`` and anything else.
    mesh : their mesh.

    Returns
    -------
    The same with encodings: 32-bit integers with ``scale_factor``. Temperature and salinity stay in double precision where
    even the finest steps would change an inversion.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, mesh = basin(nx=6, ny=8, nz=4)
    >>> pack(state.expand_dims("time"), mesh).thetao.encoding["scale_factor"]
    1e-06
    """
    out = states.copy()
    for name in STATE_VARIABLES:
        out[name] = out[name].astype("float64")  # a copy, whose encoding is ours
        out[name].encoding = {}
    unstable = _unstable(states, mesh)
    for heat, salt in STEPS:
        trial = _repaired(states, mesh, unstable, {"thetao": heat, "so": salt})
        if trial is not None:
            for name, step in (("thetao", heat), ("so", salt)):
                out[name] = trial[name]
                out[name].encoding = _packing(step, OFFSET[name])
            break
    for name, step in (("uo", VELOCITY_STEP), ("vo", VELOCITY_STEP), ("zos", SEA_LEVEL_STEP)):
        out[name].encoding = _packing(step, 0.0)
    return out


def _unstable(states: xr.Dataset, mesh: Grid) -> np.ndarray:
    return np.asarray(density_step(states, mesh).values < 0)


def _repaired(
    states: xr.Dataset, mesh: Grid, unstable: np.ndarray, steps: dict[str, float]
) -> xr.Dataset | None:
    """The states as they will be read; where rounding turned a pair over, the salinity of the lower cell gives way.

    It moves by a few steps of its packing, a hundred times less than what matters anywhere. None if that does not settle.
    """
    trial = states[list(steps)].copy(deep=True)
    counts = {name: np.round((trial[name].values - OFFSET[name]) / step) for name, step in steps.items()}
    for _ in range(REPAIRS):
        for name, step in steps.items():
            trial[name].values[:] = counts[name] * step + OFFSET[name]
        now = _unstable(trial, mesh)
        wrong = now != unstable
        if not wrong.any():
            return trial
        counts["so"] += np.where(wrong, np.where(now, 1.0, -1.0), 0.0)
    return None


def _packing(step: float, offset: float) -> dict[str, Any]:
    return {"dtype": "int32", "scale_factor": step, "add_offset": offset, "_FillValue": np.int32(FILL)}


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Round single-precision numbers to some bits of the mantissa, so that they compress.

    Parameters
    ----------
    values : single precision.
    bits : of the 23 to keep.

    Returns
    -------
    Numbers within 2**-(bits + 1) of `values`, relative.

    Examples
    --------
    >>> rounded(np.array([1.0001, 3.0], "float32"), 8).tolist()
    [1.0, 3.0]
    """
    whole = np.ascontiguousarray(values, "float32").view("uint32")
    dropped = np.uint32(23 - bits)
    half = np.uint32(1 << (22 - bits))
    return np.asarray((((whole + half) >> dropped) << dropped).view("float32"))


def write_groups(path: Path, groups: Mapping[str, xr.Dataset]) -> None:
    """Write Datasets as groups of one NetCDF-4 file, compressed without loss after their own packing.

    Parameters
    ----------
    path : the file to write.
    groups : name to Dataset, ``""`` is the root and comes first; groups share the dimensions of the root.

    Examples
    --------
    >>> write_groups(Path("member.nc"), {"": states, "grid": mesh.ds})  # doctest: +SKIP
    """
    import h5netcdf

    with h5netcdf.File(path, "w", libver=LIBVER) as file:
        for name, ds in groups.items():
            group = file.create_group(name) if name else file
            variables, attrs = xr.conventions.cf_encoder(
                *xr.conventions.encode_dataset_coordinates(ds.copy())
            )
            for n, variable in variables.items():
                _write_variable(group, str(n), variable)
            group.attrs.update(attrs)


def _write_variable(group: Any, name: str, variable: xr.Variable) -> None:
    dims, values, attrs = [str(d) for d in variable.dims], np.asarray(variable.values), dict(variable.attrs)
    if values.dtype.kind in "OU":  # text as characters, as all files of this package
        values = np.char.encode(values.astype("U"), "utf-8")
        dims = [*dims, f"string{values.dtype.itemsize}"]
        values = values.reshape(*values.shape, 1).view("S1")
        attrs["_Encoding"] = "utf-8"
    sizes = dict(zip(dims, values.shape, strict=True))
    # 'time' of the series is another one than that of the states
    known = {d: s.size for d, s in group.dimensions.items()}
    for dim, size in sizes.items():
        if known.get(dim) != size:
            group.dimensions[dim] = size
    fill = attrs.pop("_FillValue", None)
    packed = (DEFLATE | {"chunks": values.shape}) if values.ndim and values.dtype.kind in "fi" else {}
    made = group.create_variable(name, tuple(dims), data=values, fillvalue=fill, **packed)
    for key, value in attrs.items():
        made.attrs[str(key)] = value
