"""Verification on NEMO: with the user's own command, or on output that is finished."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart import equilibrium, files, outputs
from warmstart.comparison import CONTROL, REST, Target, compare, settled, summarise, target_of
from warmstart.config import dump_yaml, read_yaml
from warmstart.engine.nemo import runs
from warmstart.engine.nemo.mesh import open_grid
from warmstart.engine.nemo.namelist import read_namelist
from warmstart.engine.nemo.restart import open_states
from warmstart.engine.nemo.start import start_entries
from warmstart.errors import UserError, require_path
from warmstart.grid import Grid
from warmstart.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@outputs.writes(
    folder=False,
    beside=lambda given: [Path(given["output"]).with_suffix(".csv")],
    work=lambda given: (_folder(given["output"], given["folder"]), ()),
)
def verify_nemo(
    restarts: str | Path,
    output: str | Path,
    years: int = 20,
    control: str | Path | None = None,
    spread: Callable[[Grid], tuple[xr.Dataset, str]] | None = None,
    rest: bool = False,
    run: str | None = None,
    template: str | Path | None = None,
    grid: str | Path | None = None,
    folder: str | Path | None = None,
    overwrite: bool = False,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Compare starts of NEMO: drift, shock, years to equilibrium and years saved, as for every engine.

    Parameters
    ----------
    restarts : folder made by ``restart --engine nemo`` (needs `run` and `template`), or a folder of finished run folders,
        whose names are the names of the starts: ``control`` and ``rest`` are what the others are compared with.
    output : NetCDF file to write; a table ending in ``.csv`` is written beside it.
    years : length of each run [model years].
    control : the true equilibrium with the same parameters: a restart of NEMO (it is run too), states, or a finished run
        folder. Where it was run, or a finished run is called ``control``, years 1 to 20 of that run are the equilibrium.
    spread : gives what distances are measured in, and a name for it; None takes the control's variation along each level.
    rest : whether to run the start from rest too (``ln_rstart = .false.``).
    run : the user's command, for example ``mpirun -np 36 ./nemo``.
    template : run folder of the user with the executable, the namelists and all input; nothing in it is changed.
    grid : ``mesh_mask.nc``; by default the one found in a run folder or the template.
    folder : where the runs and what was read from them go; by default beside `output`, ending in ``_runs``.
    overwrite : whether existing outputs may be replaced.

    Returns
    -------
    results, table : as :func:`warmstart.verify.verify`.

    Raises
    ------
    UserError
        If an input is missing, cut off or of another grid, the command fails, or an output exists.

    Examples
    --------
    >>> ds, table = verify_nemo("RUNS", "verify.nc", grid="mesh_mask.nc")  # doctest: +SKIP
    """
    output, restarts = Path(output), require_path(restarts)
    folder = _folder(output, folder)
    if output.suffix != ".nc":
        raise UserError(f"{output}: expected a name that ends in .nc")
    places = [restarts, *(Path(p) for p in (template, control) if p is not None)]
    if (restarts / MANIFEST).is_file():
        if run is None or template is None:
            raise UserError(
                f"{restarts} holds restarts to run: give --run, the command that starts NEMO, and --template, a run folder "
                "with its namelists and input"
            )
        mesh = _mesh(grid, places)
        starts, seconds = _run_all(restarts, folder, years, control, rest, run, template)
    else:
        if run is not None:
            raise UserError(
                f"{restarts} holds no {MANIFEST}, so nothing to run: give a folder made by 'restart', or leave --run out"
            )
        starts = _finished(restarts, control)
        seconds = dict.fromkeys(starts, float("nan"))
        mesh = _mesh(grid, [*places, *starts.values()])
    work = {name: folder / "read" / name.replace(" ", "_") for name in starts}
    with _nothing_left(folder):
        statuses = [
            runs.gather(path, mesh, work[name]) | {"wall_seconds": seconds[name]}
            for name, path in starts.items()
        ]
        names = list(starts)
        if CONTROL in names and (blown := statuses[names.index(CONTROL)]["blow_ups"]):
            raise UserError(
                f"{starts[CONTROL]}: NEMO stopped the control itself ({blown[-1]['reason']}); nothing can be compared with it"
            )
        target = _target(control, work.get(CONTROL), spread, mesh)
    results = compare(names, [work[name] for name in names], statuses, target, mesh)
    results = results.assign_attrs(files.provenance(), engine="nemo", years=years)
    table = summarise(results)
    files.write_dataset(output, results, overwrite=overwrite)
    files.write_csv(output.with_suffix(".csv"), table, overwrite)
    return results, table


def _folder(output: str | Path, folder: str | Path | None) -> Path:
    """Where the runs go."""
    output = Path(output)
    return output.with_name(f"{output.stem}_runs") if folder is None else Path(folder)


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
    for place in places:
        for name in (
            "mesh_mask.nc",
            "mesh_mask.nc.gz",
            "mesh_mask_0000.nc",
            "domain_cfg.nc",
            "domain_cfg_out.nc",
        ):
            if (place / name).is_file():
                return open_grid(place / name)
    raise UserError(f"no mesh_mask.nc in {', '.join(map(str, places))}; give it with --grid")


def _finished(folder: Path, control: str | Path | None) -> dict[str, Path]:
    """Finished runs by name: the folders inside, or the folder itself."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give restarts, or a folder of finished runs of NEMO")
    starts = {path.name: path for path in sorted(folder.iterdir()) if runs.is_run(path)}
    if not starts and runs.is_run(folder):
        starts = {folder.name: folder}
    if not starts:
        raise UserError(
            f"{folder} holds neither {MANIFEST} nor runs of NEMO; expected folders with *_restart.nc or *_grid_T.nc"
        )
    if control is not None and runs.is_run(Path(control)):
        starts[CONTROL] = Path(control)
    return starts


def _run_all(
    restarts: Path,
    folder: Path,
    years: int,
    control: str | Path | None,
    rest: bool,
    run: str,
    template: str | Path,
) -> tuple[dict[str, Path], dict[str, float]]:
    """Run every start that is not finished, one after the other: the command takes the cores it wants."""
    template = Path(template)
    if not (template / "namelist_cfg").is_file():
        raise UserError(f"{template} holds no namelist_cfg; give a run folder of NEMO")
    starts: dict[str, Path] = {}
    seconds: dict[str, float] = {}
    wanted = _wanted(restarts, control, rest)
    places = {name: folder / name.replace(" ", "_") for name, _, _ in wanted}
    for place in places.values():  # before the first run, not after it
        if not (place / runs.DONE).is_file():
            runs.require_ours(place)
    for name, paths, entries in wanted:
        place = places[name]
        starts[name] = place
        request = {"command": run, "years": years, "restart": [str(p.resolve()) for p in paths]}
        if (place / runs.DONE).is_file():
            former = read_yaml(place / runs.DONE)
            if {key: former.get(key) for key in request} == request:
                seconds[name] = float(former["wall_seconds"])
                continue
            raise UserError(f"{place} holds another run; remove it, or choose another output")
        runs.clear(place)
        runs.prepare(template, place, paths, entries, years)
        log.info("running '%s' in %s", run, place)
        seconds[name] = runs.execute(run, place)
        dump_yaml(request | {"wall_seconds": seconds[name]}, place / runs.DONE)
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
    if control is not None and Path(control).is_file() and _is_restart(Path(control)):
        path = Path(control)
        # the same first step and the same date as the others: only the state differs
        entries = start_entries(path, True) | {k: wanted[0][2][k] for k in ("nn_it000", "nn_date0")}
        wanted.append((CONTROL, [path], entries))
    if rest:
        entries = {"ln_rstart": False} | {k: wanted[0][2][k] for k in ("nn_it000", "nn_date0")}
        wanted.append((REST, [], entries))
    return wanted


def _is_restart(path: Path) -> bool:
    from warmstart.engine.nemo.pieces import open_file

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
        states, source = open_states(control, grid), str(control)
        lead = [d for d in states.dims if d not in ("z", "y", "x")]
        states = states.rename({lead[0]: "time"}) if lead else states.expand_dims("time")
        phase = states["phase"].values if "phase" in states.coords else "equilibrium"
        chosen = np.flatnonzero(np.broadcast_to(phase == "equilibrium", states.sizes["time"]))
    else:
        return None
    missing = [name for name in equilibrium.TRACERS if name not in states]
    if missing:
        raise UserError(f"{source}: no {' and no '.join(missing)}; expected temperature and salinity")
    if not chosen.size:
        raise UserError(f"{source} holds no state of the phase 'equilibrium'; run the control longer")
    averaged = _averaged(states, int(chosen[-1]))
    states = states[list(equilibrium.TRACERS)].load()
    spinup = (
        states.isel(time=np.setdiff1d(np.arange(states.sizes["time"]), chosen))
        if "phase" in states.coords
        else None
    )
    return target_of(states.isel(time=chosen), spinup, spread(grid) if spread else None, grid, averaged)


def _averaged(states: xr.Dataset, index: int) -> float:
    """How long the mean is that a state is [days]; 0 for an instant, and where nothing says that it is a mean."""
    if "averaged_days" in states.coords:
        return float(states["averaged_days"][index])
    if states["thetao"].attrs.get("cell_methods") != "time: mean":
        return 0.0
    years = np.ravel(states["year"].values) if "year" in states.coords else np.zeros(0)
    return float(np.median(np.diff(years))) * 360.0 if years.size > 1 else 360.0
