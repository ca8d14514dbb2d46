"""generate from an initial state: alone or with parameters, and nothing foreign slips in."""

import numpy as np
import pytest
import xarray as xr

from small_ensemble import AGES, RANGES, truth
from warmstart.errors import UserError
from warmstart.generator.checkpoint import load
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.verbs.generate import generate
from warmstart.verbs.train import train

ASKED = {"wind_stress_south": 0.35, "vertical_diffusivity": 1.5e-4}


@pytest.fixture(scope="module")
def young():
    """A state of year 50 on its way to a known equilibrium, and the equilibrium."""
    state, grid = basin(nx=9, ny=14, nz=5)
    goal = truth(state, grid, parameters.resolve(ASKED))
    return state + (goal - state) * (1 - np.exp(-50 / 40)), goal


def error(states, goal):
    return float(np.sqrt(((states.thetao.mean("sample") - goal.thetao) ** 2).mean()))


def test_a_state_alone_leads_to_its_equilibrium(generator, young):
    state, goal = young
    alone = generate(generator, initial=state, age=50, n=4)
    layout, offset = generator.layout, generator.mean.offset
    climatology = layout.unpack(generator.normalizer.restore(layout.from_wet(offset[None])))
    assert error(alone, goal) < 0.5 * error(climatology, goal)
    assert alone.attrs["given"] == "state"
    assert not set(RANGES) & set(alone.data_vars)


def test_the_age_may_be_left_out_and_is_then_written_down(generator, young):
    states = generate(generator, ASKED, initial=young[0])
    assert AGES[0] <= states.attrs["initial_state_age_guessed"] <= AGES[-1]
    assert "initial_state_age_guessed" not in generate(generator, ASKED, initial=young[0], age=50).attrs


def test_a_sample_from_a_state_depends_on_its_seed_only(generator, young):
    batch = generate(generator, initial=young[0], age=50, n=3)
    alone = generate(generator, initial=young[0], age=50, n=1, seed=2)
    xr.testing.assert_identical(batch.isel(sample=[2]).drop_attrs(), alone.drop_attrs())


@pytest.fixture
def several(young, generator, tmp_path):
    """A file with the states of two years, as a run writes it."""
    ds = xr.concat([young[0], young[1]], "time").assign_coords(year=("time", [50.0, 600.0]))
    files.write_dataset(tmp_path / "run.nc", ds, generator.grid)
    return tmp_path / "run.nc"


def test_of_several_states_the_age_chooses_one(generator, young, several):
    from_file = generate(generator, initial=several, age=50)
    xr.testing.assert_allclose(
        from_file.thetao, generate(generator, initial=young[0], age=50).thetao, atol=1e-3
    )
    with pytest.raises(UserError, match=r"holds 2 states of the years 50, 600; choose one with --age"):
        generate(generator, initial=several)
    with pytest.raises(UserError, match="holds 2 states"):
        generate(generator, initial=several, age=70)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda s: s.drop_vars("so"), "no variable so"),
        (lambda s: s.assign(so=s.so.where(s.thetao < s.thetao.max())), "so is not finite at . wet point"),
        (lambda s: s.isel(x=slice(0, 8)), "is on another grid"),
        (lambda s: s.assign(thetao=s.thetao + 60), "times as far from the training states"),
    ],
)
def test_a_state_that_can_not_be_right_is_refused(generator, young, spoil, message):
    with pytest.raises(UserError, match=message):
        generate(generator, initial=spoil(young[0]), age=50)


def test_an_age_outside_training_is_not_taken_for_another_configuration(generator, young):
    with pytest.raises(UserError, match=r"is 5000 years; trained on 10 to 50\. Accept an extrapolation"):
        generate(generator, initial=young[1], age=5000)
    with pytest.raises(UserError, match=r"Is it a state of the same configuration\? Accept"):
        generate(generator, initial=young[0].assign(thetao=young[0].thetao + 60), age=50)


def test_a_file_on_another_mesh_is_refused(generator, tmp_path):
    state, grid = basin(nx=9, ny=14, nz=6)
    files.write_dataset(tmp_path / "other.nc", state, grid)
    with pytest.raises(UserError, match="another grid"):
        generate(generator, initial=tmp_path / "other.nc", age=50)


@pytest.mark.parametrize("age", [-3.0, 0.0, float("nan")])
def test_an_age_is_a_positive_number_of_years(generator, young, age):
    with pytest.raises(UserError, match="positive number of years"):
        generate(generator, initial=young[0], age=age)


def test_an_age_far_outside_training_is_an_extrapolation(generator, young):
    with pytest.raises(UserError, match="trained on 10 to 50"):
        generate(generator, initial=young[0], age=5000)
    states = generate(generator, initial=young[0], age=5000, extrapolate=True)
    assert "5000 years" in states.attrs["extrapolated"]


def test_an_age_without_a_state_is_refused(generator):
    with pytest.raises(UserError, match="age was given without the state"):
        generate(generator, ASKED, age=50)


def test_a_generator_that_takes_no_state_says_so(ensemble_store, young, tmp_path):
    config = {
        "condition": {"initial_state": False},
        "residual": {"model": "none"},
        "mean": {"model": "ridge"},
    }
    train(ensemble_store, config, tmp_path / "generator")
    with pytest.raises(UserError, match="takes no initial state"):
        generate(load(tmp_path / "generator"), initial=young[0])
