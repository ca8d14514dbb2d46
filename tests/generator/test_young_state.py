"""The mean from a young state: better than without it where it says something, honest where it does not."""

import numpy as np
import pytest

from warmstart.generator import young_state
from warmstart.ocean.basin import basin
from warmstart.regression import mean
from warmstart.regression.layout import Layout

AGES = np.array([10.0, 50.0, 200.0])


@pytest.fixture(scope="module")
def layout():
    return Layout(basin(nx=5, ny=7, nz=3)[1])


def ensemble(layout, members=14, unexplained=1.0, weather=0.0, seed=0):
    """Relaxations from one state towards equilibria that the parameter explains in part."""
    rng, wet = np.random.default_rng(seed), int(layout.mask.sum())
    inputs = rng.uniform(-0.5, 0.5, (members, 1))
    patterns = rng.standard_normal((3, wet))
    other = unexplained * rng.standard_normal((members, 2))
    equilibrium = np.concatenate([2 * inputs, other], 1) @ patterns
    rest = rng.standard_normal(wet)
    transients = np.stack([rest + (equilibrium - rest) * (1 - np.exp(-age / 80)) for age in AGES])
    return (
        equilibrium,
        transients + weather * rng.standard_normal((len(AGES), members, 1)) * patterns[0],
        inputs,
    )


def fitted(layout, equilibrium, transients, inputs):
    weights = layout.to_wet(layout.weights)
    without = {
        "state": (equilibrium.sum(0) - equilibrium) / (len(equilibrium) - 1),
        "both": mean.crossfit(equilibrium, inputs, weights)[0],
    }
    return without, young_state.fit_spinup(equilibrium, transients, AGES, inputs, without, layout)


def error(prediction, truth):
    return float(np.sqrt(((prediction - truth) ** 2).mean()))


def test_a_young_state_lowers_the_error_the_more_the_older_it_is(layout):
    """Linear relaxation: the state tells what the parameter does not."""
    case = ensemble(layout, weather=0.1)
    without, (_, predictions, spreads) = fitted(layout, *case)
    for given in ("state", "both"):
        errors = [error(p, case[0]) for p in predictions[given]]
        assert errors[1] < 0.67 * error(without[given], case[0])
    errors = [error(p, case[0]) for p in predictions["state"]]
    assert errors[0] > errors[1] > errors[2]
    assert (np.diff(spreads["state"].mean(1)) < 0).all()


def test_a_member_does_not_enter_its_own_prediction(layout, monkeypatch):
    """With the weights held fixed nothing that a member's equilibrium is reaches its own corrections."""
    monkeypatch.setattr(young_state, "stack", lambda *_: np.full((3, layout.shape[0]), 0.3))
    equilibrium, transients, inputs = ensemble(layout, members=8)
    without, (_, before, _) = fitted(layout, equilibrium, transients, inputs)
    changed = equilibrium.copy()
    changed[4] += 100.0
    after = young_state.fit_spinup(changed, transients, AGES, inputs, without, layout)[1]
    for given in before:
        np.testing.assert_allclose(after[given][:, 4], before[given][:, 4], atol=1e-5)
        assert not np.allclose(after[given][:, 5], before[given][:, 5], atol=1e-2)


def test_a_new_member_is_predicted_at_ages_between_those_of_training(layout):
    equilibrium, transients, inputs = ensemble(layout, members=15)
    model = fitted(layout, equilibrium[:-1], transients[:, :-1], inputs[:-1])[1][0]
    base = mean.fit(equilibrium[:-1], inputs[:-1], layout.to_wet(layout.weights)).predict(inputs[-1])
    rest = transients[0, -1] - (equilibrium[-1] - transients[0, -1]) * (np.exp(10 / 80) - 1)
    state = rest + (equilibrium[-1] - rest) * (1 - np.exp(-100 / 80))
    found, _ = model.predict(base, inputs[-1], state, 100.0, "both")
    assert error(found, equilibrium[-1]) < 0.5 * error(base, equilibrium[-1])


def test_an_age_is_guessed_within_a_factor_of_two(layout):
    equilibrium, transients, inputs = ensemble(layout, members=20, unexplained=0.3)
    model = fitted(layout, equilibrium[:-1], transients[:, :-1], inputs[:-1])[1][0]
    for age, state in zip(AGES, transients[:, -1], strict=True):
        assert 0.5 < model.guess_age(state) / age < 2


def test_a_state_unlike_any_other_is_noticed(layout):
    equilibrium, transients, inputs = ensemble(layout)
    model = fitted(layout, equilibrium, transients, inputs)[1][0]
    assert model.outside(transients[1, 0], 50.0) <= 1
    far = transients[1, 0] + 10 * (transients[1, 0] - transients[1].mean(0))
    assert model.outside(far, 50.0) > 2


def test_where_corrections_say_nothing_their_weights_vanish(layout):
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((12, 3, int(layout.mask.sum())))
    residual = parts[:, 0] * 0.5 + 0.01 * rng.standard_normal(parts[:, 0].shape)
    weights = young_state.stack(parts, residual, layout)
    wet = layout.mask.any((1, 2))
    np.testing.assert_allclose(weights[0, wet], 0.5, atol=0.05)
    np.testing.assert_allclose(weights[1:, wet], 0.0, atol=0.05)
