"""A verification on NEMO: the user's command run from restarts, or runs that have finished; read for the comparison."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart.engines.base import Trial, TrialRequest
from warmstart.engines.manifest import MANIFEST, read_manifest
from warmstart.engines.nemo import launch
from warmstart.engines.nemo.clock import start_entries
from warmstart.engines.nemo.mesh import open_grid
from warmstart.engines.nemo.namelist import read_namelist
from warmstart.engines.recognition import open_bare
from warmstart.equilibrium import distance
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.io.netcdf import open_file
from warmstart.ocean.grid import Grid
from warmstart.scores.verification import CONTROL, REST, Target, settled, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


def trial(
    request: TrialRequest,
    run: str | None = None,
    template: str | Path | None = None,
    mesh: str | Path | None = None,
) -> Trial:
    """Run starts of NEMO, or read finished runs.

    Parameters
    ----------
    request : `restarts` is a folder made by ``restart --engine nemo`` (needs `run` and `template`), or a folder of finished run
        folders, whose names are the names of the starts: ``control`` and ``rest`` are what the others are compared with.
        `control` is a restart of NEMO (it is run too), states, or a finished run folder. Where it was run, or a finished run is
        called ``control``, years 1 to 20 of that run are the equilibrium. `rest` runs a start with ``ln_rstart = .false.``.
    run : the user's command, for example ``mpirun -np 36 ./nemo``.
    template : run folder of the user with the executable, the namelists and all input; nothing in it is changed.
    mesh : ``mesh_mask.nc``; by default the one found in a run folder or the template.

    Raises
    ------
    UserError
        If an input is missing, cut off or of another grid, or the command fails.
    """
    restarts, folder, control = request.restarts, request.folder, request.control
    places = [restarts, *(Path(p) for p in (template, control) if p is not None)]
    if (restarts / MANIFEST).is_file():
        if run is None or template is None:
            raise UserError(
                f"{restarts} holds restarts to run: give --run, the command that starts NEMO, and --template, a run folder "
                "with its namelists and input"
            )
        grid = _mesh(mesh, places)
        starts, seconds = _run_all(request, run, Path(template))
    else:
        if run is not None:
            raise UserError(
                f"{restarts} holds no {MANIFEST}, so nothing to run: give a folder made by 'restart', or leave --run out"
            )
        starts = _finished(restarts, control)
        seconds = dict.fromkeys(starts, float("nan"))
        grid = _mesh(mesh, [*places, *starts.values()])
    work = {name: folder / "read" / name.replace(" ", "_") for name in starts}
    with _nothing_left(folder):
        names = list(starts)
        statuses = [launch.gather(starts[n], grid, work[n]) | {"wall_seconds": seconds[n]} for n in names]
        if CONTROL in names and (blown := statuses[names.index(CONTROL)]["blow_ups"]):
            raise UserError(
                f"{starts[CONTROL]}: NEMO stopped the control itself ({blown[-1]['reason']}); nothing can be compared with it"
            )
        target = _target(control, work.get(CONTROL), request.spread, grid)
    attrs = {"engine": "nemo"}
    return Trial(names, [work[name] for name in names], statuses, target, grid, attrs=attrs)


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Remove a folder that the block made, if a mistake ends it."""
    fresh = not folder.exists()
    try:
        yield
    except UserError:
        if fresh:
            with contextlib.suppress(UserError):  # somebody has put something there
                outputs.clear(folder, r"read/[^/]+/(states|series)\.nc")
        raise


def _mesh(grid: str | Path | None, places: Sequence[Path]) -> Grid:
    """The mesh that was given, or the first found in a run folder."""
    if grid is not None:
        return open_grid(grid)
    names = ("mesh_mask.nc", "mesh_mask.nc.gz", "mesh_mask_0000.nc", "domain_cfg.nc", "domain_cfg_out.nc")
    for path in (place / name for place in places for name in names):
        if path.is_file():
            return open_grid(path)
    raise UserError(f"no mesh_mask.nc in {', '.join(map(str, places))}; give it with --grid")


def _finished(folder: Path, control: str | Path | None) -> dict[str, Path]:
    """Finished runs by name: the folders inside, or the folder itself."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give restarts, or a folder of finished runs of NEMO")
    starts = {path.name: path for path in sorted(folder.iterdir()) if launch.is_run(path)}
    if not starts and launch.is_run(folder):
        starts = {folder.name: folder}
    if not starts:
        raise UserError(
            f"{folder} holds neither {MANIFEST} nor runs of NEMO; expected folders with *_restart.nc or *_grid_T.nc"
        )
    if control is not None and launch.is_run(Path(control)):
        starts[CONTROL] = Path(control)
    return starts


def _run_all(request: TrialRequest, run: str, template: Path) -> tuple[dict[str, Path], dict[str, float]]:
    """Run every start that is not finished, one after the other: the command takes the cores it wants."""
    if not (template / "namelist_cfg").is_file():
        raise UserError(f"{template} holds no namelist_cfg; give a run folder of NEMO")
    starts: dict[str, Path] = {}
    seconds: dict[str, float] = {}
    wanted = _wanted(request.restarts, request.control, request.rest)
    places = {name: request.folder / name.replace(" ", "_") for name, _, _ in wanted}
    for place in places.values():  # before the first run, not after it
        if not (place / launch.DONE).is_file():
            launch.require_ours(place)
    for name, paths, entries in wanted:
        place = places[name]
        starts[name] = place
        asked = {"command": run, "years": request.years, "restart": [str(p.resolve()) for p in paths]}
        if (place / launch.DONE).is_file():
            former = read_yaml(place / launch.DONE)
            if {key: former.get(key) for key in asked} == asked:
                seconds[name] = float(former["wall_seconds"])
                continue
            raise UserError(f"{place} holds another run; remove it, or choose another output")
        launch.clear(place)
        launch.prepare(template, place, paths, entries, request.years)
        log.info("running '%s' in %s", run, place)
        seconds[name] = launch.execute(run, place)
        dump_yaml(asked | {"wall_seconds": seconds[name]}, place / launch.DONE)
    return starts, seconds


def _wanted(
    restarts: Path, control: str | Path | None, rest: bool
) -> list[tuple[str, list[Path], dict[str, Any]]]:
    """Name, restart files and namelist entries of every start."""
    manifest = read_manifest(restarts)
    if manifest.engine != "nemo":
        raise UserError(f"{restarts} holds restarts of {manifest.engine}; expected 'restart --engine nemo'")
    wanted = []
    for sample in manifest.samples:
        name = f"state {sample.sample}" if sample.seed is None else f"generated {sample.sample}"
        stem = f"restart_{sample.sample:03d}"
        entries = dict(read_namelist(restarts / f"{stem}.namelist")["namrun"])
        wanted.append((name, sorted(restarts.glob(f"{stem}*.nc")), entries))
    # the same first step and the same date for all: only the state differs
    when = {k: wanted[0][2][k] for k in ("nn_it000", "nn_date0") if wanted}
    if control is not None and Path(control).is_file() and _is_restart(Path(control)):
        wanted.append((CONTROL, [Path(control)], start_entries(control, True) | when))
    if rest:
        wanted.append((REST, [], {"ln_rstart": False} | when))
    return wanted


def _is_restart(path: Path) -> bool:
    with open_file(path) as ds:
        return "tn" in ds.variables and "un" in ds.variables


def _target(
    control: str | Path | None,
    read: Path | None,
    spread: Callable[[Grid], tuple[xr.Dataset, str]] | None,
    grid: Grid,
) -> Target | None:
    """The equilibrium: the states of the run that is called control, else those of the file."""
    if read is not None and (read / "states.nc").is_file():
        states, source = files.open_dataset(read / "states.nc"), f"the run of the {CONTROL}"
        chosen = settled(states)
    elif control is not None and Path(control).is_file():
        states, source = open_bare(control, grid), str(control)
        lead = [d for d in states.dims if d not in ("z", "y", "x")]
        states = states.rename({lead[0]: "time"}) if lead else states.expand_dims("time")
        phase = states["phase"].values if "phase" in states.coords else "equilibrium"
        chosen = np.flatnonzero(np.broadcast_to(phase == "equilibrium", states.sizes["time"]))
    else:
        return None
    missing = [name for name in distance.TRACERS if name not in states]
    if missing:
        raise UserError(f"{source}: no {' and no '.join(missing)}; expected temperature and salinity")
    if not chosen.size:
        raise UserError(f"{source} holds no state of the phase 'equilibrium'; run the control longer")
    averaged = _averaged(states, int(chosen[-1]))
    states = states[list(distance.TRACERS)].load()
    others = np.setdiff1d(np.arange(states.sizes["time"]), chosen)
    spinup = states.isel(time=others) if "phase" in states.coords else None
    return target_of(states.isel(time=chosen), spinup, spread(grid) if spread else None, grid, averaged)


def _averaged(states: xr.Dataset, index: int) -> float:
    """How long the mean is that a state is [days]; 0 for an instant, and where nothing says that it is a mean."""
    if "averaged_days" in states.coords:
        return float(states["averaged_days"][index])
    if states["thetao"].attrs.get("cell_methods") != "time: mean":
        return 0.0
    years = np.ravel(states["year"].values) if "year" in states.coords else np.zeros(0)
    return float(np.median(np.diff(years))) * 360.0 if years.size > 1 else 360.0
