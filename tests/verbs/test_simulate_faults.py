"""What dies while an ensemble runs: real processes, killed for real, on the smallest grid."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_simulate import assert_same_results, engines, mtime, until

from warmstart.ensemble import cluster
from warmstart.ensemble.member import read_status
from warmstart.errors import UserError
from warmstart.verbs.simulate import simulate

pytest.importorskip("veros", reason="Veros is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


def start(*command, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


@contextlib.contextmanager
def started(*command):
    """A process in the background, with whatever it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(process.pid).children(recursive=True)
            for one in (process, *below):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()


def listening(process):
    """Addresses on which a process and those below it listen, as /proc/net/tcp has them."""
    inodes = set()
    for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
        for link in os.listdir(f"/proc/{one.pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{one.pid}/fd/{link}"))
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}") as text:
            rows = [line.split() for line in text.readlines()[1:]]
        found += [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_the_engine_compiles_ends_it_at_once(tiny_plan, tmp_path, number, code):
    """An empty cache of programs, so that it compiles; until then nothing listens on any port."""
    plan, folder = tmp_path / "plan.yaml", tmp_path / "runs" / "member_000"
    plan.write_text(json.dumps({**tiny_plan, "members": 1}))
    python = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from warmstart.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", python, "simulate", str(plan), "-o", str(tmp_path / "runs")],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: (folder / "status.yaml").exists())
    time.sleep(0.5)
    (engine,) = engines(process)
    assert listening(process) == []
    assert not (folder / "checkpoint.h5").exists(), "it has compiled already"
    process.send_signal(number)
    until(lambda: not engine.is_running(), 8.0)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert read_status(folder)["state"] == "stopped"
    assert not list((tmp_path / "runs").glob(".dask-*"))


def test_a_killed_worker_and_a_killed_scheduler_change_no_bit(tiny_runs, tiny_plan, tmp_path):
    """kill -9 of a dask worker: its nanny makes another. Of the scheduler: a sentence, and the same command goes on."""
    runs, folder = tmp_path / "runs", tmp_path / "runs" / "member_000"
    plan, about = tmp_path / "plan.yaml", tmp_path / "scheduler.json"
    plan.write_text(json.dumps({**tiny_plan, "members": 1}))
    checkpoint = folder / "checkpoint.h5"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    with started("dask", "scheduler", *here, "--port", 0, "--scheduler-file", about) as scheduler:
        until(lambda: about.exists() and about.stat().st_size > 0)
        address = json.loads(about.read_text())["address"]
        worker = ("dask", "worker", address, *here, "--nthreads", 1, "--local-directory", tmp_path)
        with started(*worker) as nanny:
            process = start("warmstart", "simulate", plan, "-o", runs, "--scheduler", address)
            until(lambda: mtime(checkpoint) > 0)
            (engine,) = engines(nanny)
            engine.suspend()
            seen = mtime(checkpoint)
            engine.parent().kill()
            until(lambda: not engine.is_running(), 5.0)
            until(lambda: mtime(checkpoint) > seen)  # by the engine of the next worker
            (engine,) = engines(nanny)
            engine.suspend()
            assert read_status(folder)["state"] == "running", "the run is too short for this test"
            scheduler.kill()
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 2, said
            assert f"the dask scheduler at {address} is gone; start it and its workers again" in said
            assert str(runs / cluster.LOG) in said
            assert "Traceback" not in said
    until(lambda: not engine.is_running(), 5.0)
    assert simulate(plan, runs)["state"].tolist() == ["finished"]
    assert_same_results(folder, tiny_runs / "member_000")


def test_a_scheduler_without_workers_is_named_and_not_waited_for_for_ever(
    tiny_plan, tmp_path, monkeypatch, caplog
):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(cluster.Attendance.__init__, "__defaults__", (1.0,))
    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address=None) as none,
        pytest.raises(
            UserError, match=r"no worker has been connected .* start one, dask worker tcp:.*dask\.log"
        ),
    ):
        simulate(tiny_plan, tmp_path / "runs", scheduler=none.scheduler_address)
    assert "no worker is connected to the scheduler at tcp:" in caplog.text


def test_engines_in_threads_die_with_their_program_as_those_of_verify_do(tmp_path):
    """SIGTERM to a program that follows engines in threads, as verify does, and has no handler of its own."""
    code = (
        "import sys, time; from concurrent.futures import ThreadPoolExecutor; from warmstart.ensemble.member import run_member\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    for i in range(2):\n"
        "        pool.submit(run_member, {'engine': 'veros', 'folder': f'{sys.argv[1]}/member_00{i}'}, ['sh', '-c', 'exec sleep 60'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)

    def sleeping():
        return [p for p in psutil.Process(process.pid).children() if p.name() == "sleep"]

    until(lambda: len(sleeping()) == 2)
    below = sleeping()
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    until(lambda: not any(p.is_running() for p in below), 5.0)


def test_only_marked_scratch_folders_are_removed(tmp_path):
    for name in ("mine", "foreign"):
        (tmp_path / f"{cluster.SCRATCH}{name}").mkdir()
        (tmp_path / f"{cluster.SCRATCH}{name}" / "file").touch()
    (tmp_path / f"{cluster.SCRATCH}mine" / cluster.MARK).touch()
    with cluster._scratch(tmp_path) as scratch:
        assert (scratch / cluster.MARK).read_text().strip() == str(os.getpid())
    assert [p.name for p in tmp_path.iterdir()] == [f"{cluster.SCRATCH}foreign"]


def test_the_dashboard_is_for_this_machine_only_or_says_what_it_needs(tiny_plan, tmp_path):
    with pytest.raises(UserError, match="leave --dashboard out, or --scheduler"):
        simulate(tiny_plan, tmp_path / "runs", scheduler="tcp://127.0.0.1:1", dashboard=True)
    if not __import__("importlib").util.find_spec("bokeh"):
        with pytest.raises(UserError, match="pip install bokeh"):
            simulate(tiny_plan, tmp_path / "runs", dashboard=True)
