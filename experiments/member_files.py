"""One finished run as one small NetCDF file: states, parameters, forcing, mesh, series, and what a restart needs.

The root holds the states along ``time``, the group ``grid`` the mesh, ``series`` the yearly series and ``restart`` what
the last state lacks to be continued: the turbulent kinetic energy and the clock. Temperature, salinity and velocities of
the restart are those of the last state; the barotropic streamfunction, density and vertical velocity follow from them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from verdicts import years_until

from warmstart.engines import dino
from warmstart.engines.veros.arrays import (
    NEWEST,
    from_veros,
    read_restart,
    write_restart,
)
from warmstart.engines.veros.member_file import restart_fields
from warmstart.equilibrium.verdict import judge
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.io.config import read_yaml
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import PARAMETERS, extract
from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.physics.column import density_step
from warmstart.store.members import FORCING

log = logging.getLogger(__name__)

#: What both runs add to.
COUNTED = ("years", "cpu_seconds", "blow_ups", "shifts")

TRANSIENT_YEARS = (10, 50, 200, 500)  #: of the states on the way that are kept
FROM_NOTHING = ("rest", "cold", "unknown")  #: starts of which these are stages of a spin-up
FEWEST_STATES, LEAST_YEARS = 4, 5.0  #: at equilibrium, and between two of them
FORMAT = 2  #: of the file; files without the attribute ``member_format`` are older and hold no restart
#: Of the run; others, as its command, name folders of the machine.
KEPT_ATTRIBUTES = (
    "warmstart_version",
    "created",
    "Conventions",
    "config_hash",
    "seed",
    "member_name",
    "split",
)
TKE_BITS = 12  #: of the mantissa that are kept: 0.02 %

REPAIRS = 10  #: rounds in which pairs that rounding turned over are turned back
#: Steps of temperature [K] and salinity [1e-3], coarsest first; the first that keeps all inversions is taken.
STEPS = ((1e-6, 1e-7), (1e-7, 1e-8))
OFFSET = {"thetao": 15.0, "so": 35.0}  #: so that the finest steps fit into 32 bits
VELOCITY_STEP, SEA_LEVEL_STEP = 1e-6, 1e-6  #: [m s-1], [m]
FILL = -(2**31)  #: land
#: Files of HDF5 1.10 (2016) and later need 0.15 MB less a file for their own tables.
LIBVER = ("v110", "v110")
DEFLATE = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


@outputs.writes(folder=False)
def write_member_file(
    run: str | Path, output: str | Path, overwrite: bool = False, undisturbed: str | Path | None = None,
    continues: str | Path | None = None,
) -> Path:  # fmt: skip
    """Turn the folder of a finished run into one member file.

    All equilibrium states are kept, and those of years 10, 50, 200 and 500 on the way, as far as the deep ocean had not been
    shifted by then and the run started from an ocean at rest: others are no stage of a spin-up. Temperature, salinity and velocities
    are packed as coarsely as leaves the set of static inversions as it is (:func:`pack`).

    Parameters
    ----------
    run : ``member_NNN`` with ``states.nc``, ``series.nc``, ``restart.h5`` and ``status.yaml``.
    output : the file to write.
    overwrite : whether an existing file may be replaced.
    undisturbed : member file of a run with the same parameters from rest that was not extrapolated: its states of those
        years that this run has not are taken.
    continues : member file whose restart this run started from: its states on the way and its series come first, and
        verdict, years and costs are of both.

    Returns
    -------
    `output`.

    Raises
    ------
    UserError
        If the run is not finished, a file is missing or damaged, the mesh is not the configuration's own, the states are
        of different seasons, the restart is of another time than the last state, or the undisturbed run is another.

    Examples
    --------
    >>> write_member_file("runs/member_000", "data/dino-4deg/member_000.nc")  # doctest: +SKIP
    """
    run = Path(run)
    status = finished_status(run)
    mesh = files.open_grid(run / "states.nc")
    if "resolution" not in mesh.ds.attrs:
        raise UserError(f"{run / 'states.nc'} is on a mesh that names no resolution; expected a DINO run")
    mesh.require_same(dino.grid(float(mesh.ds.attrs["resolution"]), mesh.shape[0]), str(run))
    states = _states(run, status)
    restart = _restart(run, states, mesh)
    if undisturbed is not None:
        states = with_transients(states, Path(undisturbed), mesh)
    with files.open_dataset(run / "series.nc") as opened:
        series = _series(opened.load(), status)
    origin = _origin(run, status)
    if continues is not None:
        states = join_states(Path(continues), states, mesh)
        with files.open_dataset(continues) as earlier, files.open_dataset(continues, "series") as opened:
            series = join_series(opened.load(), series)
            origin = join_counts(earlier.attrs, origin)
        origin["command"] = f"python data/continue.py {Path(continues).name}"
    states.attrs |= judge(series).attributes() | {
        "years_to_near": years_until(series, "near"),
        "years_to_equilibrium": years_until(series, "equilibrium"),
    }
    states.attrs |= origin
    packed = pack(states, mesh)
    with outputs.replacing(output, overwrite) as temporary:
        write_groups(
            temporary, {"": packed, "grid": mesh.ds.drop_encoding(), "series": series, "restart": restart}
        )
    return Path(output)


@outputs.writes(folder=False)
def write_restart_of(member: str | Path, output: str | Path, overwrite: bool = False) -> Path:
    """Write the ``restart.h5`` of a member file, in Veros's own layout.

    Parameters
    ----------
    member : from :func:`write_member_file`.
    output : the file to write.
    overwrite : whether an existing file may be replaced.

    Returns
    -------
    `output`.

    Raises
    ------
    UserError
        As :func:`warmstart.engines.veros.member_file.restart_fields`.

    Examples
    --------
    >>> write_restart_of("data/dino-4deg/member_000.nc", "restart.h5")  # doctest: +SKIP
    """
    write_restart(output, *restart_fields(member))
    return Path(output)


def finished_status(run: Path) -> dict[str, Any]:
    """Read the status of a run that is finished.

    Raises
    ------
    UserError
        If it is not, saying what it is.

    Examples
    --------
    >>> finished_status(Path("no-such-run"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-run holds no status.yaml; give the folder of a member that 'warmstart simulate' finished
    """
    if not (run / "status.yaml").is_file():
        raise UserError(
            f"{run} holds no status.yaml; give the folder of a member that 'warmstart simulate' finished"
        )
    status = read_yaml(run / "status.yaml")
    if status.get("state") != "finished":
        why = str(status.get("message") or "")
        raise UserError(f"{run} is not finished but {status.get('state')}{': ' + why if why else ''}")
    return status


def _states(run: Path, status: dict[str, Any]) -> xr.Dataset:
    """The states to keep; all equilibrium ones of one season."""
    with files.open_dataset(run / "states.nc") as opened:
        states = opened.load()
    settled = (states.phase == "equilibrium").values
    every = states.year.values
    years = every[settled]
    if not settled.any():
        raise UserError(f"{run / 'states.nc'} holds no equilibrium state; let the run settle (settle_years)")
    if np.ptp(years % 1.0) > 1e-6:
        raise UserError(
            f"{run / 'states.nc'}: the equilibrium states are of different seasons: years {years}"
        )
    if years.size < FEWEST_STATES or (np.diff(years) < LEAST_YEARS - 1e-6).any():
        log.warning("%s: %d equilibrium states of years %s; an ensemble member has %d, %g years apart",
                    run.name, years.size, years, FEWEST_STATES, LEAST_YEARS)  # fmt: skip
    shifted = min((float(s["year"]) for s in status.get("shifts") or ()), default=np.inf)
    stages = states.year.isin(TRANSIENT_YEARS).values & (every <= shifted) & (start_of(run) in FROM_NOTHING)
    keep = settled | stages
    names = [n for n in (*STATE_VARIABLES, *FORCING, *PARAMETERS) if n in states]
    kept = states.isel(time=keep)[names].drop_encoding()
    attrs = {name: states.attrs[name] for name in KEPT_ATTRIBUTES if name in states.attrs}
    kept = kept.drop_vars(set(map(str, kept.coords)) - {"year", "phase"})
    kept.attrs = attrs
    return kept


def _restart(run: Path, states: xr.Dataset, mesh: Grid) -> xr.Dataset:
    """What the last state lacks; refused if the restart is of another time."""
    fields, _ = read_restart(run / "restart.h5")
    wet = mesh.tmask.values > 0
    temp = from_veros(fields["temp"][..., NEWEST])
    if temp.shape != mesh.shape or not np.allclose(
        temp[wet], states.thetao.values[-1][wet], rtol=0, atol=1e-9
    ):
        raise UserError(
            f"{run / 'restart.h5'} is not of the last state in states.nc; expected that the run ends with a snapshot"
        )
    tke = rounded(from_veros(fields["tke"][..., NEWEST]).astype("float32"), TKE_BITS)
    return xr.Dataset(
        {
            "tke": (("z", "y", "x"), tke, {"units": "m2 s-2", "long_name": "turbulent kinetic energy at the top face"}),
            "time_since_start": ((), float(fields["time"]), {"units": "s", "long_name": "clock of the engine"}),
        },
        attrs={"comment": "temperature, salinity and velocities are those of the last state of the root group"},
    )  # fmt: skip


def _series(series: xr.Dataset, status: dict[str, Any]) -> xr.Dataset:
    """The yearly numbers in single precision, and which stretch of running each belongs to."""
    names = [n for n in series.data_vars if series[n].dims == ("time",)]
    year = series["year"].values.astype("float64")
    out = (
        series[names]
        .astype("float32")
        .assign_coords(year=("time", year, series["year"].attrs))
        .drop_encoding()
    )
    shifts = sorted(float(s["year"]) for s in status.get("shifts") or ())
    if "stretch" in series:
        stretch = series["stretch"].values.astype("int32")
    else:
        stretch = np.searchsorted(shifts, year, side="left").astype("int32")
    text = "number of shifts of the deep ocean by extrapolation before"
    out["stretch"] = ("time", stretch, {"long_name": text, "shift_years": shifts or [float("nan")]})
    out.attrs = {}
    return out


def _origin(run: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Where the member comes from, without a path of the machine it was made on."""
    digits = run.name.removeprefix("member_").split("_")[0]
    if not digits.isdigit():
        raise UserError(f"{run}: expected a folder named member_ and its number, for example member_007")
    return {
        "member_format": FORMAT,
        "member": int(digits),
        "start": start_of(run) + _help(run, status),
        "years": float(status.get("years") or 0.0),
        "cpu_seconds": float(status.get("cpu_seconds") or 0.0),
        "blow_ups": len(status.get("blow_ups") or ()),
        "shifts": len(status.get("shifts") or ()),
        "command": f"python data/export.py {run.name}",
    }


def _help(run: Path, status: dict[str, Any]) -> str:
    """What brought the deep ocean to rest sooner than by itself."""
    if not status.get("shifts"):
        return ""
    job = read_yaml(run / "job.yaml") if (run / "job.yaml").is_file() else {}
    aimed = any((phase.get("acceleration") or {}).get("expected") for phase in job.get("phases", ()))
    return ", aimed and extrapolated" if aimed else ", extrapolated"


def start_of(run: Path) -> str:
    """What a run started from: a word of its plan or job, or the name of a file.

    Examples
    --------
    >>> start_of(Path("no-such-run"))
    'unknown'
    """
    for path in (run.parent / "plan.yaml", run / "job.yaml"):
        if path.is_file():
            content = read_yaml(path)
            if "start" in content:
                return Path(str(content["start"])).name
    return "unknown"


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
    >>> from warmstart.ocean.basin import basin
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


def with_transients(own: xr.Dataset, path: Path, mesh: Grid) -> xr.Dataset:
    """Add the states on the way of another run with the same parameters, of the years that there are none of.

    Parameters
    ----------
    own : states along ``time``.
    path : member file of the other run.
    mesh : that both must be on.

    Returns
    -------
    The states of both, in the order of their years.

    Raises
    ------
    UserError
        If the mesh or a parameter of the other run is another.

    Examples
    --------
    >>> with_transients(states, "data/dino-4deg/member_000.nc", mesh)  # doctest: +SKIP
    """
    files.open_grid(path).require_same(mesh, str(path))
    with files.open_dataset(path) as opened:
        other = opened.load()
    mine, theirs = extract(own), extract(other)
    if any(not np.isclose(mine[n], theirs[n], rtol=1e-6) for n in mine):
        raise UserError(f"{path} is of other parameters; expected another run of the same member")
    new = (other.phase == "transient").values & ~other.year.isin(own.year.values).values
    names = [n for n in own.data_vars if "time" in own[n].dims]
    merged = xr.concat(
        [own[names], other.isel(time=new)[names].drop_encoding().drop_vars("time", errors="ignore")], "time"
    )
    out = own.drop_dims("time").merge(merged.sortby("year"), combine_attrs="override")
    out.attrs = own.attrs
    return out


def join_states(earlier: Path, later: xr.Dataset, mesh: Grid) -> xr.Dataset:
    """States of a continued member: the earlier run's on the way, the later run's at equilibrium.

    Parameters
    ----------
    earlier : member file whose restart the later run started from.
    later : its states along ``time``, years counted from its start.
    mesh : that both must be on.

    Returns
    -------
    The states; years count from the start of the earlier run.

    Raises
    ------
    UserError
        As :func:`with_transients`.

    Examples
    --------
    >>> join_states("data/dino-4deg/member_013.nc", states, mesh)  # doctest: +SKIP
    """
    with files.open_dataset(earlier, "series") as series:
        before = float(series.year[-1])
    settled = later.isel(time=(later.phase == "equilibrium").values)
    moved = settled.assign_coords(year=settled.year.copy(data=settled.year.values + before))
    return with_transients(moved, earlier, mesh)


def join_series(earlier: xr.Dataset, later: xr.Dataset) -> xr.Dataset:
    """Yearly numbers of both runs; shifts of the deep ocean stay where they were.

    Parameters
    ----------
    earlier, later : along ``time`` with the coordinate ``year``, each from its own start; the first row of `later` is
        of its start if its year is 0, and left out.

    Returns
    -------
    One series; years count from the start of `earlier`. A number that the earlier run defined otherwise (another ``long_name``)
    is NaN in its years: the change of definition must not pass for a trend.

    Examples
    --------
    >>> one = xr.Dataset({"thetao_deep": ("time", [1.0, 2.0])}, {"year": ("time", [1.0, 2.0])})
    >>> join_series(one, one).year.values.tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    later = later.isel(time=(later.year > 0).values)
    names = [n for n in earlier.data_vars if n in later and n != "stretch"]
    year = later.year.copy(data=later.year.values + float(earlier.year[-1]))
    moved = later[names].assign_coords(year=year)
    kept = earlier[names]
    for name in names:
        if kept[name].attrs.get("long_name") != moved[name].attrs.get("long_name"):
            unknown = np.full(kept[name].shape, np.nan)
            kept = kept.assign({name: (kept[name].dims, unknown, moved[name].attrs)})
    if "stretch" in earlier:
        own = later["stretch"].values if "stretch" in later else np.zeros(later.sizes["time"], "int32")
        kept = kept.assign(stretch=earlier["stretch"])
        moved["stretch"] = ("time", own + int(earlier["stretch"][-1]))
    out = xr.concat([kept, moved], "time", combine_attrs="override")
    if "stretch" in earlier:
        out["stretch"].attrs = _shifts(earlier, later)
    return out


def join_counts(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the file: what both runs cost together; everything else as the later run says, the start as the earlier.

    Examples
    --------
    >>> join_counts({"start": "rest", "years": 300.0}, {"start": "member_001.nc", "years": 100.0})
    {'start': 'rest, continued', 'years': 400.0}
    """
    sums = {n: later[n] + earlier[n] for n in COUNTED if n in later and n in earlier}
    start = str(earlier["start"]).removesuffix(", continued")
    return later | sums | {"start": f"{start}, continued"}


def _shifts(earlier: xr.Dataset, later: xr.Dataset) -> dict[str, Any]:
    """Attributes of the stretches of both."""
    attrs = dict(earlier["stretch"].attrs)
    told = [np.atleast_1d(attrs.get("shift_years", np.nan))]
    if "stretch" in later:
        told.append(
            np.atleast_1d(later["stretch"].attrs.get("shift_years", np.nan)) + float(earlier.year[-1])
        )
    years = np.concatenate(told).astype(float)
    known = years[np.isfinite(years)].tolist()
    return attrs | {"shift_years": known or [float("nan")]}
