import numpy as np
import pytest
import xarray as xr

from warmstart.engine.verdict import is_stationary, judge, trend
from warmstart.errors import UserError

YEARS = np.arange(0.0, 601.0)


def series(deep, channel=150.0, years=YEARS):
    return xr.Dataset(
        {
            "thetao_deep": ("time", np.broadcast_to(deep, years.shape)),
            "channel_transport": ("time", np.broadcast_to(channel, years.shape)),
        },
        {"year": ("time", years)},
    )


@pytest.mark.parametrize(
    ("drift", "verdict"),
    [(0.009, "equilibrium"), (-0.009, "equilibrium"), (0.011, "near"), (-0.049, "near"), (0.051, "drifting")],
)
def test_the_limits_are_a_hundredth_and_a_twentieth_of_a_kelvin_a_century(drift, verdict):
    found = judge(series(4.0 + drift / 100 * YEARS))
    assert found.verdict == verdict
    assert found.drift == pytest.approx(drift)


def test_only_the_last_two_centuries_count():
    """A run that drifted for 400 years and then came to rest is at equilibrium."""
    assert judge(series(np.minimum(YEARS, 400.0) * 0.01)).verdict == "equilibrium"


def test_a_steady_deep_ocean_under_a_moving_channel_is_only_near():
    found = judge(series(4.0, 150.0 + 0.05 * YEARS))
    assert (found.verdict, found.moving) == ("near", ("channel_transport",))


def test_an_oscillating_channel_is_stationary():
    """Five-year swings of 10 Sv, as DINO has them, are variability and no trend."""
    assert judge(series(4.0, 150.0 + 10.0 * np.sin(2 * np.pi * YEARS / 5.0))).verdict == "equilibrium"


def test_a_short_series_proves_nothing():
    years = np.arange(49.0)
    assert judge(series(4.0, years=years)).verdict == "drifting"
    assert np.isnan(judge(series(4.0, years=years[:2])).drift)


def test_a_series_that_is_not_finite_is_drifting():
    assert judge(series(np.where(YEARS == 500, np.nan, 4.0))).verdict == "drifting"
    assert not is_stationary(YEARS, np.full(YEARS.size, np.nan))


def test_the_standard_error_counts_independent_values_only():
    """Red noise has trends by chance: with independent errors assumed, most of them would pass for real ones."""
    rng = np.random.default_rng(0)
    real = 0
    for _ in range(200):
        noise = np.zeros(200)
        for i in range(1, 200):
            noise[i] = 0.9 * noise[i - 1] + rng.normal()
        slope, error = trend(np.arange(200.0), noise)
        real += abs(slope) > 2 * error
    assert real < 0.15 * 200


def test_a_series_without_deep_temperature_is_refused():
    with pytest.raises(UserError, match="thetao_deep"):
        judge(series(4.0).drop_vars("thetao_deep"))
