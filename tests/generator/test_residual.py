"""Scores and the calibrated amplitude."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from warmstart.generator.residual import calibrate
from warmstart.generator.settings import ResidualConfig
from warmstart.ocean.basin import basin
from warmstart.regression.layout import Layout
from warmstart.scores.crps import fair_crps, gaussian_crps


def test_the_score_of_a_normal_law_is_its_definition():
    """CRPS = integral of (F(y) - 1[y > x])^2."""
    for error, std in ((0.4, 1.0), (-2.0, 0.5)):
        law = scipy.stats.norm(0, std)
        below = scipy.integrate.quad(lambda y, law=law: law.cdf(y) ** 2, -10, error)[0]
        above = scipy.integrate.quad(lambda y, law=law: law.sf(y) ** 2, error, 10)[0]
        assert gaussian_crps(np.array(error), np.array(std)) == pytest.approx(below + above, abs=1e-8)


def test_the_ensemble_score_tends_to_that_of_its_law():
    samples = np.random.default_rng(0).standard_normal((4000, 1))
    assert fair_crps(samples, np.array([0.7]))[0] == pytest.approx(
        gaussian_crps(np.array(0.7), np.array(1.0)), abs=0.02
    )


def test_the_ensemble_score_is_fair():
    """Few samples must not look worse than many: the expected score of three equals that of the law."""
    rng = np.random.default_rng(1)
    scores = fair_crps(rng.standard_normal((3, 100_000)), np.full(100_000, 0.7))
    assert scores.mean() == pytest.approx(float(gaussian_crps(np.array(0.7), np.array(1.0))), abs=0.01)


def test_residuals_of_one_law_need_no_correction():
    _, grid = basin(nx=6, ny=8, nz=3)
    layout = Layout(grid)
    patterns = np.random.default_rng(0).standard_normal((3, int(layout.mask.sum())))
    residuals = np.random.default_rng(2).standard_normal((60, 3)) @ patterns
    assert calibrate(residuals, layout, ResidualConfig()) == pytest.approx(1.0, abs=0.25)


def test_one_wild_member_does_not_inflate_all():
    """Eleven members without and one with a large error: the amplitude that scores best is far below one."""
    _, grid = basin(nx=6, ny=8, nz=3)
    layout = Layout(grid)
    residuals = 1e-3 * np.random.default_rng(0).standard_normal((12, int(layout.mask.sum())))
    residuals[5] *= 1e4
    assert calibrate(residuals, layout, ResidualConfig()) < 0.5
