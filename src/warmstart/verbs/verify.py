"""Restart the ocean model and compare: shock, drift, years to equilibrium and years saved."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart.engines import dino
from warmstart.engines.base import Configuration, Job, verify_phases
from warmstart.engines.manifest import MANIFEST, Manifest, content_hash, read_manifest
from warmstart.engines.nemo import launch
from warmstart.engines.nemo.clock import start_entries
from warmstart.engines.nemo.mesh import open_grid
from warmstart.engines.nemo.namelist import read_namelist
from warmstart.engines.nemo.restart_file import open_states
from warmstart.ensemble import member
from warmstart.equilibrium import distance
from warmstart.errors import UserError, require_installed, require_path
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.scores.verification import (
    CONTROL,
    CONTROL_YEARS,
    REST,
    Target,
    compare,
    settled,
    summarise,
    target_of,
)
from warmstart.verbs.restart import restart

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


logger = logging.getLogger(__name__)

#: What the work folder remembers of the request its runs belong to.
REQUEST = "verify.yaml"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """One start to run: its name, its folder, and the restart file; ``"rest"`` starts from rest."""

    name: str
    folder: Path
    restart: str


def _beside(given: dict[str, Any]) -> list[Path]:
    """The table beside the results."""
    return [Path(given["output"]).with_suffix(".csv")]


def _work(given: dict[str, Any]) -> tuple[Path, tuple[str, ...]]:
    """The folder of the runs; those of NEMO say for themselves whose they are."""
    output, folder = Path(given["output"]), given["folder"]
    folder = output.with_name(f"{output.stem}_runs") if folder is None else Path(folder)
    return folder, (REQUEST,) if given["engine"] == "veros" else ()


@outputs.writes(folder=False, beside=_beside, work=_work)
def verify(
    restarts: str | Path,
    output: str | Path,
    years: int = 20,
    control: str | Path | None = None,
    reference: str | Path | None = None,
    rest: bool = True,
    workers: int = 2,
    folder: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    engine: str = "veros",
    run: str | None = None,
    template: str | Path | None = None,
    mesh: str | Path | None = None,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Run the engine from restarts, from the true equilibrium and from rest, and compare.

    Every start runs 30 days with equal time steps, then accelerated to the end. D(t) is the volume-weighted RMS
    difference to the equilibrium (:func:`warmstart.equilibrium.distance.distance`): the mean of years 1 to 20 of the run that starts
    from `control`, which has the time steps of the other starts and is run for 20 years at least. The years to
    equilibrium are the first year after which D stays within the 95th percentile of the distances of those years from one
    another; the years to a distance (0.5, 0.3, 0.2, 0.1, 0.05) likewise. The years saved are the difference to the start from
    rest, or a bound of it, by that start and by the snapshots of its spin-up that `control` holds. The shock is the
    largest deviation from the start from `control` in the first 30 days; the drift is the trend of the last ten years, the
    first year of a run left out, where that leaves five.

    Parameters
    ----------
    restarts : folder made by :func:`warmstart.verbs.restart.restart`; all of one set of parameters.
    output : NetCDF file to write; a table with the ending ``.csv`` is written beside it.
    years : length of each run [model years].
    control : states file of the true equilibrium with the same parameters. Its last snapshot is restarted by the same
        route, so that only the state differs. Without it there is neither shock nor distance.
    reference : store of states whose training members, or generator folder whose normalizer, give the ensemble's
        standard deviation. Without it distances are in units of the control's variation along each level.
    rest : whether to run the start from rest.
    workers : runs at once; each takes one core.
    folder : where the runs go, kept for continuing; by default beside `output`, ending in ``_runs``.
    overwrite : whether existing outputs may be replaced.
    progress : whether to show a progress bar.
    engine : ``"veros"``, or ``"nemo"``, for which see :func:`warmstart.verbs.verify.verify_nemo`: `restarts` may then be a
        folder of finished runs.
    run, template, mesh : for NEMO, the command, the run folder to take everything else from, and ``mesh_mask.nc``.

    Returns
    -------
    results : dims ``start`` and ``time`` (series), ``snapshot`` (distances), ``level`` (distances to arrive at); per start.
    table : columns start, metric, value, bound, unit, note; one row a start and metric. ``bound`` says whether the value
        is the number itself (``=``) or a bound (``>``, ``<``); it is empty where there is no value, and the note says why.

    Raises
    ------
    UserError
        If an input is missing or of another grid or parameters, an output exists, or the engine does not run. A
        run that blows up is a result, not an error.

    Examples
    --------
    >>> ds, table = verify("restarts", "verify.nc", control="control.nc")  # doctest: +SKIP
    """
    if control is None and reference is not None:
        raise UserError(
            "reference gives the unit of the distance to a control; give a control too, or leave it out"
        )
    if engine == "nemo":
        return verify_nemo(
            restarts, output, years=years, control=control, rest=rest, run=run, template=template, grid=mesh, folder=folder,
            overwrite=overwrite,
            spread=None if reference is None else lambda grid: _reference_spread(Path(reference), grid),
        )  # fmt: skip
    _refuse_engine(engine, run=run, template=template, mesh=mesh)
    require_installed("veros", "veros", "verify, which runs the ocean model,")
    output = Path(output)
    if output.suffix != ".nc":
        raise UserError(
            f"{output}: expected a name that ends in .nc; the table goes beside it, ending in .csv"
        )
    manifest = read_manifest(restarts)
    if manifest.engine != "veros":
        raise UserError(f"{restarts} holds restarts of {manifest.engine}; add --engine {manifest.engine}")
    _require_veros()
    values = _common_parameters(manifest, str(restarts))
    grid = dino.grid(manifest.configuration.resolution, manifest.configuration.levels)
    states = _control_states(control, values, grid) if control is not None else None
    spread = _reference_spread(Path(reference), grid) if reference is not None else None
    folder = Path(folder) if folder is not None else output.with_name(f"{output.stem}_runs")
    _claim(folder, _request(manifest, values, years, control), overwrite)
    starts = _starts(Path(restarts), manifest, folder, control, rest)
    statuses = _run_all(
        [_job(start, manifest, values, years) for start in starts], starts, workers, bool(progress)
    )
    target = None
    if states is not None:
        place = [start.name for start in starts].index(CONTROL)
        target = _target(starts[place].folder, states, spread, statuses[place], grid)
    results = compare(
        [start.name for start in starts], [start.folder for start in starts], statuses, target, grid
    )
    results = parameters.attach(results, values).assign_attrs(files.provenance(config=values), years=years)
    table = summarise(results)
    files.write_dataset(output, results, overwrite=overwrite)
    files.write_csv(output.with_suffix(".csv"), table, overwrite)
    return results, table


def _refuse_engine(engine: str, **options: Any) -> None:
    """Refuse an unknown engine, and what only NEMO takes."""
    if engine != "veros":
        raise UserError(f"unknown engine '{engine}'; expected 'veros' or 'nemo'")
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(f"{', '.join(given)}: for the engine 'nemo' only; leave it out or give --engine nemo")


def _require_veros() -> None:
    """Refuse to begin without the ocean model: before anything is made, and by what to install."""
    missing = [name for name in ("veros", "jax") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"verify runs the ocean model, and {' and '.join(missing)} is not installed: pip install 'warmstart[veros]'; "
            "or give --engine nemo"
        )


def _common_parameters(manifest: Manifest, where: str) -> dict[str, float]:
    """The one set of parameters that all restarts share."""
    first, *others = [sample.parameters for sample in manifest.samples]
    missing = [name for name in parameters.PARAMETERS if name not in first]
    if missing:
        raise UserError(
            f"{where} says no {', '.join(missing)}; expected restarts of states that carry every parameter"
        )
    for other in others:
        _refuse_other_parameters(other, first, f"{where}: not all restarts have the same parameters")
    return {name: first[name] for name in parameters.PARAMETERS}


def _refuse_other_parameters(values: dict[str, Any], expected: dict[str, float], what: str) -> None:
    """Refuse parameters that differ by more than what single precision explains."""
    differing = [
        f"{name} is {float(values[name]):g}, not {number:g}" if name in values else f"{name} is missing"
        for name, number in expected.items()
        if name not in values or not np.isclose(float(values[name]), number, rtol=1e-5, atol=1e-9)
    ]
    if differing:
        raise UserError(f"{what}: {'; '.join(differing)}. Verify one set of parameters at a time")


def _target(
    run: Path, states: xr.Dataset, spread: tuple[xr.Dataset, str] | None, status: dict[str, Any], grid: Grid
) -> Target:
    """The equilibrium: the states of the control's own run, which has the time steps of the starts."""
    if status["state"] != "finished":
        raise UserError(
            f"the control itself blew up, in {run}; nothing can be compared with it: check {run / 'engine.log'}, or leave "
            "--control out"
        )
    with files.open_dataset(run / "states.nc") as ds:
        snapshots = ds[list(distance.TRACERS)].isel(time=settled(ds)).load()
    return target_of(snapshots, states.isel(time=np.flatnonzero(~states["settled"].values)), spread, grid)


def _control_states(control: str | Path, values: dict[str, float], grid: Grid) -> xr.Dataset:
    """Temperature and salinity of the control, dim ``time``, with ``year`` and whether each is ``settled``."""
    grid.require_same(files.open_grid(control), str(control))
    with files.open_dataset(control) as ds:
        missing = [name for name in distance.TRACERS if name not in ds]
        if missing:
            raise UserError(f"{control} holds no {' and no '.join(missing)}; expected a states file")
        given = {name: np.ravel(v) for name, v in parameters.extract(ds).items()}
        first = {name: v[0] for name, v in given.items() if np.allclose(v, v[0], rtol=1e-5)}
        _refuse_other_parameters(first, values, f"{control} is no control for these restarts")
        wet = grid.mask("T")
        for name in distance.TRACERS:
            bad = int((ds[name].isnull() & wet).sum())
            if bad:
                raise UserError(
                    f"{control}: {name} is not finite at {bad} wet points; expected NaN on land only"
                )
        lead = [d for d in ds["thetao"].dims if d not in ("z", "y", "x")]
        states = ds[list(distance.TRACERS)].load()
    states = states.rename({lead[0]: "time"}) if lead else states.expand_dims("time")
    count = states.sizes["time"]
    phase = np.broadcast_to(states["phase"].values if "phase" in states.coords else "equilibrium", count)
    if not (phase == "equilibrium").any():
        raise UserError(f"{control} holds no state of the phase 'equilibrium'; run the control longer")
    year = states["year"].values if "year" in states.coords else np.full(count, np.nan)
    states = states.drop_vars(["year", "phase"], errors="ignore")
    return states.assign(
        year=("time", np.broadcast_to(year, count)), settled=("time", phase == "equilibrium")
    )


def _reference_spread(path: Path, grid: Grid) -> tuple[xr.Dataset, str]:
    """Standard deviation of the training ensemble, level by level."""
    normalizer = path / "normalizer.nc"
    if normalizer.is_file():
        grid.require_same(files.open_grid(normalizer), str(path))
        with files.open_dataset(normalizer) as ds:
            missing = [f"{name}_spread" for name in distance.TRACERS if f"{name}_spread" not in ds]
            if missing:
                raise UserError(
                    f"{normalizer} holds no {' and no '.join(missing)}; train the generator again"
                )
            spread = xr.Dataset({name: ds[f"{name}_spread"] for name in distance.TRACERS}).load()
        return distance.floored(spread, grid), f"spread of the training members of {path.name}"
    grid.require_same(files.open_grid(path), str(path))
    with files.open_dataset(path) as ds:
        taken = np.ones(ds.sizes.get("sample", 1), bool)
        for name, wanted in (("split", "train"), ("phase", "equilibrium")):
            if name in ds.coords:
                taken &= ds[name].values == wanted
        if "sample" not in ds.dims or taken.sum() < 2:
            raise UserError(
                f"{path} holds fewer than two training states; expected a store that 'dataset' made"
            )
        states = ds[list(distance.TRACERS)].isel(sample=np.flatnonzero(taken)).load()
    return distance.ensemble_spread(
        states, grid
    ), f"spread of the {taken.sum()} training states of {path.name}"


def _request(
    manifest: Manifest, values: dict[str, float], years: int, control: str | Path | None
) -> dict[str, Any]:
    """What makes two verifications the same, so that one may continue the other."""
    return {
        "years": years,
        "configuration": manifest.configuration.model_dump(),
        "states": manifest.states.sha256,
        "samples": [sample.sample for sample in manifest.samples],
        "control": content_hash(Path(control)) if control is not None else None,
        "parameters": values,
    }


def _claim(folder: Path, request: dict[str, Any], overwrite: bool) -> None:
    """Take the work folder: continue runs of the same request, refuse or replace those of another."""
    path = folder / REQUEST
    if path.exists():
        former = read_yaml(path)
        differing = [key for key in request if former.get(key) != request[key]]
        if not differing:
            return
        if not overwrite:
            raise UserError(
                f"{folder} holds the runs of another verification ({', '.join(differing)} differ); remove it, choose "
                "another output, or allow replacing it with --overwrite (overwrite=True)"
            )
        clear_runs(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dump_yaml(request, path)


def clear_runs(folder: Path) -> None:
    """Remove the work folder of a verification, if nothing else is in it.

    Raises
    ------
    UserError
        As :func:`warmstart.io.outputs.clear`.

    Examples
    --------
    >>> clear_runs(Path("no-such-folder"))
    """
    outputs.clear(folder, rf"{re.escape(REQUEST)}|control_state\.nc|[^/]+/({member.FILES})")


def _starts(
    restarts: Path, manifest: Manifest, folder: Path, control: str | Path | None, rest: bool
) -> list[Start]:
    """Everything to run, the samples first."""
    starts = []
    for sample in manifest.samples:
        name = f"state {sample.sample}" if sample.seed is None else f"generated {sample.sample}"
        starts.append(Start(name, folder / name.replace(" ", "_"), str((restarts / sample.file).resolve())))
    if control is not None:
        starts.append(Start(CONTROL, folder / CONTROL, str(_control_restart(control, folder).resolve())))
    if rest:
        starts.append(Start(REST, folder / REST, REST))
    return starts


def _control_restart(control: str | Path, folder: Path) -> Path:
    """Send the last snapshot of the control through the same door as the states."""
    target = folder / "control_restart"
    if not target.exists():
        ds = files.open_dataset(control)
        lead = [d for d in ds["thetao"].dims if d not in ("z", "y", "x")]
        last = ds.isel({lead[0]: -1}) if lead else ds
        files.write_dataset(
            folder / "control_state.nc", last.load(), files.open_grid(control), overwrite=True
        )
        restart(folder / "control_state.nc", target)
    return target / "000.h5"


def _job(start: Start, manifest: Manifest, values: dict[str, float], years: int) -> Job:
    return Job(
        engine="veros",
        configuration=Configuration(**manifest.configuration.model_dump()),
        parameters=values,
        start=start.restart,
        folder=start.folder.resolve(),
        phases=verify_phases(
            max(years, CONTROL_YEARS) if start.name == CONTROL else years,
            resolution=manifest.configuration.resolution,
        ),
    )


def _run_all(jobs: list[Job], starts: list[Start], workers: int, progress: bool) -> list[dict[str, Any]]:
    """Run all jobs, a few at once, each engine in a process of its own; stop them all if one cannot run."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool, _bar(jobs, starts, progress) as look:
        futures = [
            pool.submit(member.run_member, job.model_dump(mode="json"), wanted=lambda: not stop.is_set())
            for job in jobs
        ]
        try:
            while not all(future.done() for future in futures):
                broken = next((f for f in futures if f.done() and f.exception()), None)
                if broken is not None:
                    broken.result()
                look()
                time.sleep(0.2)
            statuses = [future.result() for future in futures]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    for start, status in zip(starts, statuses, strict=True):
        if status["state"] != "finished" and not status.get("blow_ups"):
            log = start.folder / "engine.log"
            raise UserError(
                f"the engine could not run the start '{start.name}': {_reason(status, log)}; see {log}"
            )
    return statuses


def _reason(status: dict[str, Any], log: Path) -> str:
    """Why an engine ended: what its supervisor noted, else the last line of its log."""
    if status.get("message"):
        return str(status["message"])
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")


@contextmanager
def _bar(jobs: list[Job], starts: list[Start], shown: bool) -> Iterator[Callable[[], None]]:
    """A progress bar over all starts; yields a function that looks at how far they are."""
    if not shown:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("years"))
    with Progress(*columns, TimeRemainingColumn(), refresh_per_second=2) as bar:
        tasks = [
            bar.add_task(start.name, total=round(job.years)) for start, job in zip(starts, jobs, strict=True)
        ]

        def look() -> None:
            for task, start in zip(tasks, starts, strict=True):
                bar.update(task, completed=int(member.read_status(start.folder).get("years", 0)))

        yield look


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
    results, table : as :func:`warmstart.verbs.verify.verify`.

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
        starts, seconds = _run_nemo(restarts, folder, years, control, rest, run, template)
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
            launch.gather(path, mesh, work[name]) | {"wall_seconds": seconds[name]}
            for name, path in starts.items()
        ]
        names = list(starts)
        if CONTROL in names and (blown := statuses[names.index(CONTROL)]["blow_ups"]):
            raise UserError(
                f"{starts[CONTROL]}: NEMO stopped the control itself ({blown[-1]['reason']}); nothing can be compared with it"
            )
        target = _nemo_target(control, work.get(CONTROL), spread, mesh)
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


def _run_nemo(
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
        if not (place / launch.DONE).is_file():
            launch.require_ours(place)
    for name, paths, entries in wanted:
        place = places[name]
        starts[name] = place
        request = {"command": run, "years": years, "restart": [str(p.resolve()) for p in paths]}
        if (place / launch.DONE).is_file():
            former = read_yaml(place / launch.DONE)
            if {key: former.get(key) for key in request} == request:
                seconds[name] = float(former["wall_seconds"])
                continue
            raise UserError(f"{place} holds another run; remove it, or choose another output")
        launch.clear(place)
        launch.prepare(template, place, paths, entries, years)
        log.info("running '%s' in %s", run, place)
        seconds[name] = launch.execute(run, place)
        dump_yaml(request | {"wall_seconds": seconds[name]}, place / launch.DONE)
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
    from warmstart.engines.nemo.subdomains import open_file

    with open_file(path) as ds:
        return "tn" in ds.variables and "un" in ds.variables


def _nemo_target(
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
    missing = [name for name in distance.TRACERS if name not in states]
    if missing:
        raise UserError(f"{source}: no {' and no '.join(missing)}; expected temperature and salinity")
    if not chosen.size:
        raise UserError(f"{source} holds no state of the phase 'equilibrium'; run the control longer")
    averaged = _averaged(states, int(chosen[-1]))
    states = states[list(distance.TRACERS)].load()
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
