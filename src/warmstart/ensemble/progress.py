"""How far an ensemble is: members and years counted from status files, a bar on a terminal, a line in a log."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmstart.ensemble.member import read_status

log = logging.getLogger(__name__)

LOG_SECONDS = 30.0  #: between two lines of the log


def member_folder(runs: Path, member: int) -> Path:
    """Folder of a member: ``runs/member_000``.

    Examples
    --------
    >>> member_folder(Path("runs"), 7).as_posix()
    'runs/member_007'
    """
    return runs / f"member_{member:03d}"


@dataclass
class Watch:
    """Follows the members of an ensemble through their status files.

    Attributes
    ----------
    runs : folder of the ensemble.
    members : their numbers.
    years : length of each [model years].
    """

    runs: Path
    members: Sequence[int]
    years: float
    _seen: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _start: tuple[float, float] | None = None

    def look(self) -> dict[str, Any]:
        """Count members and years; ``left`` is the time to go at the pace since the first look [s], or None."""
        states: dict[str, int] = {}
        done = 0.0
        for i in self.members:
            status = self._status(i)
            state = status.get("state", "waiting")
            states[state] = states.get(state, 0) + 1
            # a member that failed needs no more time
            done += (
                self.years
                if state in ("finished", "failed")
                else min(float(status.get("years") or 0.0), self.years)
            )
        now = time.monotonic()
        self._start = self._start or (now, done)
        pace = (done - self._start[1]) / max(now - self._start[0], 1e-9)
        total = self.years * len(self.members)
        left = (total - done) / pace if pace > 0 and now - self._start[0] > 5.0 else None
        return {"states": states, "done": done, "total": total, "left": left, "members": len(self.members)}

    def _status(self, member: int) -> dict[str, Any]:
        folder = member_folder(self.runs, member)
        changed = sum(
            p.stat().st_mtime_ns for p in (folder / "status.yaml", folder / "progress.json") if p.exists()
        )
        if member not in self._seen or self._seen[member][0] != changed:
            self._seen[member] = (changed, read_status(folder))
        return self._seen[member][1]


def describe(look: dict[str, Any]) -> str:
    """Say in one line how far an ensemble is.

    Examples
    --------
    >>> describe({"states": {"finished": 3, "running": 2}, "done": 1900.0, "total": 3000.0, "left": 125.0, "members": 5})
    '3/5 members finished, 2 running, 0 failed, 1900/3000 years, 2 min left'
    """
    finished, running, failed = (look["states"].get(state, 0) for state in ("finished", "running", "failed"))
    text = f"{finished}/{look['members']} members finished, {running} running, {failed} failed"
    text += f", {look['done']:.0f}/{look['total']:.0f} years"
    return text if look["left"] is None else f"{text}, {_duration(look['left'])} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def display(progress: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show progress while the block lasts: a bar on a terminal; a line every 30 s elsewhere, in the log unless `progress`.

    Examples
    --------
    >>> with display(False) as show:
    ...     show({"states": {}, "done": 0.0, "total": 10.0, "left": None, "members": 1})
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if progress and console.is_terminal:
        with Progress(BarColumn(12), TextColumn("{task.description}"), console=console) as bar:
            task = bar.add_task("starting", total=None)
            yield lambda look: bar.update(
                task, total=look["total"], completed=look["done"], description=describe(look)
            )
        return
    due = time.monotonic()

    def line(look: dict[str, Any]) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LOG_SECONDS
            if progress:
                console.print(describe(look), highlight=False)
            else:
                log.info(describe(look))

    yield line
