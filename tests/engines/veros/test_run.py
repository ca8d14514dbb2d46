"""Jobs, run by real Veros on a small basin: they stop, continue, blow up and repeat to the last bit."""

import json
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml

from warmstart.engines.base import Job, Phase, load_job, save_job
from warmstart.engines.series import SERIES
from warmstart.engines.veros.arrays import read_restart
from warmstart.engines.veros.run import run_job
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.errors import UserError
from warmstart.io.files import open_grid
from warmstart.ocean.constants import DAY
from warmstart.ocean.parameters import PARAMETERS, defaults

pytest.importorskip("veros", reason="Veros is not installed")
pytestmark = pytest.mark.xdist_group("veros-run")
COMMAND = [sys.executable, "-m", "warmstart.engines.veros"]


def make_job(folder, days, steps=(1800.0, 2 * DAY), start="rest", **changes):
    """A job of one phase, its file beside its folder."""
    phase = Phase(
        name="run", until_day=days, dt_momentum=steps[0], dt_tracer=steps[1], snapshot_every_days=360.0
    )
    job = Job(
        engine="veros", configuration={"resolution": 10.0, "levels": 6}, parameters=defaults() | changes,
        start=str(start), folder=folder, phases=[phase], checkpoint_seconds=0.0,
    )  # fmt: skip
    save_job(job, folder.with_suffix(".yaml"))
    return folder.with_suffix(".yaml")


def call(path):
    """Run a job to its end: exit code, events, errors."""
    done = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def call_here(path):
    """Answer a job that needs no stepping, in this process: exit code and events."""
    events = []
    code = run_job(path, report=lambda event, **content: events.append({"event": event, **content}))
    return code, events


def status(folder):
    return yaml.safe_load((folder / "status.yaml").read_text())


def data(folder):
    """Everything that must not depend on how a run came about."""
    out = {}
    for name in ("states.nc", "series.nc"):
        with xr.open_dataset(folder / name, engine="netcdf4") as ds:
            out |= {f"{name}:{v}": ds[v].values for v in ds.variables}
    with h5py.File(folder / "restart.h5") as file:
        return out | {f"restart:{name}": values[()] for name, values in file["core"].items()}


def assert_same(a, b, only=""):
    names = [name for name in a if name.startswith(only)]
    assert names and set(names) <= set(b)
    for name in names:
        same = np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f")
        assert same, f"{name} differs"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Four undisturbed years."""
    folder = tmp_path_factory.mktemp("jobs") / "finished"
    code, events, errors = call(make_job(folder, 4 * 360))
    assert code == 0, errors
    assert events[-1]["event"] == "finished"
    return folder


def test_a_run_leaves_exactly_its_results(finished):
    left = {path.name for path in finished.iterdir()}
    assert left == {".lock", "job.yaml", "states.nc", "series.nc", "restart.h5", "status.yaml"}
    assert load_job(finished / "job.yaml").folder == finished


def test_states_carry_mesh_parameters_years_and_land(finished):
    grid = open_grid(finished / "states.nc")
    with xr.open_dataset(finished / "states.nc", engine="netcdf4") as states:
        assert states.thetao.dims == ("time", "z", "y", "x")
        assert states.thetao.shape[1:] == grid.shape
        assert states.year.values.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert set(PARAMETERS) <= set(states.variables)
        for name, mask in (("thetao", "tmask"), ("so", "tmask"), ("uo", "umask"), ("vo", "vmask")):
            assert (np.isfinite(states[name].isel(time=0).values) == (grid.ds[mask].values > 0)).all(), name
            assert states[name].attrs["units"]
        assert (np.isfinite(states.zos.isel(time=0).values) == (grid.tmask.values[0] > 0)).all()
        assert float(states.thetao.isel(z=0).mean()) > float(states.thetao.isel(z=-1).mean()), "surface first"


def test_the_series_has_a_row_a_year_and_every_number(finished):
    with xr.open_dataset(finished / "series.nc", engine="netcdf4") as series:
        assert series.year.values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert all(np.isfinite(series[name].values).all() for name in SERIES)
        assert float(series.channel_transport[-1]) > 5.0, "westerlies drive an eastward flow"


def test_the_status_says_how_it_went(finished):
    said = status(finished)
    assert (said["state"], said["years"], said["attempts"], said["blow_ups"]) == ("finished", 4.0, 1, [])
    assert said["cpu_seconds"] > 0


def test_a_stopped_run_continues_to_the_same_bits(finished, tmp_path):
    """SIGTERM in the middle: exit code 143 with a checkpoint; the same command ends it."""
    path = make_job(tmp_path / "stopped", 4 * 360)
    process = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped" / "checkpoint.h5").exists():
        assert process.poll() is None, "the run ended before it could be stopped"
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert status(tmp_path / "stopped")["state"] == "running"
    code, events, errors = call(path)
    assert code == 0, errors
    assert events[0]["event"] == "resumed"
    assert_same(data(finished), data(tmp_path / "stopped"))


def test_two_years_and_two_more_from_the_restart_are_four(finished, tmp_path):
    """Each in a process of its own; equal to the last bit."""
    assert call(make_job(tmp_path / "first", 2 * 360))[0] == 0
    restart = tmp_path / "first" / "restart.h5"
    assert call(make_job(tmp_path / "second", 2 * 360, start=restart))[0] == 0
    assert_same(data(finished), data(tmp_path / "second"), only="restart:")
    assert not np.array_equal(read_restart(restart)[0]["temp"], data(finished)["restart:temp"])


@pytest.fixture(scope="module")
def accelerated(tmp_path_factory):
    """Twelve years with an extrapolation every four."""
    folder = tmp_path_factory.mktemp("jobs") / "accelerated"
    code, _, errors = call(accelerated_job(folder))
    assert code == 0, errors
    return folder


def accelerated_job(folder):
    path = make_job(folder, 12 * 360)
    job = load_job(path)
    how = Acceleration(stretch_years=5, window_years=3, ramp_years=2, most=2)
    save_job(
        job.model_copy(update={"phases": (job.phases[0].model_copy(update={"acceleration": how}),)}), path
    )
    return path


def test_an_extrapolation_shifts_the_deep_ocean_by_what_the_status_says(accelerated):
    shifts = status(accelerated)["shifts"]
    assert [s["year"] for s in shifts] == [6.0, 11.0], "the years of their last parts"
    with xr.open_dataset(accelerated / "states.nc", engine="netcdf4") as states:
        assert states.year.values.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0], (
            "a state after a shift is no stage of a spin-up"
        )
    with xr.open_dataset(accelerated / "series.nc", engine="netcdf4") as series:
        jumps = np.diff(series.thetao_deep.values)
        assert series.thetao_profile.dims == ("time", "z")
        surface = np.diff(series.thetao_profile.values[:, 0])
    for shift in shifts:
        assert abs(shift["deep_K"]) > 0.05
        year = int(shift["year"])
        assert jumps[year - 1 : year + 1].sum() == pytest.approx(shift["deep_K"], rel=0.2)
        assert jumps[year] == pytest.approx(shift["deep_K"] / 2, rel=0.3)
    assert np.abs(surface[4:]).max() < 0.3, "the surface is left to the forcing"


def test_an_accelerated_run_that_was_stopped_continues_to_the_same_bits(accelerated, tmp_path):
    path = accelerated_job(tmp_path / "stopped")
    process = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "shift":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    code, _, errors = call(path)
    assert code == 0, errors
    assert_same(data(accelerated), data(tmp_path / "stopped"))
    assert status(accelerated)["shifts"] == status(tmp_path / "stopped")["shifts"]


def test_a_finished_run_is_not_run_again_and_its_folder_takes_no_other_job(finished, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir() if path.name != ".lock"}
    code, events = call_here(finished / "job.yaml")
    assert (code, [e["event"] for e in events]) == (0, ["finished"])
    other, job = tmp_path / "other.yaml", load_job(finished / "job.yaml")
    save_job(job.model_copy(update={"parameters": job.parameters | {"bottom_drag": 2e-6}}), other)
    with pytest.raises(UserError, match="another job"):
        run_job(other)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_blow_up_is_reported_and_repeated_with_smaller_steps(tmp_path):
    """7200 s / 10 days is too long; 3600 s / 1 day is not."""
    code, events, errors = call(make_job(tmp_path / "hasty", 360, steps=(7200.0, 10 * DAY)))
    assert code == 0, errors
    told = next(e for e in events if e["event"] == "blow-up")
    assert (told["year"], told["dt_tracer"], told["parameters"]) == (1.0, 10 * DAY, defaults())
    said = status(tmp_path / "hasty")
    assert (said["state"], said["attempts"], len(said["blow_ups"])) == ("finished", 2, 1)
    with xr.open_dataset(tmp_path / "hasty" / "series.nc", engine="netcdf4") as series:
        assert series.year.values.tolist() == [0.0, 1.0]
        assert np.isfinite(series.kinetic_energy.values).all()


def test_a_run_that_blows_up_twice_fails_and_stays_failed(tmp_path):
    path = make_job(tmp_path / "storm", 360, wind_stress_south=5e3)
    code, events, _ = call(path)
    assert code == 3
    assert [e["event"] for e in events].count("blow-up") == 2
    said = status(tmp_path / "storm")
    assert (said["state"], len(said["blow_ups"])) == ("failed", 2)
    assert "5000.0" in said["message"]
    code, events = call_here(path)
    assert (code, [e["event"] for e in events]) == (3, ["failed"])


def test_a_restart_of_another_grid_is_refused(finished, tmp_path):
    path = make_job(tmp_path / "finer", 360, start=finished / "restart.h5")
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"configuration": {"resolution": 8.0, "levels": 6}}))
    with pytest.raises(UserError, match="another grid"):
        run_job(path)
    assert not (tmp_path / "finer").exists()


def test_a_missing_restart_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no-such\.h5 does not exist"):
        run_job(make_job(tmp_path / "wrong", 360, start="no-such.h5"))
    assert not (tmp_path / "wrong").exists()


def test_a_wrong_job_ends_with_code_2_and_a_message(tmp_path):
    path = make_job(tmp_path / "wrong", 360)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"phse": []}))
    code, _, errors = call(path)
    assert code == 2
    assert "phse" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "wrong").exists()
