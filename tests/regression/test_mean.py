"""The mean model: exact where the ensemble is simple, honest where it is not."""

import numpy as np
import pytest

from warmstart.errors import UserError
from warmstart.regression import mean

WEIGHTS = np.full(40, 1 / 40)


def ensemble(members=12, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-0.5, 0.5, (members, 2))
    patterns = rng.standard_normal((2, 40))
    return inputs @ patterns + 3.0 + noise * rng.standard_normal((members, 40)), inputs, patterns


def test_a_linear_ensemble_is_reproduced():
    states, inputs, patterns = ensemble()
    model = mean.fit(states, inputs, WEIGHTS)
    new = np.array([0.3, -0.2])
    assert np.abs(model.predict(new) - (new @ patterns + 3.0)).max() < 0.02 * np.abs(states - 3.0).max()


def test_left_out_residuals_are_larger_than_residuals_in_the_sample():
    """Residuals of members that the fit has seen would make every sample too certain."""
    states, inputs, _ = ensemble(noise=0.3)
    model = mean.fit(states, inputs, WEIGHTS)
    seen = np.stack([model.predict(x) for x in inputs]) - states
    unseen = mean.crossfit(states, inputs, WEIGHTS)[0] - states
    assert (unseen**2).mean() > 1.2 * (seen**2).mean()


def test_a_member_does_not_enter_its_own_prediction():
    states, inputs, _ = ensemble(noise=0.3)
    before = mean.crossfit(states, inputs, WEIGHTS)[0][4]
    states[4] += 100.0
    np.testing.assert_array_equal(mean.crossfit(states, inputs, WEIGHTS)[0][4], before)


def test_the_prediction_is_less_certain_away_from_the_members():
    states, inputs, _ = ensemble(noise=0.1)
    model = mean.fit(states, inputs, WEIGHTS)
    assert model.spread(np.array([3.0, 3.0])) > 2 * model.spread(inputs.mean(0))


def test_one_candidate_is_the_gaussian_process_of_scikit_learn():
    """An independent implementation of the same equations."""
    gp = pytest.importorskip("sklearn.gaussian_process", reason="scikit-learn is not installed")
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels", reason="scikit-learn is not installed")
    states, inputs, _ = ensemble(noise=0.3)
    fitted = mean.fit(states, inputs, WEIGHTS)
    linear, smooth, length, noise = 0.3, 1.0, 1.0, 0.1
    model = mean.MeanModel(
        fitted.offset, fitted.basis, fitted.coefficients, inputs, np.ones((1, 2)), np.zeros(len(fitted.basis)), np.array([[linear, smooth, length, noise]]),
        np.ones((1, len(fitted.basis))),
    )  # fmt: skip
    kernel = kernels.ConstantKernel(12 / 2 * linear) * kernels.DotProduct(1e-9) + kernels.ConstantKernel(
        smooth
    ) * kernels.RBF(length * np.sqrt(2))
    new, scale = np.array([0.2, 0.4]), np.sqrt((fitted.coefficients[:, 0] ** 2).mean())
    other = gp.GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(
        inputs, fitted.coefficients[:, 0] / scale
    )
    expected, std = other.predict(new[None], return_std=True)
    value, variance = model.coefficients_at(new)
    assert value[0] == pytest.approx(expected[0] * scale)
    assert variance[0] == pytest.approx((std[0] * scale) ** 2)


def test_modes_are_orthonormal_in_the_volume_weights_and_complete():
    states, _, _ = ensemble(noise=0.3)
    weights = np.linspace(1, 3, 40) / np.linspace(1, 3, 40).sum()
    anomalies = states - states.mean(0)
    basis, coefficients, kept = mean.eofs(anomalies, weights, 1.0)
    np.testing.assert_allclose((basis * weights) @ basis.T, np.eye(len(basis)), atol=1e-10)
    np.testing.assert_allclose(coefficients @ basis, anomalies, atol=1e-10)
    assert (np.diff(kept) <= 1e-12).all()


def test_linear_properties_of_the_members_survive():
    """No divergence, no flow through walls: whatever is linear and holds for all members holds for the prediction."""
    states, inputs, _ = ensemble(noise=0.3)
    states[:, 0] = states[:, 1] - states[:, 2]
    x = mean.fit(states, inputs, WEIGHTS).predict(np.array([0.1, 0.1]))
    assert x[0] == pytest.approx(x[1] - x[2], abs=1e-12)


def test_an_ensemble_without_varied_parameters_predicts_its_mean():
    states, _, _ = ensemble(noise=0.3)
    model = mean.fit(states, np.zeros((12, 0)), WEIGHTS)
    np.testing.assert_allclose(model.predict(np.zeros(0)), states.mean(0), atol=1e-8)


def test_climatology_knows_its_inputs_and_asks_nothing_of_them():
    """A spin-up model tells from them how far a state is from those of training."""
    states, x, _ = ensemble(noise=0.3)
    model = mean.fit(states, x, WEIGHTS, model="climatology")
    np.testing.assert_allclose(model.predict(x[0]), states.mean(0), atol=1e-8)
    np.testing.assert_array_equal(model.inputs, x)


def test_parts_that_depend_on_other_inputs_are_told_apart():
    """One part follows the first input, the other the second: each is predicted better with relevances of its own."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-0.5, 0.5, (40, 6))
    states = np.hstack([np.sin(5 * x[:, :1]) * np.ones(20), np.sin(5 * x[:, 1:2]) * np.ones(20)])

    def split(anomalies):
        first = np.arange(40) < 20
        return [np.where(first, anomalies, 0.0), np.where(first, 0.0, anomalies)]

    def error(split):
        model = mean.fit(states[:24], x[:24], WEIGHTS, split=split)
        return np.sqrt(np.mean([(model.predict(x[i]) - states[i]) ** 2 for i in range(24, 40)]))

    assert error(split) < 0.8 * error(None)


def test_one_part_that_is_all_changes_nothing():
    states, inputs, _ = ensemble(noise=0.3)
    whole, parts = (mean.fit(states, inputs, WEIGHTS, split=s) for s in (None, lambda a: [a]))
    np.testing.assert_array_equal(whole.predict(inputs[0]), parts.predict(inputs[0]))


def test_weights_that_no_regression_can_be_solved_with_are_refused_in_a_sentence():
    seen, here = np.zeros((3, 2)), np.zeros((1, 2))
    table = np.array([[1e30, 1.0, 1.0, 0.0, 1.0, 1.0]])
    with pytest.raises(UserError, match="weights are damaged"):
        mean._predicted(seen, np.ones((3, 1)), table, np.ones((1, 1)), here)


def test_states_that_are_not_finite_are_no_modes_but_a_sentence():
    with pytest.raises(UserError, match="make the store again"):
        mean.eofs(np.array([[1.0, np.nan], [0.0, 1.0]]), np.full(2, 0.5), 0.99)
