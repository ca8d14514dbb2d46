"""NEMO's mesh files as a grid: ``mesh_mask.nc`` and ``domain_cfg.nc`` of 3.6, 4.0, 4.2 and 5.0."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo.dimensions import arrange
from warmstart.engines.nemo.subdomains import NemoFile, close, open_sources, total, whole_number
from warmstart.errors import UserError
from warmstart.io.netcdf import open_file
from warmstart.ocean.basin import face_masks
from warmstart.ocean.fold import Fold, recognise, unique_cells
from warmstart.ocean.grid import HORIZONTAL, MASKS, THREE_D, VERTICAL, Grid, units_of

EARTH_ROTATION = 7.292115083046061e-05  #: NEMO's omega [s-1]
#: What says how a mesh is joined.
NUMBERS = ("jperio", "Iperio", "Jperio", "NFold")
#: ``jperio`` of 3.6 and 4.0: cyclic east and west.
CYCLIC = (1, 4, 6, 7)
#: Other names of a mesh variable, newest first.
ALIASES = {"ff_f": ("ff_f", "ff"), "e3t_0": ("e3t_0", "e3t"), "e3u_0": ("e3u_0", "e3u"), "e3v_0": ("e3v_0", "e3v"),
           "e3w_0": ("e3w_0", "e3w"), "gdept_1d": ("gdept_1d", "gdept_0"),
           "gdepw_1d": ("gdepw_1d", "gdepw_0"), "e3t_1d": ("e3t_1d", "e3t_0"), "e3w_1d": ("e3w_1d", "e3w_0")}  # fmt: skip
#: Names of mesh files, best first.
MESHES = ("*mesh_mask*.nc*", "*domain_cfg*.nc*", "*domcfg*.nc*")
#: Files into which NEMO up to 3.6 splits its mesh (``nn_msh`` 2 and 3, 5 and 6); ``mesh_hgr mesh_zgr`` may be in one.
PARTS = ("*mesh_hgr*.nc*", "*mesh_zgr*.nc*", "*mesh.nc*", "*mask*.nc*")
#: Variables that help where others are missing.
HELPERS_2D = ("top_level", "bottom_level", "mbathy", "e3t_ps", "e3w_ps")
#: Which cells are counted once: others repeat them beyond a cyclic boundary or a north fold.
UNIQUE = ("tmaskutil", "umaskutil", "vmaskutil")

Fields = dict[str, np.ndarray]


def open_grid(path: str | Path | Iterable[str | Path]) -> Grid:
    """Open a mesh of NEMO: ``mesh_mask.nc``, ``domain_cfg.nc``, or what an older version split them into.

    Masks come from the file, or from ``top_level`` and ``bottom_level`` (never from ``mbathy``, which is not 0 on land);
    the F mask follows from that of T, because the file's holds the lateral friction. Columns that NEMO up to
    4.0 repeats at a cyclic boundary are taken off. Rows of a north fold stay; which of their cells repeat others says the file
    (``tmaskutil``), or how it is folded (``jperio``, ``NFold``, else its positions). Depths and thicknesses that the file lacks
    are computed as NEMO does.

    Parameters
    ----------
    path : the file, one of its per-process pieces, or several files (pieces, or ``mesh_hgr mesh_zgr mask``); gzip is read.

    Returns
    -------
    The mesh, in memory.

    Raises
    ------
    UserError
        If a file is missing, cut off or no mesh, or pieces are missing.

    Examples
    --------
    >>> open_grid("mesh_mask.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: mesh_mask.nc does not exist; give an existing NetCDF file
    """
    sources = open_sources(path)
    where = str(sources[0].path)
    try:
        fields, scalars = _read(sources)
        attrs = {k: v for s in reversed(sources) for k, v in s.first.attrs.items()}
        attrs |= {k: whole_number(attrs, k, 0, where) for k in NUMBERS if k in attrs}
        scalars |= {k: whole_number(scalars, k, 0, where) for k in NUMBERS if k in scalars}
    finally:
        close(sources)
    _require(fields, where)
    _require_shapes(fields, where)
    width = fields["glamt"].shape[1]
    fields, periodic = _without_copies(fields, attrs | scalars)
    fold = recognise(fields, attrs | scalars, columns=fields["glamt"].shape[1] < width) if periodic else None
    _fill_uncovered(fields)
    _complete_vertical(fields, fold)
    _complete_masks(fields, periodic, where, fold)
    if "ff_t" not in fields:
        fields["ff_t"] = 2 * EARTH_ROTATION * np.sin(np.deg2rad(fields["gphit"]))
    fields["bathymetry"] = (fields["e3t_0"] * fields["tmask"]).sum(axis=0)
    attrs["repeated_columns"] = int(fields["glamt"].shape[1] < width)
    grid = _grid(fields, periodic, attrs, scalars, fold)
    grid.require_finite(where)
    return grid


def find(folder: Path, why: str = "") -> Path | list[Path]:
    """Find NEMO's mesh in a folder.

    Parameters
    ----------
    folder : where to look.
    why : beginning of the message if there is none.

    Returns
    -------
    The file, its pieces, or the files that it is split into (``mesh_hgr mesh_zgr mask``).

    Raises
    ------
    UserError
        If there is none, or several.

    Examples
    --------
    >>> find(Path("no-such-folder"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no mesh_mask.nc or domain_cfg.nc; give the mesh of the run (--grid)
    """
    for pattern in MESHES:
        found = sorted(p for p in folder.glob(pattern) if p.is_file())
        if not found:
            continue
        if len(found) == 1:
            return found[0]
        with open_file(found[0]) as ds:
            if total(ds) > 1:
                return found
        names = ", ".join(p.name for p in found[:4])
        raise UserError(f"{folder} holds several meshes ({names}); give one of them (--grid)")
    if parts := split(folder):
        return parts
    beginning = f"{why}, and " if why else ""
    raise UserError(
        f"{beginning}{folder} holds no mesh_mask.nc or domain_cfg.nc; give the mesh of the run (--grid)"
    )


def split(folder: Path) -> list[Path]:
    """Find the files into which a mesh in a folder is split.

    Returns
    -------
    Those that hold parts of a mesh; empty where one is missing.

    Examples
    --------
    >>> split(Path("no-such-folder"))
    []
    """
    found = {}
    for pattern in PARTS:
        for path in sorted(p for p in folder.glob(pattern) if p.is_file() and p not in found):
            with contextlib.suppress(UserError), open_file(path) as ds:
                found[path] = {n for n in ("e1t", "e3t_1d", "e3t_0", "e3t", "tmask") if n in ds.variables}
    held = set().union(*found.values()) if found else set()
    if not ({"e1t", "tmask"} <= held and held & {"e3t_1d", "e3t_0", "e3t"}):
        return []
    return [path for path, names in found.items() if names]


def _read(sources: list[NemoFile]) -> tuple[Fields, dict[str, Any]]:
    """Every known variable that any of the files has, whole, and the scalars."""
    wanted = (
        [(n, ("y", "x")) for n in (*HORIZONTAL, *HELPERS_2D, *UNIQUE)]
        + [(n, ("z", "y", "x")) for n in (*THREE_D, *MASKS)]
        + [(n, ("z",)) for n in (*VERTICAL, "e3w_1d")]
    )
    fields: Fields = {}
    for name, dims in wanted:
        for source in sources:
            for alias in ALIASES.get(name, (name,)):
                values = _values(source, alias, dims)
                if values is not None and name not in fields:
                    fields[name] = values
    names = ("jperio", "ln_zco", "ln_zps", "ln_sco")
    held = ((n, s.first.variables[n]) for s in sources for n in names if n in s.first.variables)
    return fields, {n: var.values.item() for n, var in held if var.ndim == 0}


def _values(source: NemoFile, name: str, dims: tuple[str, ...]) -> np.ndarray | None:
    """Values of one variable; None if the file has none of that name with these dimensions."""
    if name not in source.first.variables:
        return None
    parts = []
    for part in source.parts:
        var = part.variables[name]
        lead = len(var.dims) - len(dims)
        if lead not in (0, 1) or (lead == 1 and var.shape[0] != 1 and len(dims) < 3):
            return None
        parts.append(arrange(var, dims, name)[0])
    whole = source.merged(parts)
    values = np.asarray(whole.values)
    return values.astype("float64") if values.dtype.kind == "f" else values


def _require(fields: Fields, where: str) -> None:
    needed = [n for n in HORIZONTAL if n not in ("ff_t", "ff_f", "bathymetry")]
    missing = [n for n in needed if n not in fields]
    if not {"e3t_1d", "e3t_0"} & set(fields):
        missing.append("e3t_1d")
    if not {"tmask", "bottom_level"} & set(fields):
        missing.append("tmask (or bottom_level)")
    if missing:
        raise UserError(
            f"{where} is no mesh of NEMO: it lacks {', '.join(missing)}; give mesh_mask.nc or domain_cfg.nc "
            "(of NEMO 3.6 with nn_msh > 1: mesh_hgr, mesh_zgr and mask together)"
        )


def _require_shapes(fields: Fields, where: str) -> None:
    """Refuse a mesh whose variables are of several sizes, or of none."""
    levels = len(fields["e3t_1d"] if "e3t_1d" in fields else fields["e3t_0"])
    rows, columns = fields["glamt"].shape
    expected = {1: (levels,), 2: (rows, columns), 3: (levels, rows, columns)}
    for name, values in fields.items():
        if values.shape != expected[values.ndim]:
            raise UserError(
                f"{where}: {name} has sizes {values.shape}, other variables of the mesh {expected[values.ndim]}; expected one mesh"
            )
    if min(levels, rows, columns) < 1 or columns < 2:
        raise UserError(f"{where}: the mesh has sizes {expected[3]}; expected levels, rows and columns")


def _without_copies(fields: Fields, facts: dict[str, Any]) -> tuple[Fields, bool]:
    """Take off the first and last column where they repeat the last but one and the second; tell if x is cyclic."""
    lon, lat = fields["glamt"], fields["gphit"]
    near = 1e-3 * max(float(np.nanmax(np.abs(np.diff(lon, axis=1)))), 1e-12)
    copied = lon.shape[1] > 3 and all(
        np.nanmax(np.abs((lon[:, a] - lon[:, b] + 180) % 360 - 180), initial=0) < near
        and np.allclose(lat[:, a], lat[:, b], equal_nan=True)
        for a, b in ((0, -2), (-1, 1))
    )
    said = int(facts.get("jperio", 0)) in CYCLIC or bool(facts.get("Iperio", 0))
    wet = fields["tmask"] if "tmask" in fields else fields["bottom_level"]
    if copied and not said and not np.any(wet[..., 0] > 0):
        copied = False
    if copied:
        fields = {n: v[..., 1:-1] if v.ndim > 1 else v for n, v in fields.items()}
    # 3.6 does not say that it is cyclic: a wet eastern face in the last column does
    open_east = "umask" in fields and bool(np.any(fields["umask"][..., -1] > 0))
    return fields, copied or said or open_east


def _fill_uncovered(fields: Fields) -> None:
    """Give cells of processes that NEMO left out, all land, the metrics of their neighbours: no zero to divide by."""
    for name in ("tmask", "umask", "vmask", "top_level", "bottom_level", "mbathy", *UNIQUE):
        if name in fields:
            fields[name] = np.nan_to_num(fields[name], nan=0.0)
    for name, values in fields.items():
        if values.ndim < 2 or values.dtype.kind != "f":
            continue
        hole = ~np.isfinite(values) | ((values <= 0) if name[:2] in ("e1", "e2", "e3") else False)
        if hole.any() and not hole.all():
            fields[name] = _nearest(values, hole)


def _nearest(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fill holes with the nearest value along x, the first of two as near, then along y."""
    for axis in (-1, -2):
        frame = np.moveaxis(np.where(hole, np.nan, values), axis, -1)
        flat = frame.reshape(-1, frame.shape[-1]).copy()
        empty = np.isnan(flat)
        for number in np.flatnonzero(empty.any(axis=1) & ~empty.all(axis=1)):
            good, here = np.flatnonzero(~empty[number]), np.arange(flat.shape[1])
            after = np.minimum(np.searchsorted(good, here), good.size - 1)
            before = np.maximum(after - 1, 0)
            nearer = np.where(np.abs(good[after] - here) < np.abs(here - good[before]), after, before)
            flat[number] = flat[number, good[nearer]]
        values = np.moveaxis(flat.reshape(frame.shape), -1, axis)
        hole = np.isnan(values)
    return values


def _complete_vertical(fields: Fields, fold: Fold | None) -> None:
    """Depths and thicknesses that the file lacks, as NEMO's domain step computes them."""
    shape = fields["tmask"].shape if "tmask" in fields else fields["e3t_0"].shape
    if "e3t_1d" not in fields:  # the deepest column has no partial cell above its bottom
        j, i = np.unravel_index(np.argmax(fields["e3t_0"].sum(axis=0)), shape[1:])
        fields["e3t_1d"] = fields["e3t_0"][:, j, i]
    if "gdepw_1d" not in fields:
        fields["gdepw_1d"] = np.concatenate([[0.0], np.cumsum(fields["e3t_1d"])[:-1]])
    if "gdept_1d" not in fields and "e3w_1d" in fields:
        fields["gdept_1d"] = _centres(fields["e3w_1d"])
    elif "gdept_1d" not in fields:
        fields["gdept_1d"] = fields["gdepw_1d"] + 0.5 * fields["e3t_1d"]
    if "e3w_1d" not in fields:
        fields["e3w_1d"] = np.diff(fields["gdept_1d"], prepend=-fields["gdept_1d"][0])
    for name, profile, bottom in (("e3t_0", "e3t_1d", "e3t_ps"), ("e3w_0", "e3w_1d", "e3w_ps")):
        if name not in fields:
            fields[name] = _columns(fields[profile], shape, fields.get("mbathy"), fields.get(bottom))
    if "e3u_0" not in fields:  # partial cells: a face is as thick as the thinner of its cells
        fields["e3u_0"] = np.minimum(fields["e3t_0"], np.roll(fields["e3t_0"], -1, axis=2))
    if "e3v_0" not in fields:
        last = fields["e3t_0"][:, -1] if fold is None else fold.next_row(fields["e3t_0"], "T")
        north = np.concatenate([fields["e3t_0"][:, 1:], last[:, None]], axis=1)
        fields["e3v_0"] = np.minimum(fields["e3t_0"], north)
    if "gdepw_0" not in fields:
        below = np.cumsum(fields["e3t_0"], axis=0)
        fields["gdepw_0"] = np.concatenate([np.zeros((1, *shape[1:])), below[:-1]])
    if "gdept_0" not in fields:
        fields["gdept_0"] = _centres(fields["e3w_0"])


def _centres(steps: np.ndarray) -> np.ndarray:
    """Depths of T points from the distances between them; the first lies half a step below the surface."""
    steps = steps.copy()
    steps[0] *= 0.5
    return np.cumsum(steps, axis=0)


def _columns(
    profile: np.ndarray, shape: tuple[int, ...], levels: np.ndarray | None, bottom: np.ndarray | None
) -> np.ndarray:
    """The same profile everywhere, the bottom cell replaced where there are partial cells."""
    values = np.broadcast_to(profile[:, None, None], shape).copy()
    if bottom is None or levels is None:
        return values
    at_bottom = np.arange(shape[0])[:, None, None] == levels.astype(int) - 1
    return np.where(at_bottom & (bottom > 0), bottom, values)


def _complete_masks(fields: Fields, periodic: bool, where: str, fold: Fold | None) -> None:
    """Masks as int8; those of faces from their cells where the file has none; and which cells count once."""
    if "tmask" in fields:
        tmask = fields["tmask"] > 0.5
    else:
        level = np.arange(1, fields["e3t_0"].shape[0] + 1)[:, None, None]
        top = np.maximum(fields.get("top_level", np.ones(fields["glamt"].shape)), 1)
        dry = fields.get("top_level", fields["bottom_level"]) < 1
        tmask = (level >= top) & (level <= fields["bottom_level"]) & ~dry
    if not tmask.any():
        raise UserError(f"{where}: no cell is wet; expected a mask that is 1 in the sea")
    masks = face_masks(tmask.astype("int8"), periodic)
    if fold is not None:
        masks["vmask"][:, -1] = tmask[:, -1] & fold.next_row(tmask, "T")
    for name in ("umask", "vmask"):  # the file's own may close straits
        if name in fields:
            masks[name] = ((fields[name] > 0.5) & tmask).astype("int8")
    fields |= masks
    once = unique_cells(fields, fold)
    for name in UNIQUE:
        fields.pop(name, None)
    fields |= once


def _grid(
    fields: Fields, periodic: bool, attrs: dict[str, Any], scalars: dict[str, Any], fold: Fold | None
) -> Grid:
    """Wrap the fields up, with units and what the file says of itself."""
    if "ff_f" not in fields:
        fields["ff_f"] = 2 * EARTH_ROTATION * np.sin(np.deg2rad(fields["gphif"]))
    dims = {1: ("z",), 2: ("y", "x"), 3: ("z", "y", "x")}
    names = (*HORIZONTAL, *THREE_D, *MASKS, *VERTICAL, *(n for n in UNIQUE if n in fields))
    whole = {n: np.ascontiguousarray(fields[n]) for n in names}
    # fastpath: the ordinary way imports dask, a third of what `info` takes
    ds = xr.Dataset(
        {n: xr.Variable(dims[v.ndim], v, {"units": units_of(n)}, fastpath=True) for n, v in whole.items()}
    )
    name = str(attrs.get("CfgName", attrs.get("cn_cfg", "NEMO")))
    ds.attrs = {"configuration": name, "engine": "nemo", "periodic_x": int(periodic)}
    if attrs["repeated_columns"]:  # of the files; not of this grid
        ds.attrs["repeated_columns"] = 1
    if fold is not None:
        ds.attrs |= {"north_fold": fold.pivot, "row_beyond_fold": int(fold.beyond)}
    spacing = np.diff(fields["glamt"], axis=1)
    if np.ptp(spacing) < 1e-3 * abs(spacing.mean()):
        ds.attrs["resolution"] = round(float(spacing.mean()), 6)
    switched = [n.removeprefix("ln_") for n, v in scalars.items() if n != "jperio" and v]
    if coordinate := str(attrs.get("VertCoord", "")) or "".join(switched[:1]):
        ds.attrs["vertical_coordinate"] = coordinate
    return Grid(ds)
