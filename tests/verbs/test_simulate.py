"""Ensembles of real, tiny Veros runs; supervision alone is tested with processes that only sleep or die."""

import contextlib
import json
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import psutil
import pytest
import xarray as xr

from warmstart.ensemble.design import load_plan, member_job, member_parameters
from warmstart.ensemble.member import Stopped, locked, read_status, run_member
from warmstart.ensemble.progress import Watch, describe
from warmstart.errors import UserError
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.verbs.simulate import simulate, summary

# a program started in the background ignores Ctrl-C unless it says otherwise
SIMULATE = """
import json, signal, sys
from warmstart.verbs.simulate import simulate
signal.signal(signal.SIGINT, signal.default_int_handler)
simulate(json.loads(sys.argv[1]), sys.argv[2], workers=1)
"""


def until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def engines(process):
    """The engine processes below a process."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("warmstart.engines.veros" in word for word in child.cmdline()):
                    found.append(child)
    return found


def mtime(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def assert_same_results(folder, other):
    """Bit for bit: states, series and restart."""
    for name, group in (("states.nc", None), ("states.nc", "grid"), ("series.nc", None)):
        with (
            xr.open_dataset(folder / name, group=group) as a,
            xr.open_dataset(other / name, group=group) as b,
        ):
            same = {"created": "", "command": "", "history": ""}
            assert a.assign_attrs(same).identical(b.assign_attrs(same)), name
    with h5py.File(folder / "restart.h5") as a, h5py.File(other / "restart.h5") as b:
        assert set(a["core"]) == set(b["core"])
        for name in a["core"]:
            assert np.array_equal(a["core"][name][()], b["core"][name][()]), name


@pytest.fixture
def job(tiny_plan, tmp_path):
    plan = load_plan(tiny_plan)
    return member_job(plan, member_parameters(plan)[0], tmp_path / "member_000")


def test_an_ensemble_finishes_and_says_so(tiny_runs, tiny_plan):
    table = summary(tiny_runs, load_plan(tiny_plan))
    assert table["state"].tolist() == ["finished"] * 4
    assert (table["years"] == 14.0).all()
    assert np.isfinite(table["drift"]).all()
    assert (table["verdict"] == "drifting").all()
    assert table["wind_stress_south"].nunique() == 4
    states = xr.open_dataset(tiny_runs / "member_000" / "states.nc")
    assert states["phase"].values.tolist() == ["transient"] + ["equilibrium"] * 4
    assert states["year"].values.tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]


def test_a_finished_member_is_never_run_again(tiny_runs, tiny_plan):
    before = {p: mtime(p) for p in tiny_runs.rglob("*") if p.is_file()}
    table = simulate(tiny_plan, tiny_runs)
    assert table["state"].tolist() == ["finished"] * 4
    assert {p: mtime(p) for p in tiny_runs.rglob("*") if p.is_file()} == before


def test_a_round_runs_its_own_members_only_and_they_are_the_same(tiny_runs, tiny_plan, tmp_path):
    table = simulate({**tiny_plan, "first": 3}, tmp_path / "runs", workers=1)
    assert table["member"].tolist() == [3]
    assert sorted(p.name for p in (tmp_path / "runs").glob("member_*")) == ["member_003"]
    assert_same_results(tmp_path / "runs" / "member_003", tiny_runs / "member_003")


def test_killed_engine_interrupt_and_killed_simulate_change_no_bit(tiny_runs, tiny_plan, tmp_path):
    """kill -9 of the engine, Ctrl-C, kill -9 of simulate, each after a new checkpoint; then the end."""
    runs, folder = tmp_path / "runs", tmp_path / "runs" / "member_000"
    plan = {**tiny_plan, "members": 1}
    checkpoint, seen = folder / "checkpoint.h5", 0

    def start():
        command = [sys.executable, "-c", SIMULATE, json.dumps(plan), str(runs)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def engine_after_a_new_checkpoint(process):
        """Held still, so that it cannot finish before it is stopped."""
        nonlocal seen
        until(lambda: mtime(checkpoint) > seen)
        (engine,) = engines(process)
        engine.suspend()
        seen = mtime(checkpoint)
        assert read_status(folder)["state"] == "running", "the run is too short for this test"
        return engine

    process = start()
    engine_after_a_new_checkpoint(process).kill()

    engine = engine_after_a_new_checkpoint(process)  # the next one
    process.send_signal(signal.SIGINT)
    until(lambda: read_status(folder)["state"] == "stopped")
    engine.resume()
    assert process.wait(60) != 0
    until(lambda: not engine.is_running(), 5.0)
    seen = mtime(checkpoint)

    process = start()
    engine = engine_after_a_new_checkpoint(process)
    assert list(runs.glob(".dask-*"))
    process.kill()
    process.wait()
    until(lambda: not engine.is_running(), 5.0)

    assert simulate(plan, runs)["state"].tolist() == ["finished"]
    assert_same_results(folder, tiny_runs / "member_000")
    assert not list(folder.glob(".*.*")), "rubbish of the killed engines"
    assert not list(runs.glob(".dask-*")), "rubbish of the killed simulate"


def test_two_simulates_do_not_work_in_one_folder(tiny_plan, tmp_path):
    (tmp_path / "runs").mkdir()
    dump_yaml(load_plan(tiny_plan), tmp_path / "runs" / "plan.yaml")
    with locked(tmp_path / "runs" / ".lock"), pytest.raises(UserError, match="another process"):
        simulate(tiny_plan, tmp_path / "runs")


def test_the_folder_of_another_simulation_is_refused_before_anything_runs(tiny_plan, job, tmp_path):
    (tmp_path / "runs" / "member_001").mkdir(parents=True)
    dump_yaml(load_plan(tiny_plan), tmp_path / "runs" / "plan.yaml")
    dump_yaml({**job, "start": "elsewhere.h5"}, tmp_path / "runs" / "member_001" / "job.yaml")
    with pytest.raises(UserError, match=r"member_001.*(parameters, start|start)"):
        simulate(tiny_plan, tmp_path / "runs")


def test_an_engine_that_keeps_dying_is_given_up_and_tried_again_next_time(job, tmp_path):
    starts = tmp_path / "starts"
    dying = ["sh", "-c", f"echo x >> {starts}; kill -9 $$"]
    status = run_member(job, dying)
    assert status["state"] == "failed"
    assert "SIGKILL" in status["message"]
    assert len(starts.read_text().splitlines()) == 3
    run_member(job, dying)
    assert len(starts.read_text().splitlines()) == 6


def test_an_engine_that_makes_progress_may_die_often(job):
    """On a machine that kills it every few minutes a long run still ends."""
    script = (
        'cd $(dirname $0); echo x >> starts; n=$(wc -l < starts); printf \'{"event": "progress", "year": %d}\\n\' $n;'
        "if [ $n -ge 6 ]; then echo 'state: finished' > status.yaml; exit 0; fi; kill -9 $$"
    )
    assert run_member(job, ["sh", "-c", script])["state"] == "finished"


def test_a_refused_job_fails_at_once_with_the_words_of_the_engine(job):
    status = run_member(job, ["sh", "-c", "echo 'error: no such restart' >&2; exit 2"])
    assert (status["state"], status["message"]) == ("failed", "exit code 2: error: no such restart")


def test_a_member_that_blew_up_twice_is_not_run_again(job, tmp_path):
    (tmp_path / "member_000").mkdir()
    report = {"year": 3.0, "dt_momentum": 3600.0, "dt_tracer": 86400.0}
    dump_yaml(
        {"state": "failed", "years": 3.0, "blow_ups": [report, report]},
        tmp_path / "member_000" / "status.yaml",
    )
    assert run_member(job, ["false"])["blow_ups"] == [report, report]


def test_an_engine_that_nobody_waits_for_is_stopped(job, tmp_path):
    pid_file = tmp_path / "pid"
    with pytest.raises(Stopped):
        run_member(job, ["sh", "-c", f"echo $$ > {pid_file}; sleep 60"], wanted=lambda: not pid_file.exists())
    assert not psutil.pid_exists(int(pid_file.read_text()))
    assert read_status(tmp_path / "member_000")["state"] == "stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_an_engine_dies_with_its_supervisor(tmp_path):
    code = (
        "import subprocess, sys, time; from warmstart.ensemble.member import _start_engine;"
        "print(_start_engine(['sleep', '60'], subprocess.DEVNULL).pid, flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    engine = psutil.Process(int(supervisor.stdout.readline()))
    assert engine.is_running()
    supervisor.kill()
    until(lambda: not engine.is_running(), 5.0)
    supervisor.wait()
    supervisor.stdout.close()


def test_progress_counts_members_years_and_the_time_left(tmp_path, monkeypatch):
    clock = iter([0.0, 100.0])
    monkeypatch.setattr("warmstart.ensemble.progress.time.monotonic", lambda: next(clock))
    for i, status in enumerate([{"state": "finished", "years": 10.0}, {"state": "running", "years": 0.0}]):
        (tmp_path / f"member_{i:03d}").mkdir()
        dump_yaml(status, tmp_path / f"member_{i:03d}" / "status.yaml")
    watch = Watch(tmp_path, range(3), 10.0)
    assert watch.look()["left"] is None
    dump_yaml({"state": "running", "years": 5.0}, tmp_path / "member_001" / "status.yaml")
    look = watch.look()
    assert look["left"] == pytest.approx(300.0)
    assert describe(look) == "1/3 members finished, 1 running, 0 failed, 15/30 years, 5 min left"


def test_a_plan_that_cannot_be_run_leaves_nothing_that_stops_the_next(tiny_plan, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no member at or near equilibrium"):
        simulate(tiny_plan | {"start": "nearest", "finished": str(tmp_path / "empty")}, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_plan_for_no_workers_is_refused(tiny_plan, tmp_path):
    with pytest.raises(UserError, match="workers"):
        simulate(tiny_plan, tmp_path / "runs", workers=0)
    assert not (tmp_path / "runs").exists()


def test_the_example_plan_is_valid_and_spans_eight_parameters(request):
    plan = load_plan(request.config.rootpath / "examples" / "ensemble-dino-4deg.yaml")
    assert (plan.members, plan.years, plan.seed, len(plan.ranges)) == (16, 600, 2026, 8)
    assert read_yaml(request.config.rootpath / "examples" / "ensemble-dino-4deg.yaml")["start"] == "rest"


def test_a_batch_runs_its_members_in_one_process_and_says_how_each_is(tmp_path):
    """Two batches of three members; the second is not full."""
    plan = {
        "configuration": {"resolution": 10, "levels": 6}, "members": 3, "seed": 1, "years": 1, "settle_years": 0,
        "ranges": {"wind_stress_south": [0.1, 0.3]},
    }  # fmt: skip
    table = simulate(plan, tmp_path / "runs", workers=1, batch=2)
    assert table["state"].tolist() == ["finished"] * 3
    assert (tmp_path / "runs" / "member_000" / "engine.log").exists()
    assert not (tmp_path / "runs" / "member_001" / "engine.log").exists(), "one process has one log"


def test_a_batch_of_no_members_and_an_unknown_device_are_refused(tmp_path):
    plan = {"configuration": {"resolution": 10, "levels": 6}, "members": 1, "seed": 1, "years": 1}
    with pytest.raises(UserError, match="batch is 0; expected at least 1"):
        simulate(plan, tmp_path / "runs", batch=0)
    with pytest.raises(UserError, match="expected one of cpu, gpu"):
        simulate(plan, tmp_path / "runs", device="tpu")
    assert not (tmp_path / "runs").exists()
