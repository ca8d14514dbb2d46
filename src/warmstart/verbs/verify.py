"""Restart the ocean model and compare: shock, drift, years to equilibrium and years saved."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart import engines
from warmstart.engines.base import MOST_YEARS, Job, Trial, TrialRequest
from warmstart.engines.jobs import REQUEST
from warmstart.engines.manifest import MANIFEST, Manifest, content_hash, read_manifest
from warmstart.ensemble import member
from warmstart.equilibrium import distance
from warmstart.errors import UserError, reading, require_path
from warmstart.io import files, outputs
from warmstart.io.config import Config, build, dump_yaml, read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import held
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

    from warmstart.engines.base import Engine


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
    return folder, engines.find(given["engine"]).work_marks


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
    engine: str = engines.DEFAULT,
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
    engine : name of an engine, one of ``ws.engines.names()``. For NEMO `restarts` may be a folder of finished runs, whose names are
        the names of the starts, and `control` a restart or one of them.
    run, template, mesh : for NEMO, the command, the run folder to take everything else from (only read), and ``mesh_mask.nc``.

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
    """
    if not 1 <= years <= MOST_YEARS:
        raise UserError(f"years is {years}; expected 1 to {MOST_YEARS:,} model years")
    if control is None and reference is not None:
        raise UserError(
            "reference gives the unit of the distance to a control; give a control too, or leave it out"
        )
    model = engines.find(engine)
    options = engines.chosen(model, "verify", {"run": run, "template": template, "mesh": mesh})
    model.require("verify")
    output = Path(output)
    if output.suffix != ".nc":
        raise UserError(
            f"{output}: expected a name that ends in .nc; the table goes beside it, ending in .csv"
        )
    request = TrialRequest(
        restarts=require_path(restarts), output=output, years=years, control=control, rest=rest, workers=workers,
        folder=Path(folder) if folder is not None else output.with_name(f"{output.stem}_runs"),
        spread=None if reference is None else lambda grid: reference_spread(Path(reference), grid),
        overwrite=overwrite, progress=bool(progress), options=options,
    )  # fmt: skip
    trial = model.trial(request, _run_jobs)
    results = compare(trial.names, trial.folders, trial.statuses, trial.target, trial.grid)
    values = dict(trial.values)
    results = parameters.attach(results, values, described=model.parameters)
    results = results.assign_attrs(files.provenance(config=values or None), **trial.attrs, years=years)
    table = summarise(results)
    files.write_dataset(output, results, overwrite=overwrite)
    files.write_csv(output.with_suffix(".csv"), table, overwrite)
    return results, table


def _run_jobs(model: Engine, request: TrialRequest) -> Trial:
    """Run every start as a job of an engine that takes jobs."""
    manifest = read_manifest(request.restarts)
    if manifest.engine != model.name:
        raise UserError(
            f"{request.restarts} holds restarts of {manifest.engine}; add --engine {manifest.engine}"
        )
    values = _common_parameters(manifest, str(request.restarts), model)
    configuration = build(model.configuration, manifest.configuration, str(request.restarts / MANIFEST))
    grid, control = model.grid(configuration), request.control
    states = _control_states(control, values, grid) if control is not None else None
    spread = None if request.spread is None else request.spread(grid)
    _claim(request.folder, _request(manifest, values, request.years, control), request.overwrite)
    starts = _starts(request, manifest, model)
    jobs = [_job(start, model, configuration, values, request.years) for start in starts]
    statuses = _run_all(jobs, starts, request.workers, request.progress)
    target = None
    if states is not None:
        place = [start.name for start in starts].index(CONTROL)
        target = _target(starts[place].folder, states, spread, statuses[place], grid)
    names, folders = [start.name for start in starts], [start.folder for start in starts]
    return Trial(names, folders, statuses, target, grid, values)


def _common_parameters(manifest: Manifest, where: str, model: Engine) -> dict[str, float]:
    """The one set of parameters that all restarts share."""
    first, *others = [sample.parameters for sample in manifest.samples]
    missing = [name for name in model.parameters if name not in first]
    if missing:
        raise UserError(
            f"{where} says no {', '.join(missing)}; expected restarts of states that carry every parameter"
        )
    for other in others:
        _refuse_other_parameters(other, first, f"{where}: not all restarts have the same parameters")
    return {name: first[name] for name in model.parameters}


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
        snapshots = ds[list(distance.compared(ds))].isel(time=settled(ds)).load()
    return target_of(snapshots, states.isel(time=np.flatnonzero(~states["settled"].values)), spread, grid)


def _control_states(control: str | Path, values: dict[str, float], grid: Grid) -> xr.Dataset:
    """Temperature and salinity of the control, dim ``time``, with ``year`` and whether each is ``settled``."""
    with reading(control, "expected a states file of a run"):
        return _settled_or_not(control, values, grid)


def _settled_or_not(control: str | Path, values: dict[str, float], grid: Grid) -> xr.Dataset:
    grid.require_same(files.open_grid(control), str(control))
    with files.open_dataset(control) as ds:
        names = distance.expected(ds, str(control))
        if empty := [str(d) for d, n in ds[list(names)].sizes.items() if n == 0]:
            raise UserError(
                f"{control} holds no state: {', '.join(empty)} has length 0; run the control longer"
            )
        given = {name: np.ravel(v) for name, v in parameters.extract(ds).items() if v.size}
        first = {name: v[0] for name, v in given.items() if np.allclose(v, v[0], rtol=1e-5)}
        _refuse_other_parameters(first, values, f"{control} is no control for these restarts")
        require_whole(ds[list(names)], grid, f"{control}: ")
        lead = [d for d in ds[list(names)].dims if d not in ("z", "y", "x")]
        if len(lead) > 1:
            raise UserError(
                f"{control}: states lie along {' and '.join(map(str, lead))}; expected one of them, sample or time"
            )
        states = ds[list(names)].load()
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


def reference_spread(path: Path, grid: Grid) -> tuple[xr.Dataset, str]:
    """Standard deviation of the training ensemble, level by level."""
    with reading(path, "expected a store that 'dataset' made, or a generator"):
        return _spread_in(path, grid)


def _spread_in(path: Path, grid: Grid) -> tuple[xr.Dataset, str]:
    # a second network of a generator lies in the folder of the first, whose statistics are its own
    normalizer = path / "normalizer.nc"
    if not normalizer.is_file() and (path / "config.yaml").is_file():
        normalizer = path.resolve().parent / "normalizer.nc"
    if normalizer.is_file():
        grid.require_same(files.open_grid(normalizer), str(path))
        with files.open_dataset(normalizer) as ds:
            own = [str(n).removesuffix("_spread") for n in ds.data_vars if str(n).endswith("_spread")]
            names = [n for n in distance.TRACERS if n in own or n in held(ds)] or own
            missing = [f"{name}_spread" for name in names if f"{name}_spread" not in ds]
            if missing:
                raise UserError(
                    f"{normalizer} holds no {' and no '.join(missing)}; train the generator again"
                )
            spread = xr.Dataset({name: ds[f"{name}_spread"] for name in names}).load()
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
        chosen = distance.expected(ds, str(path))
        states = ds[list(chosen)].isel(sample=np.flatnonzero(taken)).load()
    spread = distance.ensemble_spread(states, grid)
    return spread, f"spread of the {taken.sum()} training states of {path.name}"


def _request(
    manifest: Manifest, values: dict[str, float], years: int, control: str | Path | None
) -> dict[str, Any]:
    """What makes two verifications the same, so that one may continue the other."""
    return {
        "years": years,
        "configuration": manifest.configuration,
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
    """Remove the work folder of a verification, if nothing else is in it; as :func:`warmstart.io.outputs.clear`."""
    outputs.clear(folder, rf"{re.escape(REQUEST)}|control_state\.nc|[^/]+/({member.FILES})")


def _starts(request: TrialRequest, manifest: Manifest, model: Engine) -> list[Start]:
    """Everything to run, the samples first."""
    starts, folder = [], request.folder
    for sample in manifest.samples:
        name = f"state {sample.sample}" if sample.seed is None else f"generated {sample.sample}"
        file = (request.restarts / sample.file).resolve()
        starts.append(Start(name, folder / name.replace(" ", "_"), str(file)))
    if request.control is not None:
        path = _control_restart(request.control, folder, model)
        starts.append(Start(CONTROL, folder / CONTROL, str(path.resolve())))
    if request.rest:
        starts.append(Start(REST, folder / REST, REST))
    return starts


def _control_restart(control: str | Path, folder: Path, model: Engine) -> Path:
    """Send the last snapshot of the control through the same door as the states."""
    target = folder / "control_restart"
    if not target.exists():
        ds = files.open_dataset(control)
        lead = [d for d in ds[model.required[0]].dims if d not in ("z", "y", "x")]
        last = ds.isel({lead[0]: -1}) if lead else ds
        files.write_dataset(
            folder / "control_state.nc", last.load(), files.open_grid(control), overwrite=True
        )
        restart(folder / "control_state.nc", target, engine=model.name)
    return target / model.restart_name(0)


def _job(start: Start, model: Engine, configuration: Config, values: dict[str, float], years: int) -> Job:
    longest = max(years, CONTROL_YEARS) if start.name == CONTROL else years
    return Job(
        engine=model.name,
        configuration=configuration,
        parameters=values,
        start=start.restart,
        folder=start.folder.resolve(),
        phases=model.trial_phases(longest, configuration),
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
