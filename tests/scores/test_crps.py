"""The score is fair and proper."""

import numpy as np
import pytest

from warmstart.scores.crps import fair_crps


def draws(members, seed, scale=1.0, mean=0.0):
    return mean + scale * np.random.default_rng(seed).normal(size=(members, 400))


def test_the_fair_crps_does_not_depend_on_the_number_of_members_and_is_the_gaussian_one():
    """E CRPS of a reliable Gaussian ensemble is 1 / sqrt(pi), whatever its size (Gneiting and Raftery 2007)."""
    for members in (2, 5, 20):
        values = [fair_crps(draws(members, s), draws(1, 1000 + s)[0]).mean() for s in range(12)]
        assert np.mean(values) == pytest.approx(1 / np.sqrt(np.pi), abs=0.02), members


def test_the_crps_prefers_the_true_distribution():
    truth = draws(1, 99)[0]
    honest, cold, timid = (
        fair_crps(draws(20, 1, scale, mean), truth).mean()
        for scale, mean in ((1.0, 0.0), (1.0, 0.7), (0.2, 0.0))
    )
    assert honest < cold and honest < timid


def test_the_crps_is_the_formula_in_plain_numpy():
    a, t = draws(4, 5), draws(1, 6)[0]
    between = np.abs(a[:, None] - a[None]).sum((0, 1)) / (2 * 4 * 3)
    np.testing.assert_allclose(fair_crps(a, t), np.abs(a - t).mean(0) - between, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("members", [2, 3, 16])
def test_the_score_is_that_of_scoringrules_to_round_off(members):
    import scoringrules

    rng = np.random.default_rng(members)
    x, y = rng.normal(size=(members, 7, 5)), rng.normal(size=(7, 5))
    x[0, 0] = x[1, 0]
    published = scoringrules.crps_ensemble(y, np.moveaxis(x, 0, -1), estimator="fair", backend="numpy")
    np.testing.assert_allclose(fair_crps(x, y), published, rtol=1e-12, atol=1e-14)
    x[1, 3, 2] = np.nan
    assert np.isnan(fair_crps(x, y)).sum() == 1
