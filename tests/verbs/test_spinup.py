"""spinup with a real, tiny generator and real, tiny Veros runs: cycles, the proof, and the same bits after a kill."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from warmstart import spinup
from warmstart.engines.veros.arrays import read_restart
from warmstart.equilibrium.correction import Correction, Estimate
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml
from warmstart.verbs.spinup import CORRECTION

ASKED = {"wind_stress_south": 0.2}
SHORT = {"years": 4, "proof": 4, "cycles": 1}


@pytest.fixture(scope="module")
def generator(tiny_runs, tmp_path_factory):
    """Trained on three members, with a correction that believes half of a step."""
    pytest.importorskip("torch", reason="torch is not installed")
    from warmstart.verbs.dataset import dataset
    from warmstart.verbs.train import train

    folder = tmp_path_factory.mktemp("generator")
    dataset(tiny_runs, folder / "states.zarr")
    train(
        folder / "states.zarr", {"residual": {"model": "gaussian"}, "training": {"steps": 0}}, folder / "tiny"
    )
    one = Estimate(intercept=0.0, slope=1.0, least=0.001, scatter=0.5)
    of = dict.fromkeys(("thetao", "so", "both"), one)
    ranges = ("all", "0-500 m", "500-2000 m", "below 2000 m")
    learned = Correction(
        years=4, members=3, depths=(500.0,), shares={"thetao": (0.5,), "so": (0.5,)},
        estimates=dict.fromkeys(ranges, of), error_left=0.5,
    )  # fmt: skip
    dump_yaml(learned, folder / "tiny" / CORRECTION)
    return folder / "tiny"


@pytest.fixture(scope="module")
def done(generator, tmp_path_factory):
    said = []
    folder = tmp_path_factory.mktemp("spinup") / "run"
    history = spinup(folder, ASKED, generator, target=1e-4, say=said.append, **SHORT)
    return folder, history, said


def test_it_runs_corrects_and_proves_and_leaves_restart_state_and_history(done):
    folder, history, said = done
    assert history["cycle"].tolist() == ["1", "proof"]
    assert history["years"].tolist() == [5.0, 10.0], "the year of each Newton step counts"
    assert (history["low"] < history["distance"]).all() and (history["distance"] < history["high"]).all()
    assert len(said) == 2 and said[0].startswith("cycle 1; year 5; drift [K/century]")
    for name in ("restart.h5", "states.nc", "spinup.csv", "spinup.yaml"):
        assert (folder / name).is_file(), name
    fields, _ = read_restart(folder / "restart.h5")
    last, _ = read_restart(folder / "proof" / "restart.h5")
    assert all(np.array_equal(fields[n], last[n]) for n in fields)


def test_what_is_added_after_a_cycle_is_the_share_of_the_step_and_no_more(done, generator):
    """Where no column had to be mixed, the next stretch starts from the end of the last one plus half the step."""
    folder, _, _ = done
    with (
        files.open_dataset(folder / "cycle_1" / "newton_step.nc") as step,
        files.open_dataset(folder / "cycle_1" / "states.nc") as before,
        files.open_dataset(folder / "proof" / "states.nc") as after,
        files.open_dataset(generator / "normalizer.nc") as known,
    ):
        moved = after.thetao.isel(time=0).values - before.thetao.isel(time=-1).values
        limit = known.thetao_spread.values[:, None, None]
        half = 0.5 * np.clip(step.thetao.values, -limit, limit)
    same = np.isclose(moved, half, atol=2e-6, equal_nan=True)
    assert np.abs(half[np.isfinite(half)]).max() > 1e-3, "the step is none, so nothing is tested"
    assert same[np.isfinite(half)].mean() > 0.5


def test_the_same_command_on_a_finished_spin_up_runs_nothing_again(done, generator):
    folder, history, _ = done
    times = {p: p.stat().st_mtime_ns for p in folder.glob("*/restart.h5")}
    again = spinup(folder, ASKED, generator, target=1e-4, **SHORT)
    assert again.equals(history)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/restart.h5")} == times


def test_killed_it_continues_to_the_same_bits(done, generator, tmp_path):
    folder, _, _ = done
    program = "import sys; from warmstart import spinup; spinup(sys.argv[1], {'wind_stress_south': 0.2}, sys.argv[2], target=1e-4, years=4, proof=4, cycles=1)"
    command = [sys.executable, "-c", program, str(tmp_path / "run"), str(generator)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "proof" / "job.yaml").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, timeout=600)
    for name in ("cycle_1/restart.h5", "restart.h5"):
        one, other = (read_restart(path / name)[0] for path in (folder, tmp_path / "run"))
        assert all(np.array_equal(one[n], other[n]) for n in one), name


def test_another_spin_up_does_not_take_the_folder(done, generator):
    with pytest.raises(UserError, match="holds another spin-up \\(target differ\\)"):
        spinup(done[0], ASKED, generator, target=0.2, **SHORT)


def test_without_a_correction_the_distance_is_not_told_and_the_deep_ocean_is_shifted(
    generator, tmp_path, monkeypatch
):
    """By the sequence method; the shift is the same all along a deep level."""
    kept = (generator / CORRECTION).read_text()
    (generator / CORRECTION).unlink()
    try:
        history = spinup(tmp_path / "run", ASKED, generator, **SHORT)
    finally:
        (generator / CORRECTION).write_text(kept)
    assert history["distance"].isna().all() and history["probability"].isna().all()
    with (
        files.open_dataset(tmp_path / "run" / "cycle_1" / "states.nc") as before,
        files.open_dataset(tmp_path / "run" / "proof" / "states.nc") as after,
    ):
        moved = (after.thetao.isel(time=0) - before.thetao.isel(time=-1)).values
    deep = moved[-1][np.isfinite(moved[-1])]
    assert np.ptp(deep) < 1e-5 and abs(deep[0]) > 1e-6


@pytest.mark.parametrize(
    "given, message",
    [
        ({"years": 3}, "years is 3; expected 4 to"),
        ({"proof": 0}, "proof is 0; expected 4 to"),
        ({"target": 0.0}, "target is 0; expected a distance above 0"),
        ({"target": float("nan")}, "target is nan"),
        ({"probability": 1.5}, "probability is 1.5; expected 0.5 to 0.999"),
        ({"cycles": -1}, "cycles is -1; expected 0 to 100"),
        ({"parameters": {"wind_stress_sooth": 0.2}}, "did you mean wind_stress_south"),
        ({"engine": "nimo"}, "nimo"),
        ({"start": "no-such-file.nc"}, "no-such-file.nc"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_leaves_nothing(generator, tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        spinup(tmp_path / "run", **{"generator": generator, **given})
    assert not (tmp_path / "run").exists()


def test_a_start_on_another_mesh_is_refused(generator, tmp_path):
    from warmstart.ocean import parameters
    from warmstart.ocean.basin import basin

    state, grid = basin(nx=6, ny=8, nz=4)
    path = files.write_dataset(tmp_path / "state.nc", parameters.attach(state, parameters.defaults()), grid)
    with pytest.raises(UserError, match=r"mesh|grid"):
        spinup(tmp_path / "run", start=path, generator=generator)
    assert not (tmp_path / "run").exists()


def test_a_state_of_several_is_not_a_start(tiny_runs, generator, tmp_path):
    with pytest.raises(UserError, match="expected one to start from"):
        spinup(tmp_path / "run", start=tiny_runs / "member_000" / "states.nc", generator=generator)
    assert not (tmp_path / "run").exists()


def test_a_state_without_salinity_is_not_a_start(tiny_runs, generator, tmp_path):
    source = tiny_runs / "member_000" / "states.nc"
    with files.open_dataset(source) as ds:
        fresh = ds.isel(time=[-1]).drop_vars("so").load()
    start = files.write_dataset(tmp_path / "start.nc", fresh, files.open_grid(source))
    with pytest.raises(UserError, match="holds no so"):
        spinup(tmp_path / "run", start=start, generator=generator)
    assert not (tmp_path / "run").exists()


def test_cycles_of_none_are_a_proof_of_the_start(tiny_runs, generator, tmp_path):
    """A state of a file, run on: nothing is corrected."""
    source = tiny_runs / "member_001" / "states.nc"
    with files.open_dataset(source) as ds:
        last = ds.isel(time=[-1]).load()
    start = files.write_dataset(tmp_path / "start.nc", last, files.open_grid(source))
    history = spinup(tmp_path / "run", start=start, generator=generator, cycles=0, proof=4, extrapolate=True)
    assert history["cycle"].tolist() == ["proof"]
    with files.open_dataset(tmp_path / "run" / "proof" / "states.nc") as ds:
        xr.testing.assert_allclose(
            ds.thetao.isel(time=0, drop=True), last.thetao.isel(time=0, drop=True), atol=1e-5
        )
