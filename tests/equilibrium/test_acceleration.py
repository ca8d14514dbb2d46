"""The extrapolation of the deep ocean: laws on systems whose equilibrium is known, then on real Veros."""

import numpy as np
import pytest
from pydantic import ValidationError

from warmstart.equilibrium import acceleration
from warmstart.equilibrium.acceleration import Acceleration, Levels, Stretch, is_calm, measure, next_shift

LEVELS = Levels(np.array([100.0, 700.0, 1500.0, 3000.0, 4000.0]), np.array([1.0, 3.0, 5.0, 8.0, 6.0]))
YEARS = 350.0  #: a guess of the time scale
EQUILIBRIUM = np.array([20.0, 9.0, 5.0, 3.0, 2.5, 36.0, 35.2, 35.0, 34.9, 34.8])


def coupled(times):
    """A stable matrix of relaxation: each level has a time scale and pulls at its neighbours [1/year]."""
    n = LEVELS.depth.size
    one = (
        np.diag(-1.0 / np.asarray(times))
        + np.diag([1 / 2000] * (n - 1), 1)
        + np.diag([1 / 3000] * (n - 1), -1)
    )
    return np.kron(np.eye(2), one)


def test_a_coupled_slow_system_is_at_rest_after_a_few_stretches():
    """The drift falls twentyfold in five shifts; running as long without shifts leaves most of it."""
    from scipy.linalg import expm

    matrix = coupled([5.0, 120.0, 300.0, 600.0, 900.0])
    year = expm(matrix)
    plain = x = EQUILIBRIUM + np.array([0.0, 0.5, 1.0, 1.5, 1.0, 0.0, 0.05, 0.1, 0.1, 0.05])
    history, deep = [], []
    for _ in range(6):
        profiles = []
        for _ in range(60):
            x = EQUILIBRIUM + year @ (x - EQUILIBRIUM)
            plain = EQUILIBRIUM + year @ (plain - EQUILIBRIUM)
            profiles.append(x)
        history.append(measure(np.arange(30.0), np.array(profiles[-30:])))
        deep.append(abs(100 * LEVELS.deep_mean(history[-1].rate)))
        x = x + next_shift(history, LEVELS, YEARS)
    left = abs(100 * LEVELS.deep_mean(matrix @ (plain - EQUILIBRIUM)))
    assert deep[-1] < 0.05 * deep[0]
    assert left > 0.25 * deep[0]


def test_where_nothing_drifts_nothing_is_shifted():
    assert not next_shift([Stretch(EQUILIBRIUM, np.zeros(10))] * 2, LEVELS, YEARS).any()


def test_the_surface_is_never_shifted_and_no_shift_is_beyond_its_bound():
    shift = next_shift([Stretch(EQUILIBRIUM, np.full(10, 1.0))], LEVELS, YEARS)
    assert shift[0] == shift[5] == 0.0
    assert np.abs(shift[:5]).max() == pytest.approx(acceleration.LARGEST_SHIFT)


def test_noise_in_the_rates_moves_the_profile_by_no_more_than_the_relaxation_time_says():
    """Two stretches that differ by noise alone must not be extrapolated to infinity."""
    rng = np.random.default_rng(1)
    rates = 1e-4 * rng.normal(size=(4, 10))
    history = [Stretch(EQUILIBRIUM + 1e-3 * rng.normal(size=10), r) for r in rates]
    assert np.abs(next_shift(history, LEVELS, YEARS)[:5]).max() < 2 * YEARS * np.abs(rates).max()


def test_calm_looks_at_the_deep_mean_and_at_each_level():
    rate = np.zeros(10)
    assert is_calm(Stretch(EQUILIBRIUM, rate), LEVELS)
    opposite = rate.copy()
    opposite[2], opposite[3], opposite[4] = 2e-3, 6e-5, -8e-5
    assert not is_calm(Stretch(EQUILIBRIUM, opposite), LEVELS), (
        "one level moves though the deep mean does not"
    )
    assert not is_calm(Stretch(EQUILIBRIUM, rate + 2e-4), LEVELS)


def test_a_window_as_long_as_the_stretch_is_refused():
    with pytest.raises(ValidationError, match="no longer than stretch_years"):
        Acceleration(stretch_years=20, window_years=20)
