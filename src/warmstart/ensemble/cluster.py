"""Where members run: dask workers of the user, or threads of this process; dask's own words go to a file."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmstart.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

LOG = "dask.log"  #: beside the members
SCRATCH = ".dask-"  #: folders of dask beside the members, gone when it ends
MARK = "made-by-warmstart"  #: file in a scratch folder: the number of the process that made it
LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 30.0  #: a scheduler that says nothing for so long is gone
LOOK_SECONDS = 5.0  #: between two looks at the workers
ALONE_SECONDS = 300.0  #: an ensemble without a worker is given up after so long


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int, runs: Path, dashboard: bool = False) -> Iterator[Client]:
    """Connect to a scheduler, or be one for as long as the block lasts.

    Without a scheduler members run in threads of this process, each of which only waits for its engine: no worker process
    that may vanish, and nobody to talk to, so nothing listens on any port, but the dashboard if it is asked for.

    Parameters
    ----------
    scheduler : address of the user's scheduler, or None.
    workers : members at once, without a scheduler.
    runs : folder of the ensemble, for ``dask.log`` and the scratch folder.
    dashboard : whether to serve dask's dashboard, on this machine only.

    Yields
    ------
    The client.

    Raises
    ------
    UserError
        If the scheduler does not answer, or the dashboard cannot be shown.
    """
    with _logged(runs / LOG):
        if scheduler is None:
            with _own(workers, runs, dashboard) as client:
                yield client
            return
        from distributed import Client

        try:
            client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no dask scheduler answers at {scheduler}: {error}; give for example tcp://host:8786"
            ) from error
        with client:
            yield client


@contextlib.contextmanager
def _own(workers: int, runs: Path, dashboard: bool) -> Iterator[Client]:
    """A scheduler and a worker with so many threads, inside this process."""
    import dask
    from distributed import Client, Scheduler, SpecCluster, Worker

    if dashboard:
        _require_bokeh()
    settings = {
        "distributed.scheduler.worker-ttl": None,  # a laptop that slept has lost no worker
        "distributed.worker.profile.enabled": False,  # takes 4 % of a core
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.admin.system-monitor.gil.enabled": False,
    }
    silent: dict[str, list[str]] = {
        f"distributed.{server}.http.routes": [] for server in ("scheduler", "worker")
    }
    with _scratch(runs) as scratch, dask.config.set(settings if dashboard else settings | silent):
        inside = {"protocol": "inproc://", "dashboard": dashboard, "dashboard_address": f"{LOOPBACK}:0"}
        threads = {"nthreads": workers, "memory_limit": 0, "local_directory": str(scratch)}
        cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": inside},
            workers={0: {"cls": Worker, "options": inside | threads}},
            silence_logs=False,
        )
        with cluster, Client(cluster, set_as_default=False) as client:
            if dashboard:
                log.warning(
                    "dask's dashboard: http://%s:%d/status", LOOPBACK, cluster.scheduler.http_server.port
                )
            else:
                client.sync(_stop_serving, [cluster.scheduler, *cluster.workers.values()])
            yield client


async def _stop_serving(servers: list[Any]) -> None:
    for server in servers:
        server.http_server.stop()


def _require_bokeh() -> None:
    try:
        import bokeh  # noqa: F401
    except ImportError as error:
        raise UserError(
            "dask's dashboard needs bokeh: pip install bokeh, or leave --dashboard out"
        ) from error


@contextlib.contextmanager
def _scratch(runs: Path) -> Iterator[Path]:
    """A folder for dask beside the members; those that killed processes left there go first.

    Only who holds the lock of the ensemble comes here, so a marked folder belongs to nobody that is alive.
    """
    for left in runs.glob(f"{SCRATCH}*"):
        if left.is_dir() and not left.is_symlink() and (left / MARK).is_file():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=runs))
    (folder / MARK).write_text(f"{os.getpid()}\n", encoding="utf-8")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send what dask says to a file, which is added to, instead of the terminal while the block lasts."""
    import distributed  # noqa: F401 (its import sets handlers of its own)

    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    names = [
        name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")
    ]
    loggers = [logging.getLogger(name) for name in {*names, "distributed", "tornado"}]
    top = [logger for logger in loggers if logger.handlers or "." not in logger.name]
    former = [(logger, logger.handlers, logger.propagate) for logger in top]
    for logger in top:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        for logger, handlers, propagate in former:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()


class Attendance:
    """Whether anybody is there to run members: looks at the workers now and then, says when none is left, and gives up.

    Parameters
    ----------
    client : connected to the scheduler.
    runs : folder of the ensemble.
    alone_seconds : how long an ensemble waits for a worker.
    """

    def __init__(self, client: Client, runs: Path, alone_seconds: float = ALONE_SECONDS) -> None:
        self.client, self.runs, self.alone_seconds = client, runs, alone_seconds
        self.address = client.scheduler.address
        self.due = self.seen = time.monotonic()
        self.said = self.lost = False

    def look(self) -> None:
        """Look if it is time.

        Raises
        ------
        UserError
            If the scheduler is gone, or no worker came for too long.
        """
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + LOOK_SECONDS
        if self._workers():
            if self.said:
                log.warning("a worker is there again")
            self.seen, self.said = now, False
            return
        if now - self.seen >= self.alone_seconds:
            raise UserError(
                f"no worker has been connected to the scheduler at {self.address} for {now - self.seen:.0f} s; start "
                f"one, dask worker {self.address}, then the same command continues the ensemble (dask's log: "
                f"{self.runs / LOG})"
            )
        if not self.said and now - self.seen >= LOOK_SECONDS:
            self.said = True
            log.warning(
                "no worker is connected to the scheduler at %s: waiting %.0f s for one; start it with: dask worker %s",
                self.address, self.alone_seconds, self.address,
            )  # fmt: skip

    def gone(self) -> UserError:
        """What to say if there is no scheduler any more, from now on."""
        self.lost = True
        return UserError(
            f"the dask scheduler at {self.address} is gone; start it and its workers again, then the same command "
            f"continues the ensemble (dask's log: {self.runs / LOG})"
        )

    def _workers(self) -> int:
        if self.client.status != "running":
            raise self.gone()
        try:
            told = self.client.sync(
                self.client.scheduler.identity, n_workers=0, callback_timeout=ANSWER_SECONDS
            )
        except (OSError, RuntimeError) as error:
            raise self.gone() from error
        return int(told["n_workers"])
