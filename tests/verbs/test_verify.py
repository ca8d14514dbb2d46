"""Verification with real, tiny Veros runs: the control is a fixed point, and the same command continues."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin
from warmstart.scores.verification import CONTROL_YEARS
from warmstart.verbs.restart import restart
from warmstart.verbs.verify import verify

YEARS = 2
TRACERS = ["thetao", "so"]


@pytest.fixture(scope="module")
def control(tiny_runs):
    return tiny_runs / "member_000" / "states.nc"


@pytest.fixture(scope="module")
def reference(tiny_runs, tmp_path_factory):
    """The last states of all members as a store of training states."""
    states = []
    for folder in sorted(tiny_runs.glob("member_*")):
        with files.open_dataset(folder / "states.nc") as ds:
            states.append(ds[TRACERS].isel(time=-1, drop=True).load())
    ds = xr.concat(states, "sample").assign_coords(split=("sample", ["train"] * len(states)))
    grid = files.open_grid(tiny_runs / "member_000" / "states.nc")
    return files.write_dataset(tmp_path_factory.mktemp("reference") / "states.nc", ds, grid)


def restarts_of(control, folder, offsets):
    """Restarts of the last state of the control, each so many kelvin too warm."""
    with files.open_dataset(control) as ds:
        last = ds.isel(time=-1, drop=True).load()
    states = [last.assign(thetao=last["thetao"] + offset) for offset in offsets]
    ds = xr.concat(states, "sample", data_vars="all").assign_coords(seed=("sample", np.arange(len(offsets))))
    restart(files.write_dataset(folder / "states.nc", ds, files.open_grid(control)), folder / "restarts")
    return folder / "restarts"


@pytest.fixture(scope="module")
def restarts(control, tmp_path_factory):
    return restarts_of(control, tmp_path_factory.mktemp("restarts"), [0.0, 1.0])


@pytest.fixture(scope="module")
def verified(restarts, control, reference, tmp_path_factory):
    """One verification of everything; the tests below only look at it."""
    output = tmp_path_factory.mktemp("verified") / "verify.nc"
    ds, table = verify(restarts, output, years=YEARS, control=control, reference=reference)
    return ds, table, output


def test_all_starts_finish_and_are_compared(verified):
    ds, table, _ = verified
    assert ds["start"].values.tolist() == ["generated 0", "generated 1", "control", "rest"]
    assert (ds["finished"] == 1).all()
    assert ds["snapshot_year"].values.tolist() == pytest.approx([0.0, 30 / 360, *range(1, CONTROL_YEARS + 1)])
    assert ds["day"].values[:3].tolist() == [0.0, 1.0, 2.0]
    ends = {
        str(s): float(ds["day"].where(ds["thetao_mean"].sel(start=s).notnull()).max())
        for s in ds["start"].values
    }
    assert ends.pop("control") == 360.0 * CONTROL_YEARS, (
        "its own variability needs as many years whatever is asked for"
    )
    assert set(ends.values()) == {360.0 * YEARS}
    assert set(table["unit"]) == {"K", "1e-3", "K/century", "Sv/century", "years", "1", "s"}


def test_the_files_hold_what_was_returned(verified):
    ds, table, output = verified
    with files.open_dataset(output) as back:
        xr.testing.assert_allclose(back.load(), ds)
        assert back.attrs["distance_unit"].startswith(
            "spread of the 4 training states of states.nc, at least a tenth"
        )
        assert back.attrs["years"] == YEARS
    read = pd.read_csv(output.with_suffix(".csv"), comment="#")
    pd.testing.assert_frame_equal(read.fillna({"note": "", "bound": ""}), table, check_dtype=False)


def test_the_same_state_through_the_same_door_is_the_same_run(verified):
    ds = verified[0]
    same, control = ds.sel(start="generated 0"), ds.sel(start="control")
    for name in ("thetao_mean", "kinetic_energy", "channel_transport", "distance"):
        written = np.isfinite(same[name])
        assert int(written.sum()) >= 4 and np.array_equal(same[name][written], control[name][written]), name
    assert float(same["shock_kinetic_energy"]) == 0.0


def test_a_wrong_state_is_seen_and_rest_is_worse_than_the_truth(verified):
    ds = verified[0]
    first = ds["distance"].isel(snapshot=0)
    assert float(first.sel(start="generated 1")) > 3 * float(first.sel(start="control"))
    assert float(first.sel(start="rest")) > 2 * float(first.sel(start="control"))
    assert float(ds["shock_channel_transport"].sel(start="rest")) > 0.1


def test_the_threshold_is_the_control_s_own_variability_at_the_time_steps_of_the_starts(verified):
    ds, table, output = verified
    with files.open_dataset(output.with_name("verify_runs") / "control" / "states.nc") as states:
        late = states.isel(time=states["year"].values >= 1.0)[TRACERS].load()
    assert late.sizes["time"] == CONTROL_YEARS and ds.attrs["distance_threshold_pairs"] == 190
    control = ds["distance"].sel(start="control").isel(snapshot=slice(2, None))
    assert 0.0 < float(control.max()) < 2.0 * ds.attrs["distance_threshold"]
    arrived = table.query("start == 'control' and metric == 'years_to_equilibrium'")
    assert arrived["bound"].tolist() == ["="], (
        "a control that does not stay within its own variability judges nobody"
    )


def test_two_years_are_no_drift_and_no_years_saved_and_the_table_says_so(verified):
    table = verified[1]
    drift = table.query("start == 'rest' and metric == 'drift_thetao_deep'").iloc[0]
    assert np.isnan(drift["value"]) and drift["note"].startswith("not judged: the record is too short")
    for metric in ("years_saved", "years_saved_at_0.1"):
        rows = table[table["metric"] == metric]
        assert ((rows["bound"] != "") | (rows["note"] != "")).all()
    needed = table.query("start == 'rest' and metric == 'years_to_0.05'").iloc[0]
    assert (needed["value"], needed["bound"]) == (2.0, ">")


def test_without_the_ocean_model_it_says_what_to_install_and_makes_nothing(restarts, tmp_path):
    """In a process whose imports find no Veros, as in a core install."""
    code = (
        "import importlib.util as u, sys, importlib.abc\n"
        "class Without(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('veros', 'jax'): raise ModuleNotFoundError(name)\n"
        "        return None\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name in ('veros', 'jax') else real(name, package)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from warmstart.errors import UserError\n"
        "from warmstart.verbs.verify import verify\n"
        "try: verify(sys.argv[1], sys.argv[2])\n"
        "except UserError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(restarts), str(tmp_path / "verify.nc")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pip install 'warmstart[veros]'" in said
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_dies_without_a_status_is_told_by_its_log(tmp_path):
    from warmstart.verbs.verify import _reason

    log = tmp_path / "engine.log"
    assert _reason({"message": "killed by signal SIGKILL"}, log) == "killed by signal SIGKILL"
    assert "None" not in _reason({}, log)
    log.write_text("Traceback\nMemoryError: no room\n\n")
    assert _reason({}, log) == "MemoryError: no room"


def test_a_control_goes_on_where_its_member_ended(verified, tiny_runs):
    ds = verified[0].sel(start="control").isel(time=slice(0, 31))
    with files.open_dataset(tiny_runs / "member_000" / "series.nc") as series:
        end = series.isel(time=-1).load()
    assert float(ds["thetao_mean"][0]) == pytest.approx(float(end["thetao_mean"]), abs=1e-9)
    assert float(ds["channel_transport"][0]) == pytest.approx(float(end["channel_transport"]), rel=0.02)
    assert np.abs(ds["thetao_mean"] - end["thetao_mean"]).max() < 0.02
    assert np.abs(ds["channel_transport"] / end["channel_transport"] - 1).max() < 0.05


def test_an_interrupted_verification_is_continued_and_nothing_is_run_twice(
    verified, restarts, control, reference
):
    ds, _, output = verified
    runs = output.with_name("verify_runs")
    times = {path: path.stat().st_mtime_ns for path in runs.glob("*/states.nc")}
    assert len(times) == 4
    arguments = {"years": YEARS, "control": control, "reference": reference, "overwrite": True}
    again, _ = verify(restarts, output, **arguments)
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/states.nc")} == times
    xr.testing.assert_identical(again.drop_attrs(), ds.drop_attrs())


SCRIPT = "import json, sys; from warmstart.verbs.verify import verify; verify(**json.loads(sys.argv[1]))"


def test_a_killed_verification_ends_like_an_undisturbed_one(verified, control, tmp_path):
    restarts = restarts_of(control, tmp_path, [0.0])
    arguments = {
        "restarts": str(restarts),
        "output": str(tmp_path / "verify.nc"),
        "years": YEARS,
        "rest": False,
    }
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, json.dumps(arguments)])
    run = tmp_path / "verify_runs" / "generated_0"
    deadline = time.monotonic() + 120
    while not (run / "status.yaml").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "states.nc").exists() and not (tmp_path / "verify.nc").exists()
    ds, _ = verify(**arguments)
    for name in ("kinetic_energy", "thetao_mean"):
        other = verified[0][name].sel(start="generated 0").dropna("time")
        assert np.array_equal(ds[name].sel(start="generated 0"), other)


def test_an_existing_output_is_refused(restarts, tmp_path):
    for name in ("verify.nc", "verify.csv"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(UserError, match="hoose another output"):
                verify(restarts, folder / "verify.nc", overwrite=overwrite)
        assert [path.name for path in folder.iterdir()] == [name]


def refused(match, restarts, tmp_path, **arguments):
    with pytest.raises(UserError, match=match):
        verify(restarts, tmp_path / "verify.nc", **arguments)
    assert not list(tmp_path.glob("verify*"))


def test_a_control_of_other_parameters_is_refused(restarts, tiny_runs, tmp_path):
    other = tiny_runs / "member_001" / "states.nc"
    refused("no control for these restarts: wind_stress_south is", restarts, tmp_path, control=other)


def test_a_control_of_another_grid_is_refused(restarts, tmp_path):
    path = files.write_dataset(tmp_path / "other.nc", *basin(nx=6, ny=19, nz=6))
    refused("another grid", restarts, tmp_path, control=path)


def test_a_control_with_a_hole_is_refused_by_its_name_and_leaves_nothing(restarts, control, tmp_path):
    holed = tmp_path / "holed.nc"
    with files.open_dataset(control) as ds:
        states, grid = ds.load(), files.open_grid(control)
    wet = np.argwhere(states.thetao.isel(time=-1).notnull().values)[0]
    states["thetao"][{"time": -1, "z": wet[0], "y": wet[1], "x": wet[2]}] = np.nan
    files.write_dataset(holed, states, grid)
    with pytest.raises(UserError, match=r"holed.nc: thetao is not finite at 1 wet points"):
        verify(restarts, tmp_path / "verify.nc", control=holed)
    assert {path.name for path in tmp_path.iterdir()} == {"holed.nc"}


def test_a_reference_without_a_control_is_refused_not_ignored(restarts, control, tmp_path):
    with pytest.raises(UserError, match="give a control too"):
        verify(restarts, tmp_path / "verify.nc", reference=control)


def test_a_reference_of_another_grid_is_refused(restarts, control, tmp_path):
    state, grid = basin(nx=6, ny=19, nz=6)
    path = files.write_dataset(tmp_path / "other.nc", state, grid)
    refused("another grid", restarts, tmp_path, control=control, reference=path)


def test_restarts_of_several_parameter_sets_are_refused(tiny_runs, tmp_path):
    states = []
    for i in (0, 1):
        with files.open_dataset(tiny_runs / f"member_{i:03d}" / "states.nc") as ds:
            states.append(ds.isel(time=-1, drop=True).load())
    grid = files.open_grid(tiny_runs / "member_000" / "states.nc")
    path = files.write_dataset(tmp_path / "states.nc", xr.concat(states, "sample", data_vars="all"), grid)
    restart(path, tmp_path / "restarts")
    refused("one set of parameters at a time", tmp_path / "restarts", tmp_path)


def test_a_folder_without_restarts_is_refused(tmp_path):
    refused(r"holds no restarts\.yaml", tmp_path, tmp_path)


def test_runs_of_another_request_are_refused_not_mixed(verified, restarts, control, reference):
    output = verified[2]
    with pytest.raises(UserError, match=r"another verification \(years differ\)"):
        verify(
            restarts,
            output.with_name("other.nc"),
            years=3,
            control=control,
            folder=output.with_name("verify_runs"),
        )
    assert not output.with_name("other.nc").exists()


def test_a_folder_of_somebody_else_is_refused(restarts, tmp_path):
    (tmp_path / "verify_runs").mkdir()
    (tmp_path / "verify_runs" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds mine\.txt but no verify\.yaml"):
        verify(restarts, tmp_path / "verify.nc")
    assert [path.name for path in (tmp_path / "verify_runs").iterdir()] == ["mine.txt"]
