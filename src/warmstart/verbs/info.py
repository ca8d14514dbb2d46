"""What is in a file: the answer of ``warmstart info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo.times import AXES, Times, read_times, time_axis
from warmstart.engines.recognition import is_zarr, open_grid, recognise
from warmstart.errors import UserError, reading, require_path
from warmstart.io import hdf5
from warmstart.io.config import read_yaml
from warmstart.io.files import open_dataset
from warmstart.io.netcdf import open_file
from warmstart.ocean.grid import Grid

#: Variables larger than this are described without their range [bytes].
LARGEST_RANGE = 256 * 2**20
#: Text of a file that is shown [characters].
LONGEST_TEXT = 100_000


def info(path: str | Path) -> str:
    """Say what a file or folder is and holds.

    Parameters
    ----------
    path : states file, store, metrics, restart, generator or runs folder, or any NetCDF file.

    Returns
    -------
    Text for the screen.

    Raises
    ------
    UserError
        If the path does not exist or cannot be read.

    Examples
    --------
    >>> info("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing file or folder
    """
    path = require_path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give an existing file or folder")
    if (path / "weights.safetensors").exists():
        return _generator(path)
    if (path / "plan.yaml").exists():
        return _runs(path)
    if (path / "restarts.yaml").exists():
        return f"{path}: restarts\n" + _text_of(path / "restarts.yaml")
    if path.is_dir() and not is_zarr(path):
        engine, kind = recognise(path)
        lines = ["folder"] if engine is None else engine.describe(path, kind)
        return "\n".join([f"{path}: {lines[0]}", *(lines[1:] or _folder(path))])
    if path.suffix in (".yaml", ".yml", ".csv", ".md", ".jsonl"):
        return f"{path}:\n" + _text_of(path)
    if path.suffix == ".h5":
        return _restart(path)
    return _dataset(path)


def _dataset(path: Path) -> str:
    engine, what = recognise(path)
    foreign = engine is not None  # calendars and coordinates may not be those that xarray expects
    with open_file(path) if foreign else open_dataset(path) as ds:
        dates = _dates(ds) if foreign else None
        lines = [
            f"{path}: {engine.describe(path, what)[0] if engine is not None else _kind(ds)}",
            "",
            "dimensions",
        ]
        lines += [f"  {name:<12} {size}" for name, size in ds.sizes.items()]
        for title, names in _sections(ds):
            lines += ["", title] + [_variable(ds[name], dates) for name in names]
        lines += _time_lines(dates)
        if not foreign or "mesh" in what.holds:
            lines += _grid_lines(path)
        if not foreign:
            lines += _verdict_lines(path, ds)
        if ds.attrs:
            lines += ["", "attributes"] + [f"  {k:<20} {v}" for k, v in ds.attrs.items()]
    return "\n".join(lines)


def _kind(ds: xr.Dataset) -> str:
    """Name the kind of file by its content."""
    if "tmask" in ds and "e1t" in ds:
        return "mesh"
    if "thetao" in ds and "split" in ds.variables:
        return "store of states"
    if "thetao" in ds and "member" in ds.attrs:
        restart = "with" if "member_format" in ds.attrs else "of the older format, without"
        return f"member {ds.attrs['member']} of an ensemble, {restart} what a restart needs"
    if "thetao" in ds:
        return "states"
    if "start" in ds.dims:
        return "verification"
    if "thetao_mean" in ds:
        return "time series of a run"
    return f"NetCDF file ({ds.attrs['Conventions']})" if "Conventions" in ds.attrs else "NetCDF file"


def _sections(ds: xr.Dataset) -> list[tuple[str, list[str]]]:
    parameters = [str(n) for n, v in ds.variables.items() if v.attrs.get("role") == "parameter"]
    found = {"variables": ds.data_vars, "coordinates": ds.coords}
    named = {title: [str(n) for n in held if n not in parameters] for title, held in found.items()}
    return [(title, names) for title, names in {**named, "parameters": parameters}.items() if names]


def _variable(da: xr.DataArray, times: Times | UserError | None = None) -> str:
    """One line: name, dims, units, range, share of missing values; of a time axis its dates."""
    text = f"  {da.name!s:<32} {'(' + ', '.join(map(str, da.dims)) + ')':<20} {da.attrs.get('units', ''):<10}"
    dated = da.name in AXES and "since" in str(da.attrs.get("units", ""))
    if dated and isinstance(times, Times) and times.dates is not None:
        return text + " " + _span(times.dates)
    if da.dtype.kind == "M" and da.size:
        found = np.sort(da.values.ravel()).astype("datetime64[s]").astype(str)
        return text + " " + (found[0] if found[0] == found[-1] else f"{found[0]} … {found[-1]}")
    if da.dtype.kind not in "fiu" or da.size == 0:
        values: Any = np.unique(da.values.astype(object).astype(str)) if da.size <= 10**6 else []
        return text + " " + ", ".join(values[:6]) + (" …" if len(values) > 6 else "")
    if da.nbytes > LARGEST_RANGE:
        return text
    values = da.values
    finite = np.isfinite(values)
    if not finite.any():
        return text + " all missing"
    low, high = values[finite].min(), values[finite].max()
    missing = 1 - finite.mean()
    spread = f"{low:.6g}" if low == high else f"{low:.6g} … {high:.6g}"
    return text + f" {spread}" + (f"  ({missing:.0%} missing)" if missing else "")


def _dates(ds: xr.Dataset) -> Times | UserError | None:
    """When the records of a file are; the reason where its time axis cannot be read, None where it has none."""
    axis = time_axis(ds)
    if axis is None and "ndastp" not in ds.variables:
        return None
    try:
        times = read_times(ds, 1 if axis is None else max(ds[axis].size, 1))
    except UserError as error:
        return error
    return times if times.dates is not None and times.dates.size else None


def _span(dates: np.ndarray) -> str:
    return f"{dates[0]}" if dates.size == 1 else f"{dates[0]} … {dates[-1]}"


def _time_lines(times: Times | UserError | None) -> list[str]:
    """From when to when the records are, in the calendar of the file."""
    if isinstance(times, UserError):
        return ["", "times", f"  {times}"]
    if times is None or times.dates is None:
        return []
    words = {True: "means over time", False: "instants", None: "means or instants, the file does not say"}
    count = f"{times.dates.size} record{'s' * (times.dates.size > 1)}"
    calendar = f"calendar {times.dates[0].calendar}"
    return ["", "times", f"  {count}, {_span(times.dates)}, {calendar}, {words[times.mean]}"]


def _grid_lines(path: Path) -> list[str]:
    try:
        grid: Grid = open_grid(path)
    except UserError:
        return []
    # in numpy: xarray's arithmetic would import dask, a third of this command's time
    e1t, e2t, e3t, tmask = (grid.ds[n].values for n in ("e1t", "e2t", "e3t_0", "tmask"))
    once = grid.ds["tmaskutil"].values if "tmaskutil" in grid.ds else 1
    wet, volume = float(tmask.mean()), float((e1t * e2t * once * e3t * tmask).sum())
    folded = []
    if "tmaskutil" in grid.ds:
        pivot = grid.ds.attrs.get("north_fold")
        said = f"folded at the north about {pivot} points" if pivot else "its own count of unique cells"
        folded = [f"  {said}: {int(((once == 0) & (tmask > 0).any(axis=0)).sum())} columns repeat others"]
    size = f"  wet fraction {wet:.3f}, volume {volume:.5g} m3, periodic in x: {grid.periodic_x}"
    return ["", "grid", f"  {grid!r}", size, *folded]


def _verdict_lines(path: Path, ds: xr.Dataset) -> list[str]:
    """What a time series, the file's own or its group ``series``, says of the equilibrium."""
    from warmstart.equilibrium.verdict import judge

    if "member" in ds.attrs and path.is_file():
        with open_dataset(path, "series") as series:
            found = judge(series.load())
    elif {"year", "thetao_deep"} <= set(ds.variables) and ds["thetao_deep"].dims == ds["year"].dims == (
        "time",
    ):
        found = judge(ds)
    else:
        return []
    return ["", "equilibrium", *(f"  {line}" for line in str(found).splitlines())]


def _generator(path: Path) -> str:
    card = path / "README.md"
    return f"{path}: generator\n\n" + (_text_of(card if card.exists() else path / "config.yaml"))


def _runs(path: Path) -> str:
    lines = [f"{path}: runs", "", _text_of(path / "plan.yaml"), "members"]
    for member in sorted(path.glob("member_*")):
        status: dict[str, Any] = {}
        if (member / "status.yaml").exists():
            status = read_yaml(member / "status.yaml")
        elif member.suffix == ".nc":
            with open_dataset(member) as ds:
                told = ("verdict", "drift_K_per_century", "start", "years", "cpu_seconds")
                status = {name: ds.attrs[name] for name in told if name in ds.attrs}
        shown = {k: v for k, v in status.items() if not isinstance(v, (dict, list))}
        lines.append(f"  {member.name}  " + "  ".join(f"{k}={v}" for k, v in shown.items()))
    return "\n".join(lines)


def _folder(path: Path) -> list[str]:
    """A folder of no kind of its own: what its NetCDF files are."""
    found = sorted(p for p in path.glob("*") if p.suffix in (".nc", ".h5") or is_zarr(p))
    if not found:
        raise UserError(
            f"{path} is a folder without runs, a store, a generator, restarts or NetCDF files; give a file or another folder"
        )
    lines = []
    for file in found:
        try:
            what = recognise(file).kind
            lines.append(f"  {file.name:<44} {what if what.name != 'other' else 'NetCDF file'}")
        except UserError as error:
            lines.append(f"  {file.name:<44} {error}")
    return lines


def _restart(path: Path) -> str:
    import h5py

    found = recognise(path)
    lines = [f"{path}: {found.kind if found.engine is not None else 'HDF5 file'}"]
    hdf5.require_sound(path)
    with reading(path, "the file may be truncated or of another kind"), h5py.File(path) as file:

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                lines.append(f"  {name:<32} {item.shape!s:<20} {item.dtype}")

        file.visititems(visit)
        lines += [f"  {k} = {v}" for k, v in file.attrs.items()]
    return "\n".join(lines)


def _text_of(path: Path) -> str:
    """The text of a file, its beginning if it is long; refused if it cannot be read."""
    with reading(path, "expected text in UTF-8"), path.open(encoding="utf-8") as file:
        text = file.read(LONGEST_TEXT + 1)
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… ({path.stat().st_size} bytes in all)"
