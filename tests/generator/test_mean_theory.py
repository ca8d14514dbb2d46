"""Theory as an input of the mean: scaled like a parameter, of use where it holds, saved with the generator."""

import numpy as np
import pytest
import xarray as xr

from small_ensemble import RANGES, TINY
from warmstart.errors import UserError
from warmstart.generator.checkpoint import load
from warmstart.ocean import parameters
from warmstart.regression import mean
from warmstart.regression.theory import FEATURES, pycnocline, theory_of
from warmstart.verbs import train
from warmstart.verbs.generate import generate

BOX = RANGES | {"eddy_diffusivity": (400.0, 3000.0), "restoring_temperature_north": (0.0, 6.0)}


def theory(box):
    """Of a box; the other parameters have their defaults."""
    return theory_of(ordered(box), parameters.defaults())


def ordered(box):
    """The box in the order of the table."""
    return {name: box[name] for name in parameters.defaults() if name in box}


def inputs_of(members, box):
    """Scaled parameters in the order of the table."""
    return np.stack([parameters.scaled(m, ordered(box)) for m in members])


def test_the_features_have_the_spread_of_a_parameter_over_the_box():
    sample = inputs_of(parameters.sobol(BOX, 128, 3), BOX)
    known = theory(BOX).extend(sample)
    assert known.shape == (128, len(BOX) + len(FEATURES))
    assert (known[:, : len(BOX)] == sample).all()
    np.testing.assert_allclose(known.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(known.std(0), 12**-0.5, rtol=0.1)


def test_what_follows_the_pycnocline_is_learned_from_fewer_members():
    """Left-out members of a state that is the depth of theory itself."""
    members = parameters.sobol(BOX, 16, 3)
    depth = np.array([pycnocline(parameters.defaults() | m)["depth"] for m in members])
    state, inputs = (depth / depth.std())[:, None], inputs_of(members, BOX)
    errors = [
        np.abs(mean.crossfit(state, x, np.ones(1))[0] - state).mean()
        for x in (inputs, theory(BOX).extend(inputs))
    ]
    assert errors[1] < 0.5 * errors[0]


def test_a_generator_keeps_what_it_was_told_of_theory(ensemble_store, tmp_path):
    config = TINY | {"mean": {"theory": True}, "residual": {"model": "gaussian"}}
    folder = tmp_path / "generator"
    train.train(ensemble_store, config, folder)
    again = load(folder)
    assert again.mean.inputs.shape[1] == len(RANGES) + len(FEATURES)
    first, second = (generate(g, {"wind_stress_south": 0.3}, n=1) for g in (again, folder))
    xr.testing.assert_equal(first, second)
    assert np.isfinite(first.thetao.values[first.thetao.notnull().values]).all()


def test_a_generator_of_another_theory_is_refused(ensemble_store, tmp_path, monkeypatch):
    """Features that mean something else than in training must not pass for them."""
    folder = tmp_path / "generator"
    train.train(ensemble_store, TINY | {"mean": {"theory": True}, "residual": {"model": "none"}}, folder)
    load(folder)
    monkeypatch.setattr("warmstart.regression.theory.EFFICIENCY", 0.03)
    with pytest.raises(UserError, match="another version of the theory"):
        load(folder)


def test_where_theory_says_nothing_the_mean_is_fitted_without_and_says_so(ensemble_store, tmp_path, caplog):
    """The default asks for theory; an ensemble of something else is no mistake."""
    config = {"residual": {"model": "none"}, "condition": {"parameters": [], "initial_state": False}}
    made = train.train(ensemble_store, config, tmp_path / "generator")
    assert "theory of the pycnocline needs" in caplog.text and "fitted without" in caplog.text
    assert not made.config.config.mean.theory and not load(tmp_path / "generator").config.config.mean.theory


def test_parameters_that_theory_needs_and_nobody_knows_are_named():
    fixed = {n: v for n, v in parameters.defaults().items() if n != "restoring_salinity_north"}
    with pytest.raises(UserError, match="needs restoring_salinity_north"):
        theory_of(BOX, fixed)
    with pytest.raises(UserError, match="says nothing"):
        theory_of({"bottom_drag": (3e-7, 1e-5)}, parameters.defaults())
