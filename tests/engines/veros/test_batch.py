"""Several members in one program: each as it would be alone, up to round-off; stopped and continued to the same bits."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import yaml

from warmstart.engines.base import Job, Phase, save_job
from warmstart.engines.veros.batch import run_batch
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.errors import UserError
from warmstart.ocean.constants import DAY
from warmstart.ocean.parameters import defaults

pytest.importorskip("veros", reason="Veros is not installed")
pytestmark = pytest.mark.xdist_group("veros-run")
COMMAND = [sys.executable, "-m", "warmstart.engines.veros"]
WINDS = (0.1, 0.3, 5e3)


def make_jobs(folder, winds=WINDS, resolution=10.0):
    """Jobs that differ in their wind, of two phases; one has a wind that no ocean bears."""
    how = Acceleration(stretch_years=4, window_years=3, ramp_years=1, most=1)
    phases = [
        Phase(
            name="run",
            until_day=5 * 360,
            dt_momentum=1800.0,
            dt_tracer=2 * DAY,
            acceleration=how,
            snapshot_days=[360.0],
        ),
        Phase(name="settle", until_day=6 * 360, dt_momentum=3600.0, dt_tracer=DAY, snapshot_every_days=360.0),
    ]
    paths = []
    for i, wind in enumerate(winds):
        job = Job(
            engine="veros", configuration={"resolution": resolution, "levels": 6}, start="rest", phases=phases,
            parameters=defaults() | {"wind_stress_south": wind}, folder=folder / f"member_{i:03d}", checkpoint_seconds=0.0,
        )  # fmt: skip
        save_job(job, folder / f"job_{i}.yaml")
        paths.append(folder / f"job_{i}.yaml")
    return paths


def call(paths):
    return subprocess.run([*COMMAND, *map(str, paths)], capture_output=True, text=True, check=False)


def status(folder):
    return yaml.safe_load((folder / "status.yaml").read_text())


def temperatures(folder):
    with xr.open_dataset(folder / "states.nc", engine="netcdf4") as ds:
        return ds.thetao.values


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    done = call(make_jobs(folder))
    assert done.returncode == 3, done.stderr
    return folder


def test_a_member_that_blows_up_does_not_stop_the_others(together):
    states = [status(together / f"member_{i:03d}")["state"] for i in range(3)]
    assert states == ["finished", "finished", "failed"]


def test_a_batch_gives_each_member_what_it_would_be_alone(together, tmp_path):
    """After a year: the programs differ, so only round-off does. (Later it grows, where columns convect.)"""
    alone = make_jobs(tmp_path, WINDS[1:2])
    assert call(alone).returncode == 0
    a, b = temperatures(together / "member_001")[0], temperatures(tmp_path / "member_000")[0]
    assert np.nanmax(np.abs(a - b)) < 1e-8
    assert np.nanmax(np.abs(a - temperatures(together / "member_000")[0])) > 0.1, "the winds matter"


def test_a_batch_that_was_stopped_continues_to_the_same_bits_whoever_has_ended(together, tmp_path):
    """The program keeps its width, and with it its rounding, when one member of three is no longer there."""
    stopped = make_jobs(tmp_path)
    process = subprocess.Popen([*COMMAND, *map(str, stopped)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "shift":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    states = [status(tmp_path / f"member_{i:03d}")["state"] for i in range(3)]
    assert states == ["running", "running", "failed"]
    call(stopped)
    for name in ("member_000", "member_001"):
        a, b = (temperatures(folder / name) for folder in (together, tmp_path))
        assert np.array_equal(a, b, equal_nan=True)


def test_a_finished_batch_is_not_run_again(together):
    paths = [together / f"job_{i}.yaml" for i in range(3)]
    events = []
    assert run_batch(paths, report=lambda event, **content: events.append(event)) == 3
    assert events == ["finished", "finished", "failed"]


def test_a_batch_of_two_grids_is_refused(tmp_path):
    first = make_jobs(tmp_path, WINDS[:1])
    (tmp_path / "other").mkdir()
    other = make_jobs(tmp_path / "other", WINDS[:1], resolution=8.0)
    with pytest.raises(UserError, match="the same configuration"):
        run_batch([*first, *other])


def test_two_members_in_one_folder_are_refused(tmp_path):
    path = make_jobs(tmp_path, WINDS[:1])[0]
    with pytest.raises(UserError, match="same folder"):
        run_batch([path, path])


def test_a_gpu_that_is_not_there_is_refused_in_one_line(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--device", "gpu", str(make_jobs(tmp_path, WINDS[:1])[0])],
        capture_output=True, text=True, check=False, env=None,
    )  # fmt: skip
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: JAX sees no GPU")
