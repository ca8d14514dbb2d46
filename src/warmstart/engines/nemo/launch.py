"""Runs of NEMO: prepared from a user's run folder, started with the user's command, and read when they are finished."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo.clock import Clock, clock_of, first_step, patch_start
from warmstart.engines.nemo.namelist import CFG, read
from warmstart.engines.nemo.state import open_state
from warmstart.engines.series import series_dataset, series_row
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.io.netcdf import open_file
from warmstart.io.signals import terminable
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.balance import vertical_velocity

log = logging.getLogger(__name__)

DAY = 86400.0
LONGEST = 69  #: years that NEMO can count in 32-bit seconds of one job
LOG = "warmstart.log"
DONE = "warmstart.yaml"  #: status that marks a run folder as finished
MARKER = ".warmstart_run"  #: says that a run folder was made here, and lists what was put there
LARGE = 4 * 2**20  #: files of the template beyond this are linked, not copied [bytes]
EARLY = 31.0  #: days after the start whose records show how it begins
#: What any run of NEMO writes, by names that nobody else gives, and what is written here.
_ALWAYS = re.compile(
    r"output\.(abort|init|namelist)\S*|ocean\.output\S*|run\.stat(\.nc)?|time\.step|timing\.output\S*|layout\.dat|"
    rf"communication_report\.txt|date\.file|mesh_mask(_\d{{4}})?\.nc|{re.escape(LOG)}|{re.escape(DONE)}"
)
#: What a run leaves behind; none of it is taken over from the template.
_LEFT = re.compile(
    r".*_restart(_\d+)?\.nc|.*_grid_?[TUVW].*\.nc|.*_W\.nc|output\..*|ocean\.output.*|run\.stat.*|time\.step|"
    r"timing\.output.*|layout\.dat|communication_report\.txt|date\.file|.*\.log|mesh_mask.*\.nc|"
    rf"{re.escape(DONE)}|{re.escape(MARKER)}"
)
_RESTART = re.compile(r".*restart.*\.nc(\.gz)?$")
_STEP = re.compile(r"_(\d{8})_.*\.nc(\.gz)?$")  #: the step at which a restart was written, in its name
_OUTPUT = re.compile(r"(?P<stem>.*)_(grid_?)?(?P<point>[TUV])(?P<end>(_\d{4,6})?\.nc(\.gz)?)$")


def prepare(
    template: Path, folder: Path, restarts: list[Path], entries: Mapping[str, Any], years: int
) -> None:
    """Make a run folder: the template's files, the restart, and the namelist with its entries set.

    Executables, large files and folders are linked, not copied; what is named like output of the template's experiment and
    in no namelist is left out, so that no run writes through a link into the template.

    Parameters
    ----------
    template : a run folder of the user, with ``namelist_cfg``, ``namelist_ref`` and everything else that the command needs.
    folder : the folder to make.
    restarts : the restart, or its pieces; none for a start from rest.
    entries : of ``&namrun``, as :func:`warmstart.engines.nemo.clock.start_entries`.
    years : how long to run; a restart is written at the end of each.

    Raises
    ------
    UserError
        If the template has no namelist, no time step can be found, or the run is longer than NEMO can count.
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
        # what a former run left would pass for output of this one
        left = _LEFT.fullmatch(path.name) or (
            _is_called_output(path, written) and not _is_input(path, written)
        )
        if path.name not in (CFG, *given) and not left:
            _bring(path, folder / path.name, written)
    for path in restarts:
        (folder / path.name).symlink_to(path.resolve())
    first = int(entries.get("nn_it000", 1))
    if "nn_date0" in entries:  # counted from 1 January, in the time step of this run
        first = first_step(int(entries["nn_date0"]), clock)
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


def _is_called_output(path: Path, written: tuple[str, ...]) -> bool:
    """Whether a file is called like output of a run."""
    return path.name.startswith(written) and re.search(r"\.nc(\.gz)?$", path.name) is not None


def _bring(path: Path, target: Path, written: tuple[str, ...]) -> None:
    """Copy small input, which a run might write to; link programs and what is large, but nothing that it writes."""
    small = path.is_file() and (path.stat().st_size <= LARGE or _is_input(path, written))
    if small and not _is_program(path):
        shutil.copy2(path, target)
    elif path.is_dir() and any(name.startswith(f"{path.name}/") for name in written):
        target.mkdir()
    elif path.is_dir() or not path.name.startswith(written) or _is_program(path):
        target.symlink_to(path.resolve())


def _is_input(path: Path, written: tuple[str, ...]) -> bool:
    """Whether a namelist names a file that is called like output: it is read, but a link could be written through."""
    if not path.name.startswith(written):
        return False
    stem = re.sub(r"(_\d{4})?\.nc(\.gz)?$", "", path.name)
    namelists = (n for n in path.parent.glob("namelist*") if n.is_file())
    return any(stem in n.read_text(encoding="utf-8", errors="replace") for n in namelists)


def _is_program(path: Path) -> bool:
    """Whether a file is a compiled program: no run writes into it, and every start would hold a copy."""
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _clock(folder: Path) -> Clock:
    """Time step and calendar of a run, from its namelists; 365 days where they state no calendar, as NEMO's own default."""
    groups = read(folder)
    clock = clock_of(groups)
    if clock.step is None:
        raise UserError(f"{folder}/{CFG}: no rn_Dt (or rn_rdt) in &namdom, nor in namelist_ref; set it")
    return clock if "nn_leapy" in groups.get("namrun", {}) else Clock(clock.step, "noleap")


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
    """
    before = {path.name for path in folder.iterdir()}
    started = time.monotonic()
    with (folder / LOG).open("w") as stream, terminable():
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
    if _stopped(folder):
        return time.monotonic() - started
    log_ = folder / LOG
    if code != 0:
        lines = [line.strip() for line in log_.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1][:200] if lines else "it said nothing"
        raise UserError(
            f"'{command}' failed with exit code {code}: {last}; see {log_} and {folder / 'ocean.output'}"
        )
    if not any(_is_result(path) for path in folder.iterdir() if path.name not in before):
        raise UserError(
            f"'{command}' ended without an error but left no restart and no output in {folder}; see {log_}"
        )
    if short := _unfinished(folder, []):
        raise UserError(f"'{command}' ended without an error, but the run is {short}; see {log_}")
    return time.monotonic() - started


def _stopped(folder: Path) -> str | None:
    """Why NEMO stopped a run before its end: the first line of the error in ``ocean.output``, or that ``output.abort`` is there."""
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
    return folder.is_dir() and any(map(_is_result, folder.iterdir()))


def _is_result(path: Path) -> bool:
    return bool(_RESTART.match(path.name) or _OUTPUT.match(path.name))


def gather(folder: Path, grid: Grid, target: Path) -> dict[str, Any]:
    """Read a finished run: the series, and states to measure distances with.

    Parameters
    ----------
    folder : the run folder: restarts (the one it started from too) and output on the grids of T, U and V.
    grid : its mesh.
    target : where ``series.nc`` and ``states.nc`` are written: temperature and salinity of the first month and then of each
        year, as instants (restarts) where there are enough of them, else as means over whole years.

    Returns
    -------
    The status: ``state`` (``finished``, ``failed`` where NEMO stopped it, ``unfinished`` where steps are missing), ``years``,
    ``blow_ups`` and the ``reason``.

    Raises
    ------
    UserError
        If there is nothing to read, or a file is of another grid or cut off.
    """
    rows, states = [], _States()
    for state in _records(folder, grid):
        fields = {n: np.nan_to_num(state[n].values.astype("float64")) for n in VARIABLES if n in state}
        if not any(n in state for n in ("thetao", "so")):
            continue
        rows.append({**_row(fields, grid), "day": float(state["day"])})
        if {"thetao", "so"} <= set(fields):
            states.add(state[["thetao", "so"]])
    if not rows:
        raise UserError(
            f"{folder}: no temperature or salinity in what NEMO wrote there; expected output or restarts"
        )
    target.mkdir(parents=True, exist_ok=True)
    files.write_dataset(target / "series.nc", _labelled(series_dataset(rows)), overwrite=True)
    if stacked := states.stacked():
        files.write_dataset(target / "states.nc", stacked, overwrite=True)
    years, why = rows[-1]["day"] / 360.0, _stopped(folder)
    if why:
        blown = [{"year": years, "reason": why}]
        return {"state": "failed", "years": years, "blow_ups": blown, "reason": why}
    short = _unfinished(folder, [row["day"] for row in rows])
    return {"state": "unfinished" if short else "finished", "years": years, "blow_ups": [], "reason": short}


class _States:
    """The states of a run that distances are measured with, taken in order of time.

    Whatever the first month holds, and then: instants at the end of each year and the last one, if there are at least as many as
    whole years of means; else means over whole years; else the last mean.
    """

    def __init__(self) -> None:
        self.early: list[xr.Dataset] = []
        self.instants: list[xr.Dataset] = []
        self.years: dict[int, tuple[list[float], xr.Dataset]] = {}
        self.last: tuple[float, xr.Dataset] | None = None

    def add(self, state: xr.Dataset) -> None:
        """Take the next state."""
        day, mean = float(state["day"]), state["thetao"].attrs.get("cell_methods") == "time: mean"
        bare = state.drop_vars(list(state.coords)).load()
        if day <= EARLY:  # the middle of a mean that began with the run
            self.early.append(_timed(bare, day, 2.0 * day if mean else 0.0))
        elif not mean:
            if self.instants and self.instants[-1]["year"].item() % 1.0 > 1e-3:
                self.instants.pop()
            self.instants.append(_timed(bare, day, 0.0))
        if mean:
            days, total = self.years.get(int(day // 360.0), ([], 0.0))
            self.years[int(day // 360.0)] = [*days, day], total + bare.astype("float64")
            self.last = day, bare

    def stacked(self) -> xr.Dataset | None:
        """Dims ``(time, z, y, x)``, coordinates ``year`` and ``averaged_days``; None without any state."""
        days = np.concatenate([d for d, _ in self.years.values()]) if self.years else np.zeros(0)
        spacing = float(np.median(np.diff(days))) if days.size > 1 else np.nan
        means = [
            _timed(total / len(d), float(np.mean(d)), len(d) * spacing)
            for d, total in self.years.values()
            if len(d) * spacing > 359.0
        ]
        late = self.instants if len(self.instants) >= max(len(means), 1) else means
        if not late and self.last is not None and self.last[0] > EARLY:
            late = [_timed(self.last[1], self.last[0], spacing)]
        chosen = [*self.early, *late]
        return xr.concat(chosen, "time") if chosen else None


def _timed(state: xr.Dataset, day: float, averaged: float) -> xr.Dataset:
    about = {"long_name": "model years since the start", "units": "years"}
    length = {"long_name": "length of the mean that the state is; 0 for an instant", "units": "d"}
    return state.expand_dims("time").assign_coords(
        year=("time", [day / 360.0], about), averaged_days=("time", [averaged], length)
    )


def _unfinished(folder: Path, days: Sequence[float]) -> str | None:
    """How far a run came that has not done all the steps its namelist asks for; None if it has, or nothing tells.

    ``time.step`` counts, then ``run.stat``, then the steps in the names of restarts, then the days of the output since the start.
    """
    if not (folder / CFG).is_file():
        return None
    groups = read(folder)
    first, end = (groups.get("namrun", {}).get(name) for name in ("nn_it000", "nn_itend"))
    if not isinstance(end, int):
        return None
    first = first if isinstance(first, int) else 1
    named = (_STEP.search(p.name) for p in folder.iterdir() if _RESTART.match(p.name))
    steps = [int(m[1]) for m in named if m and first <= int(m[1]) <= end]
    step, source = _counted(folder)
    if step is None and steps:
        step, source = max(steps), "the restarts"
    if step is None:
        return _too_short(folder, groups, days, end - first + 1)
    if step < end:
        done, total = max(step - first + 1, 0), end - first + 1
        return f"still going or cut off at step {step} of {end} ({100.0 * done / total:.0f} %, by {source})"
    if steps and max(steps) < end:
        return f"cut off while it ended: it did its last step, {end}, but left no restart of it: the last is of step {max(steps)}"
    return None


def _counted(folder: Path) -> tuple[int | None, str]:
    """The last step that NEMO counted, and where; None without such a file."""
    for name, pattern, place in (("time.step", r"(\d+)", 0), ("run.stat", r"\bit\s*:\s*(\d+)", -1)):
        path = folder / name
        if path.is_file() and (found := re.findall(pattern, path.read_text(errors="replace"))):
            return int(found[place]), name
    return None, ""


def _too_short(folder: Path, groups: Mapping[str, Any], days: Sequence[float], steps: int) -> str | None:
    """Whether output ends more than one of its intervals before the run should."""
    if clock_of(groups).step is None or len(days) < 2:
        return None
    wanted = 360.0 * steps / _steps_per_year(_clock(folder))
    interval = float(np.median(np.diff(days)))
    if days[-1] + 1.5 * interval >= wanted:
        return None
    return f"still going or cut off: output until day {days[-1] + interval / 2:.0f} of {wanted:.0f}"


def _labelled(series: xr.Dataset) -> xr.Dataset:
    """Say what differs from Veros's series: no eddy-induced overturning, and means among the records."""
    for var in series.data_vars.values():
        said = var.attrs["long_name"].replace(" (instantaneous)", "")
        var.attrs["long_name"] = said.replace("residual overturning", "Eulerian overturning")
    return series


def _row(fields: Mapping[str, np.ndarray], grid: Grid) -> dict[str, float]:
    """The numbers that every engine's series has, NaN for what a state lacks; the overturning is that of the given velocity."""
    zero = np.zeros(grid.shape)
    u, v = fields.get("uo", zero), fields.get("vo", zero)
    flow = xr.Dataset({"uo": (("z", "y", "x"), u), "vo": (("z", "y", "x"), v)})
    given = {"temp": fields.get("thetao", zero), "salt": fields.get("so", zero), "u": u, "v": v, "B1_gm": zero,
             "w": np.nan_to_num(vertical_velocity(flow, grid).values)}  # fmt: skip
    needs = {"thetao": ("thetao", "surface_temperature"), "so": ("so_",),
             "uo": ("channel", "throughflow", "kinetic", "vertical", "speed"), "vo": ("overturning", "kinetic", "vertical", "speed")}  # fmt: skip
    lacking = tuple(prefix for name, prefixes in needs.items() if name not in fields for prefix in prefixes)
    return {
        name: float("nan") if lacking and name.startswith(lacking) else value
        for name, value in series_row(given, grid).items()
    }


def _records(folder: Path, grid: Grid) -> Iterator[xr.Dataset]:
    """All states of a run in order of time, with ``day`` and ``year`` since its start: instants from restarts, means from output."""
    sources, begin = _sources(folder, grid), _starting_restart(folder)
    opened = [(path, ds) for path, ds in sources if "thetao" in ds or "so" in ds]
    origin = _origin(folder, opened)
    found: dict[float, xr.Dataset] = {}
    for path, ds in opened:
        for i in range(ds.sizes["time"]):
            year = float(ds["year"][i]) - origin
            # only a restart that a tool made has no date: what the run started from
            if (begin is not None and path.name.startswith(begin)) or not np.isfinite(year):
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
    run = _namrun(folder)
    return str(run["cn_ocerst_in"]) if run.get("ln_rstart") and run.get("cn_ocerst_in") else None


def _namrun(folder: Path) -> Mapping[str, Any]:
    return read(folder).get("namrun", {}) if (folder / CFG).is_file() else {}


def _origin(folder: Path, opened: list[tuple[Path, xr.Dataset]]) -> float:
    """Model year at which the run began: from the namelist, else from the days that a restart counts."""
    run = _namrun(folder)
    if "nn_date0" in run and int(run.get("nn_rstctl", 0)) == 0:
        date = int(run["nn_date0"])
        return date // 10000 - 1 + ((date // 100 % 100 - 1) * 30 + date % 100 - 1) / 360.0
    begins, years = [], []
    for path, states in opened:
        if np.isfinite(year := float(states["year"][0])):
            years.append(year)
            with open_file(path) as ds:
                if "adatrj" in ds.variables:
                    begins.append(year - float(ds["adatrj"]) / 360.0)
    return min(begins) if begins else float(np.floor(min(years))) if years else 0.0


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
        written = _written(folder) if (folder / CFG).is_file() else ()
        held = [name for name in held if name != MARKER and _is_strange(folder / name, listed, written)]
    if held:
        some = ", ".join(held[:3]) + (f" and {len(held) - 3} more" if len(held) > 3 else "")
        raise UserError(
            f"{folder} holds {some}, which 'warmstart verify' did not put there; a run would replace them: move the folder "
            "away, or choose another output or folder"
        )


def _is_strange(path: Path, listed: Collection[str], written: tuple[str, ...]) -> bool:
    """Whether something in a run folder was neither put there nor written by the run: of a folder, whether it holds any such."""
    if path.is_dir() and not path.is_symlink():
        inside = (
            found.relative_to(path.parent).as_posix() for found in path.rglob("*") if not found.is_dir()
        )
        return not all(name.startswith(written) for name in inside)
    known = path.name in listed or _is_called_output(path, written)
    return not known and not _ALWAYS.fullmatch(path.name)


def clear(folder: Path) -> None:
    """Remove a run folder that was only begun, if it is ours; links are removed, not what they point to."""
    require_ours(folder)
    if folder.is_dir():
        shutil.rmtree(folder)
