"""The verb ``simulate``: an ensemble of engine runs on dask.distributed, one task a member."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from warmstart import engines
from warmstart.ensemble import starts
from warmstart.ensemble.cluster import LOG, Attendance, connected
from warmstart.ensemble.design import (
    Plan,
    finished_members,
    load_plan,
    member_job,
    member_parameters,
    remember,
)
from warmstart.ensemble.member import (
    LOCK,
    is_done,
    locked,
    mark_failed,
    mark_waiting,
    read_status,
    run_members,
    same_job,
)
from warmstart.ensemble.progress import Watch, display, member_folder
from warmstart.errors import UserError, require_installed
from warmstart.io import outputs
from warmstart.io.signals import Terminated, terminable
from warmstart.ocean import parameters as table

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
DEVICES = ("cpu", "gpu")
SUBMITS = 20  #: times a member is handed to the scheduler again after its workers died
STOP_SECONDS = 20.0  #: given to the engines for stopping after an interrupt


def simulate(
    plan: Plan | dict[str, Any] | str | Path,
    output: str | Path,
    members: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = False,
    batch: int = 1,
    device: str = "cpu",
    until: str | None = None,
    dashboard: bool = False,
) -> pd.DataFrame:
    """Run an ensemble of ocean simulations, or continue one with the same call.

    Each member runs in a folder of its own, checkpoints, survives the death of its worker and is never run again once
    it finished. Killing this process, at any moment and by any means, stops the engines; the same call continues and
    gives the results of an undisturbed run, bit for bit. A member that blows up does not stop the others.

    Parameters
    ----------
    plan : the ensemble plan: a YAML file, its content, or a :class:`~warmstart.ensemble.design.Plan`. It draws the members
        from `ranges`, or lists them in `parameters`, each with a name and a split if wanted.
    output : folder of the ensemble; made if it does not exist, continued if it holds the same plan.
    members : number of members in place of the plan's; member *i* is the same whatever this number is.
    scheduler : address of a dask scheduler, ``tcp://host:8786``, whose workers see `output` under the same path; None
        runs them on this machine.
    workers : members at once on this machine, one core each; None takes one a core.
    batch : members that one engine process runs together, as one program mapped over members. It changes results by
        round-off only; on a GPU it is what fills the device, on a CPU it gains nothing.
    device : ``cpu`` or ``gpu``.
    until : ``equilibrium`` or ``near`` ends the spin-up of each member as soon as it is there, at the plan's `years` at
        the latest; None takes what the plan says.
    dashboard : whether to serve dask's dashboard, on this machine's loopback address only; otherwise nothing listens.
    progress : whether to show progress: a bar on a terminal, a line every 30 s elsewhere; False logs that line.

    Returns
    -------
    One row a member: ``member state years drift verdict wall_seconds attempts reason`` and the parameters that differ; of
    listed members also ``name`` and ``split``; `years` in model years, `drift` in K/century, `state` is ``finished`` or ``failed``.

    Raises
    ------
    UserError
        If the plan is wrong, the folder holds another ensemble, another process works in it, or the scheduler or all its
        workers are gone.
    KeyboardInterrupt, SystemExit
        At Ctrl-C, and at SIGTERM with code 143, after a clean stop.
    """
    resolved = load_plan(plan, members, until)
    runs = outputs.require_work(output, ("plan.yaml",), [plan])
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}; expected at least 1")
    if batch < 1:
        raise UserError(f"batch is {batch}; expected at least 1 member")
    if device not in DEVICES:
        raise UserError(f"device is {device!r}; expected one of {', '.join(DEVICES)}")
    if dashboard and scheduler is not None:
        raise UserError("the dashboard is that of the scheduler; leave --dashboard out, or --scheduler")
    model = engines.find(resolved.engine)
    model.require("simulate")
    require_installed("distributed", model.extra or "simulate", "simulate")
    # a plan that cannot be run leaves nothing behind
    values, finished = member_parameters(resolved), finished_members(resolved)
    numbers = range(resolved.first, resolved.members)
    jobs = [
        member_job(
            resolved, values[i], member_folder(runs, i), finished, resolved.parameters[i] if resolved.parameters else None,
        )
        for i in numbers
    ]  # fmt: skip
    runs.mkdir(parents=True, exist_ok=True)
    with terminable(), locked(runs / LOCK):
        remember(resolved, runs, [plan])
        for job in jobs:
            same_job(Path(job["folder"]), job)
        if resolved.start in starts.MADE:
            for job in jobs:
                starts.write_start(
                    resolved.start, job["parameters"], resolved.configuration, finished, Path(job["folder"]), resolved.engine,
                )  # fmt: skip
        waiting = [i for i, job in enumerate(jobs) if not is_done(read_status(Path(job["folder"])))]
        length = resolved.years + resolved.settle_years
        if waiting:
            for i in waiting:
                mark_waiting(Path(jobs[i]["folder"]))
            log.info(
                "%s: %d of %d members to run, %d years each; dask's log: %s",
                runs, len(waiting), len(jobs), length, runs / LOG,
            )  # fmt: skip
            # batches are the same whatever is finished already
            tasks = {k: jobs[k : k + batch] for k in sorted({i - i % batch for i in waiting})}
            at_once = min(workers or (1 if device == "gpu" else _cores()), len(tasks))
            with connected(scheduler, at_once, runs, dashboard) as client:
                _run(client, tasks, device, Watch(runs, numbers, length), progress)
    return summary(runs, resolved)


def summary(runs: Path, plan: Plan) -> pd.DataFrame:
    """Tabulate the state of every member of an ensemble.

    Examples
    --------
    >>> plan = load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 30})
    >>> summary(Path("no-such-folder"), plan)["state"].item()
    'waiting'
    """
    rows, every = [], member_parameters(plan)
    differing = [
        n for n in engines.find(plan.engine).parameters if n in plan.ranges or len({v[n] for v in every}) > 1
    ]
    listed = plan.parameters
    named = listed is not None and any(member.name for member in listed)
    for i, values in list(enumerate(every))[plan.first :]:
        status = read_status(member_folder(runs, i))
        rows.append(
            {
                "member": i,
                **({"name": listed[i].name or ""} if listed and named else {}),
                **({"split": listed[i].split or table.split_of(i)} if listed else {}),
                "state": status.get("state", "waiting"),
                "years": float(status.get("years") or 0.0),
                "drift": _number(status.get("drift_K_per_century")),
                "verdict": status.get("verdict") or "",
                "wall_seconds": float(status.get("wall_seconds", 0.0)),
                "attempts": int(status.get("attempts", 0)),
                "reason": status.get("message", ""),
                **{name: values[name] for name in differing},
            }
        )
    return pd.DataFrame(rows)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _run(
    client: Client, tasks: dict[int, list[dict[str, Any]]], device: str, watch: Watch, progress: bool
) -> None:
    """Hand the members, in batches, to the scheduler and wait for them."""
    futures = {_submit(client, i, jobs, device): i for i, jobs in tasks.items()}
    submits = dict.fromkeys(tasks, 1)
    attendance = Attendance(client, watch.runs)
    try:
        with display(progress) as show:
            while futures:
                time.sleep(POLL_SECONDS)
                for future in [f for f in futures if f.done()]:
                    i = futures.pop(future)
                    if future.status in ("cancelled", "lost"):
                        raise attendance.gone()
                    if not _ended(future, tasks[i], last=submits[i] >= SUBMITS):
                        submits[i] += 1
                        futures[_submit(client, i, tasks[i], device)] = i
                attendance.look()
                show(watch.look())
    except BaseException as error:
        if attendance.lost:
            raise
        if isinstance(error, (KeyboardInterrupt, Terminated)):
            log.warning("stopping; the same command continues where the checkpoints are")
        client.cancel(list(futures), force=True)
        _wait_for_engines([Path(job["folder"]) for i in futures.values() for job in tasks[i]])
        raise


def _submit(client: Client, first: int, jobs: list[dict[str, Any]], device: str) -> Future:
    key = f"member-{first:03d}-{os.urandom(4).hex()}"
    return client.submit(_task, jobs, device, key=key, retries=2, pure=False)


def _task(jobs: list[dict[str, Any]], device: str) -> list[str]:
    """What a worker does: run members for as long as somebody waits for them."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        # the scheduler forgets the task when the client cancels it, or is gone
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    return [str(status["state"]) for status in run_members(jobs, wanted=wanted, device=device)]


def _ended(future: Future, jobs: list[dict[str, Any]], last: bool) -> bool:
    """Tell whether members came to their end; False means their workers died and they have to be handed out again."""
    from distributed import KilledWorker

    folders = [Path(job["folder"]) for job in jobs]
    if future.status == "finished":
        for folder, state in zip(folders, future.result(), strict=True):
            log.info("%s %s", folder.name, state)
        return True
    error = future.exception()
    if isinstance(error, KilledWorker) and not last:
        return False
    for folder in folders:
        if not is_done(read_status(folder)):
            log.error("%s could not be run: %s", folder.name, error)
            mark_failed(folder, f"could not be run: {error}")
    return True


def _wait_for_engines(folders: list[Path]) -> None:
    """Wait until no engine works in any of these folders, for a while."""
    deadline = time.monotonic() + STOP_SECONDS
    for folder in folders:
        while folder.is_dir() and time.monotonic() < deadline:
            try:
                with locked(folder / LOCK):
                    break
            except UserError:
                time.sleep(0.1)


def _cores() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)
