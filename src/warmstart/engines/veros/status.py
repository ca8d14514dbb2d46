"""The folder of a run: held by one process at a time, of one job, with a status that tells whether it has ended."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines import dino
from warmstart.engines.base import Job, load_job, save_job
from warmstart.engines.veros.arrays import read_restart, require_grid
from warmstart.errors import UserError
from warmstart.io import outputs
from warmstart.io.config import read_yaml

FAILED = 3  #: exit code of a run that blew up
Report = Callable[..., None]


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

    Examples
    --------
    >>> with opened(load_job("job.yaml"), print) as end:  # doctest: +SKIP
    ...     print(end)
    """
    if job.start != "rest" and not (job.folder / "status.yaml").exists():
        read_start(job)  # refused before anything is written
    outputs.require_work(job.folder, ("job.yaml", "start.h5"))
    job.folder.mkdir(parents=True, exist_ok=True)
    with _locked(job.folder, report):
        _claim(job)
        status = _read_status(job.folder)
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


def _read_status(folder: Path) -> dict[str, Any]:
    path = folder / "status.yaml"
    return read_yaml(path) if path.exists() else {}


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
