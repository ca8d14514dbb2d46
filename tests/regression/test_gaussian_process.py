"""What matters is told from what does not, on members that were left out."""

import numpy as np

from warmstart.regression import mean
from warmstart.regression.gaussian_process import FEWEST, relevance

WEIGHTS = np.full(6, 1 / 6)


def ensemble(members, seed=0, inputs=6):
    """Only the first of the inputs matters."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.5, 0.5, (members, inputs))
    return x, np.sin(5 * x[:, :1]) * rng.standard_normal(6)


def test_an_input_that_matters_is_told_from_those_that_do_not():
    x, states = ensemble(24)
    found = relevance(x, states)
    assert found[0] > 2 * found[1:].max()


def test_members_never_seen_are_predicted_better_than_with_all_inputs_alike(monkeypatch):
    x, states = ensemble(40)
    aware = mean.fit(states[:24], x[:24], WEIGHTS)
    monkeypatch.setattr(mean, "relevance", lambda inputs, coefficients: np.ones(inputs.shape[1]))
    blind = mean.fit(states[:24], x[:24], WEIGHTS)

    def error(model):
        return np.sqrt(np.mean([(model.predict(x[i]) - states[i]) ** 2 for i in range(24, 40)]))

    assert error(aware) < 0.7 * error(blind)


def test_the_order_of_the_members_makes_no_difference():
    x, states = ensemble(24)
    there, back = relevance(x, states), relevance(x[::-1], states[::-1])
    np.testing.assert_allclose(there, back, rtol=0.02)


def test_too_few_members_and_constant_states_leave_the_inputs_alike():
    x, states = ensemble(24)
    np.testing.assert_array_equal(relevance(x[: FEWEST - 1], states[: FEWEST - 1]), 1.0)
    np.testing.assert_array_equal(relevance(x, np.zeros((24, 3))), 1.0)
    np.testing.assert_array_equal(relevance(np.zeros_like(x), states), 1.0)
