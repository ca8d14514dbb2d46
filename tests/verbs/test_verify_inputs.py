"""What a verification takes in, without running an ocean: controls, references, folders of former runs, reasons."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from warmstart.equilibrium import distance
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.verbs import verify

STATE, GRID = basin(nx=6, ny=8, nz=4)
VALUES = parameters.defaults()


def control(path, phases, lead="time", values=VALUES, **changes):
    """States of a control, the n-th warmer by n, in years 10, 20, …"""
    count = len(phases)
    states = xr.concat([STATE + n for n in range(count)], lead).assign(changes)
    states = states.assign_coords(phase=(lead, list(phases)), year=(lead, 10.0 * np.arange(1, count + 1)))
    return files.write_dataset(path, parameters.attach(states, values), GRID, overwrite=True)


@pytest.mark.parametrize("lead", ["time", "sample"])
def test_the_states_of_a_control_come_with_year_and_phase_along_any_dimension(tmp_path, lead):
    path = control(tmp_path / "c.nc", ["transient", "equilibrium", "transient", "equilibrium"], lead)
    found = verify._control_states(path, VALUES, GRID)
    assert found.thetao.dims == ("time", "z", "y", "x")
    assert found.settled.values.tolist() == [False, True, False, True]
    assert found.year.values.tolist() == [10.0, 20.0, 30.0, 40.0]
    np.testing.assert_array_equal(found.so.isel(time=2), STATE.so + 2)


def test_one_state_without_a_phase_is_an_equilibrium(tmp_path):
    path = files.write_dataset(tmp_path / "one.nc", parameters.attach(STATE, VALUES), GRID)
    found = verify._control_states(path, VALUES, GRID)
    assert found.sizes["time"] == 1 and found.settled.all() and np.isnan(found.year).all()


def test_controls_that_do_not_serve_are_refused_with_the_reason(tmp_path):
    with pytest.raises(UserError, match="no state of the phase 'equilibrium'"):
        verify._control_states(control(tmp_path / "c.nc", ["transient"] * 2), VALUES, GRID)
    bad = control(tmp_path / "d.nc", ["equilibrium"])
    other = VALUES | {"bottom_drag": 2 * VALUES["bottom_drag"]}
    with pytest.raises(UserError, match=r"bottom_drag is .*, not .* Verify one set"):
        verify._control_states(bad, other, GRID)
    verify._control_states(bad, VALUES | {"bottom_drag": VALUES["bottom_drag"] * (1 + 1e-6)}, GRID)
    del (fewer := dict(VALUES))["bottom_drag"]
    with pytest.raises(UserError, match="bottom_drag is missing"):
        verify._control_states(control(tmp_path / "e.nc", ["equilibrium"], values=fewer), VALUES, GRID)
    with pytest.raises(UserError, match="holds no so"):
        path = files.write_dataset(tmp_path / "f.nc", parameters.attach(STATE[["thetao"]], VALUES), GRID)
        verify._control_states(path, VALUES, GRID)
    for name in ("thetao", "so"):
        holed = STATE[name].copy(deep=True)
        holed[0, 4, 3] = np.nan
        path = control(
            tmp_path / "g.nc", ["equilibrium"] * 2, **{name: xr.concat([STATE[name], holed], "time")}
        )
        with pytest.raises(UserError, match=f"{name} is not finite at 1 wet"):
            verify._control_states(path, VALUES, GRID)


def store(path, splits, phases):
    """A store of states that differ by their number from the first."""
    states = xr.concat([STATE + n for n in range(len(splits))], "sample")
    coords = {"split": ("sample", splits), "phase": ("sample", phases)}
    return files.write_dataset(path, states.assign_coords(coords), GRID, overwrite=True)


def test_a_reference_is_the_spread_of_its_settled_training_states_alone(tmp_path):
    splits, phases = ["train", "test", "train", "train"], ["equilibrium"] * 3 + ["transient"]
    path = store(tmp_path / "states.nc", splits, phases)
    spread, said = verify.reference_spread(path, GRID)
    assert said == "spread of the 2 training states of states.nc"
    for name in distance.TRACERS:  # 0 and 2: a standard deviation of 1 everywhere
        np.testing.assert_allclose(spread[name], 1.0)
    phases[0] = "transient"
    with pytest.raises(UserError, match="fewer than two training states"):
        verify.reference_spread(store(tmp_path / "few.nc", splits, phases), GRID)
    with pytest.raises(UserError, match="fewer than two training states"):
        verify.reference_spread(files.write_dataset(tmp_path / "one.nc", STATE, GRID), GRID)


def test_a_generator_gives_the_spread_of_its_normalizer(tmp_path):
    (tmp_path / "generator").mkdir()
    levels = xr.DataArray(np.arange(1.0, 5.0), dims="z")
    both = xr.Dataset({"thetao_spread": levels, "so_spread": 0.1 * levels})
    path = tmp_path / "generator" / "normalizer.nc"
    files.write_dataset(path, both, GRID)
    spread, said = verify.reference_spread(tmp_path / "generator", GRID)
    np.testing.assert_allclose(spread.thetao, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(spread.so, [0.1, 0.2, 0.3, 0.4])
    assert said == "spread of the training members of generator"
    files.write_dataset(path, both[["so_spread"]], GRID, overwrite=True)
    with pytest.raises(UserError, match="holds no thetao_spread; train"):
        verify.reference_spread(tmp_path / "generator", GRID)


def test_a_work_folder_is_continued_for_the_same_request_and_for_no_other(tmp_path):
    folder = tmp_path / "work"
    request = {"years": 3, "samples": [0, 1], "control": None}
    verify._claim(folder, request, overwrite=False)
    (folder / "rest").mkdir()
    (folder / "rest" / "status.yaml").write_text("state: finished\n")
    verify._claim(folder, dict(request), overwrite=False)
    verify._claim(folder, dict(request), overwrite=True)
    assert (folder / "rest" / "status.yaml").exists()
    other = request | {"years": 4, "control": "abc"}
    with pytest.raises(UserError, match=r"another verification \(years, control differ\)"):
        verify._claim(folder, other, overwrite=False)
    verify._claim(folder, other, overwrite=True)
    assert [path.name for path in folder.iterdir()] == [verify.REQUEST]
    verify._claim(folder, other, overwrite=False)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError):
        verify._claim(folder, request, overwrite=True)
    assert (folder / "thesis.tex").exists()


def test_the_reason_of_an_engine_that_ended_is_what_was_noted_else_the_last_line_of_its_log(tmp_path):
    log = tmp_path / "engine.log"
    assert verify._reason({}, log) == "it ended without a word"
    log.write_text("starting\n  Killed  \n\n \n")
    assert verify._reason({}, log) == "Killed"
    assert verify._reason({"message": "out of memory"}, log) == "out of memory"


def test_starts_are_named_by_what_they_are_and_run_in_folders_of_these_names(tmp_path):
    samples = [verify_sample(0, seed=7), verify_sample(1), verify_sample(12, seed=0)]
    asked = {"restarts": tmp_path / "restarts", "folder": tmp_path / "work", "control": None}
    found = verify._starts(SimpleNamespace(**asked, rest=True), SimpleNamespace(samples=samples), None)
    assert [start.name for start in found] == ["generated 0", "state 1", "generated 12", "rest"]
    assert [start.folder.name for start in found] == ["generated_0", "state_1", "generated_12", "rest"]
    assert (
        found[-1].restart == "rest" and Path(found[1].restart) == (tmp_path / "restarts" / "001.h5").resolve()
    )
    without = verify._starts(SimpleNamespace(**asked, rest=False), SimpleNamespace(samples=samples), None)
    assert [start.name for start in without] == ["generated 0", "state 1", "generated 12"]


def verify_sample(number, seed=None):
    return type("S", (), {"sample": number, "seed": seed, "file": f"{number:03d}.h5"})


def test_a_second_network_of_a_generator_has_the_spread_of_the_first(tmp_path):
    _, grid = basin(nx=6, ny=8, nz=4)
    one = xr.Dataset({f"{n}_spread": xr.ones_like(grid.gdept_1d) * 0.5 for n in ("thetao", "so")})
    (tmp_path / "g" / "other").mkdir(parents=True)
    files.write_dataset(tmp_path / "g" / "normalizer.nc", one, grid)
    (tmp_path / "g" / "other" / "config.yaml").write_text("{}\n")
    whole, other = (verify.reference_spread(tmp_path / p, grid)[0] for p in ("g", "g/other"))
    assert other.identical(whole)


@pytest.mark.parametrize("years", [0, -3, 10**15])
def test_years_that_nobody_can_run_are_refused_before_anything_else(tmp_path, years):
    with pytest.raises(UserError, match="expected 1 to 1,000,000 model years"):
        verify.verify(tmp_path / "restarts", tmp_path / "v.nc", years=years)


def test_a_control_without_states_or_along_two_dimensions_is_refused(tmp_path):
    path = control(tmp_path / "none.nc", ["equilibrium"])
    with files.open_dataset(path) as ds:
        none = ds.load().isel(time=slice(0, 0))
        both = ds.isel(time=[0]).expand_dims("sample")
    with pytest.raises(UserError, match="holds no state: time has length 0"):
        verify._control_states(files.write_dataset(tmp_path / "a.nc", none, GRID), VALUES, GRID)
    with pytest.raises(UserError, match="states lie along sample and time"):
        verify._control_states(files.write_dataset(tmp_path / "b.nc", both, GRID), VALUES, GRID)


@pytest.mark.parametrize("name", ["phase", "year"])
def test_labels_of_a_control_or_of_a_reference_that_do_not_fit_its_states_are_refused_in_a_sentence(
    tmp_path, name
):
    states = xr.concat([STATE, STATE + 1], "sample").assign_coords({name: ("y", ["equilibrium"] * 8)})
    path = files.write_dataset(tmp_path / "c.nc", parameters.attach(states, VALUES), GRID)
    with pytest.raises(UserError):
        verify._control_states(path, VALUES, GRID)
    if name == "phase":
        with pytest.raises(UserError, match="expected a store that 'dataset' made"):
            verify.reference_spread(path, GRID)
