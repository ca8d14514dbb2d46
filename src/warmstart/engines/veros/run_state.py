"""The folder of a run: held by one process at a time, of one job; one atomic file for the state so far, one for each snapshot."""

from __future__ import annotations

import contextlib
import fcntl
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines import dino
from warmstart.engines.base import Job, load_job, save_job
from warmstart.engines.veros.arrays import read_restart, require_grid, write_restart
from warmstart.errors import UserError
from warmstart.io import outputs
from warmstart.io.config import read_yaml

CHECKPOINT = "checkpoint.h5"
SNAPSHOTS = "snapshots"
FAILED = 3  #: exit code of a run that blew up
Report = Callable[..., None]


@dataclass
class Progress:
    """Where a run stands.

    Attributes
    ----------
    phase, steps : index of the phase and steps done in it.
    attempt : 1, or 2 after a blow-up.
    rows : the series so far.
    blow_ups : what blew up, when, with which parameters.
    wall_seconds, cpu_seconds : time spent by all processes that worked on the run.
    early_days : by how much phases that ended at equilibrium were shorter than planned [days].
    shifts : the extrapolations so far: ``day`` of its last part, ``deep`` (shift below 2000 m) [K], and the stretch before.
    parts : profiles that are still to be added, one a year.
    disturbed : how many parts have been added.
    """

    phase: int = 0
    steps: int = 0
    attempt: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)
    blow_ups: list[dict[str, Any]] = field(default_factory=list)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    early_days: float = 0.0
    shifts: list[dict[str, Any]] = field(default_factory=list)
    parts: list[list[float]] = field(default_factory=list)
    disturbed: int = 0


def save(folder: Path, fields: dict[str, np.ndarray], progress: Progress) -> None:
    """Write the checkpoint of a run, whole or not at all."""
    write_restart(folder / CHECKPOINT, fields, asdict(progress))


def load(folder: Path) -> tuple[dict[str, np.ndarray], Progress] | None:
    """Read the checkpoint of a run; None if there is none."""
    if not (folder / CHECKPOINT).exists():
        return None
    fields, attrs = read_restart(folder / CHECKPOINT)
    return fields, Progress(**attrs)


def save_snapshot(folder: Path, day: float, arrays: dict[str, np.ndarray], label: str) -> None:
    """Keep the state of a day; the same day is written again after a crash, with the same content."""
    outputs.require_room(folder, sum(np.asarray(v).nbytes for v in arrays.values()))
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    path = folder / SNAPSHOTS / f"day_{day:012.3f}.npz"
    with outputs.replacing(path, overwrite=True, folder=False, ours=_is_snapshot(path)) as temporary:
        np.savez(temporary, day=day, phase=label, **arrays)  # type: ignore[arg-type]


def _is_snapshot(path: Path) -> bool:
    """Whether a file is a state that this module wrote."""
    if not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as content:
            return {"day", "phase", "thetao"} <= set(content.files)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def load_snapshots(folder: Path) -> list[dict[str, Any]]:
    """Read the snapshots of a run in the order of time."""
    snapshots = []
    for path in sorted((folder / SNAPSHOTS).glob("day_*.npz")):
        with np.load(path, allow_pickle=False) as content:
            snapshots.append({name: content[name] for name in content.files})
    return snapshots


def clear(folder: Path) -> None:
    """Remove the checkpoint and the snapshots of a run."""
    outputs.remove(folder / CHECKPOINT)
    outputs.tidy(folder / SNAPSHOTS)
    for path in (folder / SNAPSHOTS).glob("day_*.npz"):
        if _is_snapshot(path):
            path.unlink()
    with contextlib.suppress(OSError):  # it holds something else, or is not there
        (folder / SNAPSHOTS).rmdir()


@contextlib.contextmanager
def opened(job: Job, report: Report) -> Iterator[int | None]:
    """Hold the folder of a job while the block lasts.

    Parameters
    ----------
    job : the job; its folder is made.
    report : called with an event name and keywords.

    Yields
    ------
    The exit code if the job has come to its end before, else None.

    Raises
    ------
    UserError
        If the folder holds another job, or the restart that the job starts from does not serve.
    """
    if job.start != "rest" and not (job.folder / "status.yaml").exists():
        read_start(job)  # refused before anything is written
    outputs.require_work(job.folder, ("job.yaml", "start.h5"))
    job.folder.mkdir(parents=True, exist_ok=True)
    with _locked(job.folder, report):
        _claim(job)
        path = job.folder / "status.yaml"
        status = read_yaml(path) if path.exists() else {}
        if status.get("state") == "finished":
            report("finished", year=job.years, years=job.years, folder=str(job.folder), again=True)
            yield 0
        elif status.get("state") == "failed":
            report("failed", folder=str(job.folder), message=status.get("message", ""))
            yield FAILED
        else:
            yield None


@contextlib.contextmanager
def _locked(folder: Path, report: Report) -> Iterator[None]:
    """Hold the folder: a second process waits for the first, then continues or finds the job done."""
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting", folder=str(folder), message="another process is running this job")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _claim(job: Job) -> None:
    """Write ``job.yaml``, or refuse a folder that holds another job."""
    path = job.folder / "job.yaml"
    if not path.exists():
        save_job(job, path)
        return
    present, free = load_job(path), {"checkpoint_seconds", "folder"}
    if present.model_dump(exclude=free) != job.model_dump(exclude=free):
        raise UserError(f"{path} is another job; choose another folder, or remove {job.folder} first")


def read_start(job: Job) -> dict[str, np.ndarray]:
    """Read the restart that a job starts from.

    Parameters
    ----------
    job : the job.

    Returns
    -------
    Fields by Veros's names, with ghost cells and three time levels.

    Raises
    ------
    UserError
        If the file is damaged or of another grid.
    """
    fields, _ = read_restart(job.start)
    axes = dino.mesh(job.configuration.resolution, job.configuration.levels)
    require_grid(fields, (axes.depth.size, axes.latitude.size, axes.longitude.size), job.start)
    return fields
