"""Runs of NEMO: prepared from a user's run folder, started with the user's command, and read when they are finished."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import files, outputs
from warmstart.engine.nemo.namelist import CFG, read
from warmstart.engine.nemo.start import Clock, clock_of, first_step, patch_start
from warmstart.engine.nemo.state import open_state
from warmstart.engine.veros.diagnose import series_dataset, series_row
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.physics.balance import vertical_velocity
from warmstart.variables import VARIABLES

log = logging.getLogger(__name__)

DAY = 86400.0
LONGEST = 69  #: years that NEMO can count in 32-bit seconds of one job
LOG = "warmstart.log"
DONE = "warmstart.yaml"  #: status that marks a run folder as finished
MARKER = ".warmstart_run"  #: says that a run folder was made here, and lists what was put there
LARGE = 64 * 2**20  #: files of the template beyond this are linked, not copied [bytes]
#: What a run leaves behind; none of it is taken over from the template.
_LEFT = re.compile(
    r".*_restart(_\d+)?\.nc|.*_grid_?[TUVW].*\.nc|.*_W\.nc|output\..*|ocean\.output.*|run\.stat.*|time\.step|"
    r"timing\.output.*|layout\.dat|communication_report\.txt|date\.file|.*\.log|mesh_mask.*\.nc|"
    rf"{re.escape(DONE)}|{re.escape(MARKER)}"
)
_RESTART = re.compile(r".*restart.*\.nc(\.gz)?$")
_OUTPUT = re.compile(r"(?P<stem>.*)_(grid_?)?(?P<point>[TUV])(?P<end>(_\d{4,6})?\.nc(\.gz)?)$")


def prepare(
    template: Path, folder: Path, restarts: list[Path], entries: Mapping[str, Any], years: int
) -> None:
    """Make a run folder: the template's files (large ones and folders as links), the restart, and the namelist with its entries set.

    Parameters
    ----------
    template : a run folder of the user, with ``namelist_cfg``, ``namelist_ref`` and everything else that the command needs.
    folder : the folder to make.
    restarts : the restart, or its pieces; none for a start from rest.
    entries : of ``&namrun``, as :func:`warmstart.engine.nemo.start.start_entries`.
    years : how long to run; a restart is written at the end of each.

    Raises
    ------
    UserError
        If the template has no namelist, no time step can be found, or the run is longer than NEMO can count.

    Examples
    --------
    >>> prepare(Path("RUN"), Path("verify_runs/control"), [Path("restart_in.nc")], entries, 20)  # doctest: +SKIP
    """
    if years > LONGEST:
        raise UserError(
            f"{years} years: NEMO counts at most {LONGEST} years of seconds in one job; ask for fewer"
        )
    clock = _clock(template)
    steps = _steps_per_year(clock)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text(f"{outputs.mark()}\n")
    written = _written(template)
    given = {path.name for path in restarts}
    for path in sorted(template.iterdir()):
        if path.name not in (CFG, *given) and not _LEFT.fullmatch(path.name):
            _bring(path, folder / path.name, written)
    for path in restarts:
        (folder / path.name).symlink_to(path.resolve())
    # the first step counts from 1 January, in the time step of this run
    first = (
        first_step(int(entries["nn_date0"]), clock)
        if "nn_date0" in entries
        else int(entries.get("nn_it000", 1))
    )
    # restarts go into the run folder itself: another one may be a link to that of the template
    wanted = {
        **entries, "nn_it000": first, "nn_itend": first - 1 + steps * years, "nn_stock": steps, "cn_ocerst_outdir": ".",
    }  # fmt: skip
    patch_start(template / CFG, folder / CFG, wanted)
    names = sorted(path.name for path in folder.iterdir())
    (folder / MARKER).write_text("".join(f"{line}\n" for line in [outputs.mark(), *names]))


def _written(template: Path) -> tuple[str, ...]:
    """What files that a run writes begin with: a link to one of the template would be written through."""
    run = read(template / CFG).get("namrun", {})
    names = [str(run["cn_exp"])] if run.get("cn_exp") else []
    for path in template.glob("*.xml"):
        names += re.findall(r"""<file\b[^>]*?\bname\s*=\s*["']([^"'@]+)""", path.read_text(errors="replace"))
    return tuple(name.removeprefix("./") for name in names if name.strip())


def _bring(path: Path, target: Path, written: tuple[str, ...]) -> None:
    """Copy what a run might write to; link what is too large for that, but nothing that it writes."""
    if path.is_file() and path.stat().st_size <= LARGE:
        shutil.copy2(path, target)
    elif path.is_dir() and any(name.startswith(f"{path.name}/") for name in written):
        target.mkdir()
    elif path.is_dir() or not path.name.startswith(written):
        target.symlink_to(path.resolve())


def _clock(folder: Path) -> Clock:
    """Time step and calendar of a run, from its namelists; 365 days where they state no calendar, as NEMO's own default."""
    groups = read(folder)
    clock = clock_of(groups)
    if clock.step is None:
        raise UserError(
            f"{folder}/namelist_cfg: no rn_Dt (or rn_rdt) in &namdom, nor in namelist_ref; set it"
        )
    stated = "nn_leapy" in groups.get("namrun", {})
    return clock if stated else Clock(clock.step, "noleap")


def _steps_per_year(clock: Clock) -> int:
    """Time steps of a year."""
    return round((360 if clock.calendar == "360_day" else 365) * DAY / (clock.step or DAY))


def execute(command: str, folder: Path) -> float:
    """Run the user's command in a run folder; its output goes to ``warmstart.log`` there.

    Parameters
    ----------
    command : as typed, for example ``mpirun -np 36 ./nemo``; no shell looks at it.
    folder : the run folder.

    Returns
    -------
    Wall time [s].

    Raises
    ------
    UserError
        If the command is not there, fails without NEMO having said why it stopped, or leaves nothing to read.

    Examples
    --------
    >>> execute("./nemo", Path("verify_runs/control"))  # doctest: +SKIP
    """
    before = {path.name for path in folder.iterdir()}
    started = time.monotonic()
    with (folder / LOG).open("w") as stream:
        try:
            process = subprocess.Popen(
                shlex.split(command), cwd=folder, stdout=stream, stderr=subprocess.STDOUT
            )
        except (OSError, ValueError, IndexError) as error:
            raise UserError(f"cannot run '{command}' in {folder}: {error}") from error
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code != 0 and not stopped(folder):
        raise UserError(
            f"'{command}' failed with exit code {code}; see {folder / LOG} and {folder / 'ocean.output'}"
        )
    new = [path.name for path in folder.iterdir() if path.name not in before]
    if not stopped(folder) and not any(_RESTART.match(name) or _OUTPUT.match(name) for name in new):
        raise UserError(
            f"'{command}' ended without an error but left no restart and no output in {folder}; see {folder / LOG}"
        )
    return time.monotonic() - started


def stopped(folder: Path) -> str | None:
    """Say why NEMO stopped a run before its end; None if it did not.

    Parameters
    ----------
    folder : the run folder.

    Returns
    -------
    The first line of the error in ``ocean.output``, or that ``output.abort`` is there.

    Examples
    --------
    >>> stopped(Path("no-such-folder")) is None
    True
    """
    output = folder / "ocean.output"
    if output.is_file():
        lines = output.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if "E R R O R" in line:
                return next(
                    (text.strip() for text in lines[number + 1 :] if text.strip(" *=>-")), line.strip()
                )
    abort = sorted(folder.glob("output.abort*.nc")) if folder.is_dir() else []
    return f"{abort[0].name} was written" if abort else None


def is_run(folder: Path) -> bool:
    """Whether a folder holds fields that NEMO wrote."""
    return folder.is_dir() and any(_RESTART.match(p.name) or _OUTPUT.match(p.name) for p in folder.iterdir())


def gather(folder: Path, grid: Grid, target: Path) -> dict[str, Any]:
    """Read a finished run: the series, and states to measure distances with.

    Parameters
    ----------
    folder : the run folder: restarts (the one it started from too) and output on the grids of T, U and V.
    grid : its mesh.
    target : where ``series.nc`` and ``states.nc`` (temperature and salinity, at most one a year besides the first month)
        are written.

    Returns
    -------
    The status: state, years, blow-ups.

    Raises
    ------
    UserError
        If there is nothing to read, or a file is of another grid or cut off.

    Examples
    --------
    >>> gather(Path("verify_runs/control"), grid, Path("work/control"))  # doctest: +SKIP
    """
    rows, states, last = [], [], -np.inf
    for state in records(folder, grid):
        fields = {n: np.nan_to_num(state[n].values.astype("float64")) for n in VARIABLES if n in state}
        if not any(n in state for n in ("thetao", "so")):
            continue
        day = float(state["day"])
        rows.append({**row(fields, grid), "day": day})
        if {"thetao", "so"} <= set(fields) and (day <= 31.0 or day >= last + 359.0):
            last = day if day > 31.0 else last
            states.append(state[["thetao", "so"]].load())
    if not rows:
        raise UserError(
            f"{folder}: no temperature or salinity in what NEMO wrote there; expected output or restarts"
        )
    target.mkdir(parents=True, exist_ok=True)
    series = _labelled(series_dataset(rows))
    files.write_dataset(target / "series.nc", series, overwrite=True)
    if states:
        stacked = xr.concat([s.drop_vars(list(s.coords)).expand_dims("time") for s in states], "time")
        about = {"long_name": "model years since the start", "units": "years"}
        stacked = stacked.assign_coords(year=("time", [float(s["year"]) for s in states], about))
        files.write_dataset(target / "states.nc", stacked, overwrite=True)
    why = stopped(folder)
    years = rows[-1]["day"] / 360.0
    return {
        "state": "failed" if why else "finished",
        "years": years,
        "blow_ups": [{"year": years, "reason": why}] if why else [],
        "reason": why,
    }


def _labelled(series: xr.Dataset) -> xr.Dataset:
    """Say that the overturning is that of the velocity in the files: Veros's series add the eddy-induced one."""
    for name in ("overturning_north", "overturning_abyssal"):
        attrs = series[name].attrs
        attrs["long_name"] = attrs["long_name"].replace("residual", "Eulerian")
    return series


def row(fields: Mapping[str, np.ndarray], grid: Grid) -> dict[str, float]:
    """Reduce a state to the numbers that every engine's series has; NaN for what it does not hold.

    Parameters
    ----------
    fields : ``thetao so uo vo``, dims ``(z, y, x)``, zero on land; any may be missing.
    grid : the mesh.

    Returns
    -------
    As :func:`warmstart.engine.veros.diagnose.series_row`; the overturning is that of the given velocity.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> round(row({n: np.nan_to_num(v.values) for n, v in state.items()}, grid)["so_mean"])
    35
    """
    zero = np.zeros(grid.shape)
    u, v = fields.get("uo", zero), fields.get("vo", zero)
    flow = xr.Dataset({"uo": (("z", "y", "x"), u), "vo": (("z", "y", "x"), v)})
    given = {"temp": fields.get("thetao", zero), "salt": fields.get("so", zero), "u": u, "v": v, "B1_gm": zero,
             "w": np.nan_to_num(vertical_velocity(flow, grid).values)}  # fmt: skip
    needs = {"thetao": ("thetao", "surface_temperature"), "so": ("so_",),
             "uo": ("channel", "kinetic", "vertical", "speed"), "vo": ("overturning", "kinetic", "vertical", "speed")}  # fmt: skip
    lacking = tuple(prefix for name, prefixes in needs.items() if name not in fields for prefix in prefixes)
    return {
        name: float("nan") if lacking and name.startswith(lacking) else value
        for name, value in series_row(given, grid).items()
    }


def records(folder: Path, grid: Grid) -> Iterator[xr.Dataset]:
    """Give all states of a run in order of time, with ``day`` and ``year`` since its start.

    Parameters
    ----------
    folder : the run folder.
    grid : its mesh.

    Yields
    ------
    Single states, lazily; instants from restarts, means from output.

    Examples
    --------
    >>> [float(state["day"]) for state in records(Path("RUN"), grid)]  # doctest: +SKIP
    [0.0, 15.0, 45.0]
    """
    sources, begin = _sources(folder, grid), _starting_restart(folder)
    opened = [(path, ds) for path, ds in sources if "thetao" in ds or "so" in ds]
    origin = _origin(folder, opened)
    found: dict[float, xr.Dataset] = {}
    for path, ds in opened:
        for i in range(ds.sizes["time"]):
            year = float(ds["year"][i]) - origin
            if begin is not None and path.name.startswith(begin):
                year = 0.0
            if not np.isfinite(
                year
            ):  # only a restart that a tool made has no date: what the run started from
                year = 0.0
            day = round(year * 360.0, 6)
            one = ds.isel(time=i).drop_vars(["time"], errors="ignore")
            found.setdefault(day, one.assign_coords(day=day, year=day / 360.0))
    for day in sorted(d for d in found if d >= 0):
        yield found[day]
    for _, ds in sources:
        ds.close()


def _sources(folder: Path, grid: Grid) -> list[tuple[Path, xr.Dataset]]:
    """Everything readable: each restart, and the output of the three grids together."""
    out: list[tuple[Path, xr.Dataset]] = []
    outputs: dict[str, list[Path]] = {}
    seen: set[str] = set()
    begin = _starting_restart(folder)
    for path in sorted(folder.iterdir()):
        match = _OUTPUT.match(path.name)
        if path.name.startswith("output."):
            continue
        if match:
            outputs.setdefault(match["stem"], []).append(path)
        elif _RESTART.match(path.name) or (begin and path.name.startswith(begin) and path.suffix == ".nc"):
            stem = re.sub(r"_\d{4,6}(\.nc(\.gz)?)$", r"\1", path.name)
            if stem not in seen:  # the sisters of a piece come with it
                seen.add(stem)
                out.append((path, open_state(path, grid)))
    return out + [(paths[0], open_state(paths, grid)) for paths in outputs.values()]


def _starting_restart(folder: Path) -> str | None:
    """Name of the restart that the run started from, without its ending."""
    if not (folder / "namelist_cfg").is_file():
        return None
    run = read(folder).get("namrun", {})
    return str(run["cn_ocerst_in"]) if run.get("ln_rstart") and run.get("cn_ocerst_in") else None


def _origin(folder: Path, opened: list[tuple[Path, xr.Dataset]]) -> float:
    """Model year at which the run began: from the namelist, else from the days that a restart counts."""
    if (folder / "namelist_cfg").is_file():
        run = read(folder).get("namrun", {})
        if "nn_date0" in run and int(run.get("nn_rstctl", 0)) == 0:
            date = int(run["nn_date0"])
            return date // 10000 - 1 + ((date // 100 % 100 - 1) * 30 + date % 100 - 1) / 360.0
    begins = []
    for path, ds in opened:
        elapsed = _elapsed_days(path)
        if elapsed is not None and np.isfinite(float(ds["year"][0])):
            begins.append(float(ds["year"][0]) - elapsed / 360.0)
    if begins:
        return min(begins)
    years = [float(ds["year"][0]) for _, ds in opened if np.isfinite(float(ds["year"][0]))]
    return float(np.floor(min(years))) if years else 0.0


def _elapsed_days(path: Path) -> float | None:
    """``adatrj`` of a restart."""
    from warmstart.engine.nemo.pieces import open_file

    with open_file(path) as ds:
        return float(ds["adatrj"]) if "adatrj" in ds.variables else None


def require_ours(folder: Path) -> None:
    """Refuse a run folder that this package did not make.

    Parameters
    ----------
    folder : where a run shall be prepared.

    Raises
    ------
    UserError
        If something is there that is neither an empty folder nor one that :func:`prepare` made.

    Examples
    --------
    >>> require_ours(Path("no-such-folder"))
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is no folder; remove it, or choose another output or folder")
    held = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else []
    if MARKER in held:
        listed = (folder / MARKER).read_text(errors="replace").splitlines()
        held = [name for name in held if name not in listed and not _LEFT.fullmatch(name)]
        held = [name for name in held if (folder / name).is_symlink() or not _is_empty(folder / name)]
    if held:
        some = ", ".join(held[:3]) + (f" and {len(held) - 3} more" if len(held) > 3 else "")
        raise UserError(
            f"{folder} holds {some}, which 'warmstart verify' did not put there; a run would replace them: move the folder "
            "away, or choose another output or folder"
        )


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def clear(folder: Path) -> None:
    """Remove a run folder that was only begun, if it is ours; links are removed, not what they point to."""
    require_ours(folder)
    if folder.is_dir():
        shutil.rmtree(folder)
