"""One member of an ensemble: start its engine, follow it, continue it after a death, say how it ended.

The engine owns its folder: it locks it, checkpoints, and writes ``status.yaml``. The supervisor, which is this
module, writes only ``progress.json`` there: the year, second by second, and the reason if the engine could not run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from warmstart import engines
from warmstart.ensemble import guard
from warmstart.errors import UserError
from warmstart.io import outputs
from warmstart.io.config import dump_yaml, read_yaml

log = logging.getLogger(__name__)

LOCK = ".lock"  #: held by the engine as long as it lives
#: What the folder of a member holds, as a regular expression.
FILES = (
    r"\.lock|job\.yaml|status\.yaml|progress\.json|engine\.log|(start|checkpoint|restart)\.h5|(states|series|newton_step)\.nc|"
    r"snapshots/day_[0-9.]+\.npz"
)
CRASHES_ALLOWED = 3  #: deaths of the engine in a row without a year of progress between them
BAD_INPUT = 2  #: exit code of an engine that refuses its job
STOP_SECONDS = 10.0  #: an engine that was asked to stop is killed after this time
POLL_SECONDS = 0.5


class Stopped(RuntimeError):
    """The member was stopped before its end because nobody waits for it any more."""


def run_member(
    job: dict[str, Any], command: list[str] | None = None, wanted: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    """Bring one member to its end, from wherever its folder says it is; as :func:`run_members` of one."""
    return run_members([job], command, wanted)[0]


def run_members(
    jobs: Sequence[dict[str, Any]],
    command: list[str] | None = None,
    wanted: Callable[[], bool] = lambda: True,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Bring members to their ends, from wherever their folders say they are, in one process of the engine, as one batch.

    Parameters
    ----------
    jobs : what the engine is asked, each with the ``folder`` of its member; all for one engine and configuration.
    command : how to start the engine, the paths of the job files are appended; None takes that of the jobs' ``engine``.
    wanted : asked twice a second; the engine is stopped when it answers False.
    device : ``cpu`` or ``gpu``.

    Returns
    -------
    Of each, in their order, as :func:`read_status`; ``state`` is ``finished`` or ``failed``.

    Raises
    ------
    UserError
        If a folder holds a member that was asked something else.
    Stopped
        If `wanted` said no.
    """
    folders = [Path(job["folder"]) for job in jobs]
    for folder, job in zip(folders, jobs, strict=True):
        same_job(folder, job)
        if not is_done(read_status(folder)):
            _claim(folder, job)
    command = command or engines.find(jobs[0]["engine"]).command(device)
    crashes, year = 0, 0.0
    while left := [folder for folder in folders if not is_done(read_status(folder))]:
        for folder in left:
            outputs.tidy(folder)
            outputs.tidy(folder / "snapshots")
        # members that are done keep their places in the batch
        code, reached = _attempt(left, [*command, *(str(folder / "job.yaml") for folder in folders)], wanted)
        left = [folder for folder in left if not is_done(read_status(folder))]
        if not left:
            break
        crashes = 1 if reached >= year + 1.0 else crashes + 1
        year, reason = reached, _reason(left[0], code)
        if code == BAD_INPUT or crashes >= CRASHES_ALLOWED:
            for folder in left:
                _tell(folder, state="failed", year=year, reason=reason)
            break
        log.warning("%s: the engine died (%s); continuing from its checkpoint", left[0].name, reason)
    return [read_status(folder) for folder in folders]


def is_done(status: dict[str, Any]) -> bool:
    """Tell whether a member needs no more runs: it finished, or it blew up as often as it may.

    Examples
    --------
    >>> is_done({"state": "finished"}), is_done({"state": "running"})
    (True, False)
    """
    state = status.get("state")
    return state == "finished" or (state == "failed" and bool(status.get("blow_ups")))


def read_status(folder: Path) -> dict[str, Any]:
    """What the engine says of a member in ``status.yaml``, brought up to date by its supervisor.

    Returns
    -------
    ``state`` (``running``, ``stopped``, ``finished``, ``failed``), ``years`` and whatever the engine says; empty if
    the member was never started.

    Examples
    --------
    >>> read_status(Path("no-such-folder"))
    {}
    """
    status = read_yaml(folder / "status.yaml") if (folder / "status.yaml").exists() else {}
    if is_done(status):
        return status
    try:
        told = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return status
    return {**status, "state": told["state"], "years": told["year"], "message": told.get("reason", "")}


def mark_failed(folder: Path, reason: str) -> None:
    """Note that a member could not be run; the same command tries it again.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> mark_failed(folder, "no space left on device")
    >>> read_status(folder)["message"]
    'no space left on device'
    """
    _tell(folder, state="failed", year=float(read_status(folder).get("years") or 0.0), reason=reason)


def mark_waiting(folder: Path) -> None:
    """Note that nothing runs in the folder of a member that was started before; none else is touched.

    Examples
    --------
    >>> mark_waiting(Path("no-such-folder"))
    """
    status = read_status(folder)
    if status:
        _tell(folder, state="waiting", year=float(status.get("years") or 0.0))


def same_job(folder: Path, job: dict[str, Any]) -> None:
    """Refuse a folder whose ``job.yaml`` asks for another simulation.

    Raises
    ------
    UserError
        Naming the keys that differ.

    Examples
    --------
    >>> same_job(Path("no-such-folder"), {})
    """
    path = folder / "job.yaml"
    if not path.exists():
        return
    former = read_yaml(path)
    keys = (set(former) | set(job)) - {"folder", "checkpoint_seconds"}
    differing = sorted(key for key in keys if former.get(key) != job.get(key))
    if differing:
        raise UserError(
            f"{path} asks for another simulation than the plan: {', '.join(differing)} differ. "
            "Choose another output folder, or remove this member's folder to run it anew"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, or refuse.

    Parameters
    ----------
    path : the lock file; made if it does not exist, never removed.

    Raises
    ------
    UserError
        If another process holds it.

    Examples
    --------
    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / ".lock"):
    ...     pass
    """
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process works in {path.parent}; wait for it or stop it, then call again"
            ) from None
        yield


def _claim(folder: Path, job: dict[str, Any]) -> None:
    """Take the folder of a member: a new or an empty one, or that of the same job."""
    outputs.require_work(folder, ("job.yaml", "start.h5"))
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_symlink() and re.fullmatch(FILES, path.name):
            raise UserError(f"{path} is a symbolic link; expected a file that the engine wrote")
    if (folder / "engine.log").exists() and not (folder / "progress.json").exists():
        raise UserError(f"{folder / 'engine.log'} is no log of a run here; move it away")
    path = folder / "job.yaml"
    former = read_yaml(path) if path.exists() else None
    if former != job:
        dump_yaml(job, path, former=former)


def _attempt(folders: Sequence[Path], command: list[str], wanted: Callable[[], bool]) -> tuple[int, float]:
    """Start the engine once and follow it to the end of the process; return its exit code and the first member's year."""
    years = {str(folder): float(read_status(folder).get("years") or 0.0) for folder in folders}
    first = str(folders[0])
    for folder in folders:
        _tell(folder, state="running", year=years[str(folder)])
    with open(folders[0] / "engine.log", "ab") as errors:
        process = _start_engine(command, errors)
        try:
            for line in _lines(process):
                if not wanted():
                    raise Stopped(f"{folders[0].name} was stopped; the same command continues it")
                where, heard = _year(line)
                if heard is not None and (where or first) in years:
                    years[where or first] = heard
                    _tell(Path(where or first), state="running", year=heard)
            return process.wait(), years[first]
        except BaseException:
            for folder in folders:  # first: this process may be ended as soon as the engine is gone
                _tell(folder, state="stopped", year=years[str(folder)])
            _stop_engine(process)
            raise


def _start_engine(command: list[str], errors: Any) -> subprocess.Popen[bytes]:
    """Start an engine in a session of its own that ends when this process ends, however it ends; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )


def _stop_engine(process: subprocess.Popen[bytes]) -> None:
    """Ask an engine and whatever it started to stop; kill it if it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Lines of the engine's standard output; an empty one whenever there is none for a while."""
    stream = process.stdout
    if stream is None:
        raise RuntimeError("the engine was started without a pipe")
    with selectors.DefaultSelector() as selector, stream:
        selector.register(stream, selectors.EVENT_READ)
        rest = b""
        while True:
            if not selector.select(POLL_SECONDS):
                yield b""
                continue
            block = os.read(stream.fileno(), 65536)
            if not block:
                return
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


def _year(line: bytes) -> tuple[str | None, float | None]:
    """The folder and the year that a line of the engine reports, if it does."""
    if not line.strip():
        return None, None
    try:
        event = json.loads(line)
        if event["event"] == "waiting":
            log.warning("%s", event.get("message", "the engine waits"))
        return event.get("folder"), 0.0 if event["event"] == "blow-up" else float(event["year"])
    except (ValueError, KeyError, TypeError):
        log.debug("the engine said: %s", line.decode(errors="replace"))
        return None, None


def _reason(folder: Path, code: int) -> str:
    """Why an engine ended: the signal, or the last line of its log."""
    if code < 0:
        return f"killed by signal {signal.Signals(-code).name}"
    lines: deque[str] = deque(maxlen=1)
    with open(folder / "engine.log", encoding="utf-8", errors="replace") as text:
        lines.extend(line.strip() for line in text if line.strip())
    return f"exit code {code}: {lines[-1] if lines else 'no message'}"


def _tell(folder: Path, state: str, year: float, reason: str = "") -> None:
    path = folder / "progress.json"
    with outputs.replacing(path, overwrite=True, folder=False, ours=_is_progress(path)) as temporary:
        temporary.write_text(json.dumps({"state": state, "year": year, "reason": reason}), encoding="utf-8")


def _is_progress(path: Path) -> bool:
    """Whether a file is what :func:`_tell` writes."""
    try:
        return set(json.loads(path.read_text(encoding="utf-8"))) == {"state", "year", "reason"}
    except (OSError, ValueError, TypeError):
        return False
