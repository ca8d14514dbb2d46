import numpy as np
import pytest
import xarray as xr
import yaml
from verdicts import years_until

from warmstart.equilibrium.trend import trend, trend_interval
from warmstart.equilibrium.verdict import has_arrived, is_stationary, judge
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


def test_the_interval_covers_the_true_drift_as_often_as_it_says():
    """Two hundred years of red noise on a trend: 95 % of the intervals hold the trend (within sampling)."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        noise = rng.normal(size=201)
        for i in range(1, 201):
            noise[i] += 0.5 * noise[i - 1]
        _, (low, high) = trend_interval(YEARS[:201], 4.0 + 2e-4 * YEARS[:201] + 0.003 * noise)
        held += low <= 2e-4 <= high
    assert 0.90 <= held / 300 <= 0.99


def test_a_curved_approach_is_no_noise():
    """Without chance the interval is narrow however bent the approach is."""
    low, high = judge(series(4.0 - np.exp(-YEARS / 200.0))).interval
    assert high - low < 0.005


def test_the_e_folding_time_is_found_through_noise():
    noise = 0.002 * np.random.default_rng(2).normal(size=YEARS.size)
    found = judge(series(4.0 - np.exp(-YEARS / 150.0) + noise)).approach
    assert found.years == pytest.approx(150.0, rel=0.1)
    assert found.interval[0] < 150.0 < found.interval[1]
    assert found.limit == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize(
    ("deep", "why"),
    [
        (4.0 + 0.001 * YEARS, "longer than the 300 years"),
        (4.0 - np.exp(-YEARS / 3000.0), "longer than the 300 years"),
        (4.0 + 0.01 * np.sin(YEARS), "varies more than it drifts"),
        (np.where(YEARS == 5, np.nan, 4.0), "not finite"),
    ],
)
def test_where_there_is_no_e_folding_time_the_reason_is_said(deep, why):
    found = judge(series(deep)).approach
    assert np.isnan(found.years)
    assert why in str(found)


def test_the_variability_is_that_about_the_trend():
    found = judge(series(4.0 + 1e-4 * YEARS, 150.0 + 6.0 * np.sqrt(2) * np.sin(2 * np.pi * YEARS / 4.5)))
    assert found.variability["channel_transport"] == pytest.approx(6.0, rel=0.02)
    assert found.variability["thetao_deep"] == pytest.approx(0.0, abs=1e-9)


def test_a_shift_between_two_stretches_is_no_drift():
    """An extrapolated ocean is judged from where it was put, and not before it has run long enough."""
    ds = series(np.where(YEARS <= 450, 4.0, 5.0))
    assert judge(ds).verdict == "drifting"
    ds["stretch"] = ("time", (YEARS > 450).astype(int))
    assert (judge(ds).verdict, judge(ds).years) == ("near", 149.0), "still, but not for two centuries"
    assert judge(ds.isel(time=slice(0, 480))).verdict == "drifting"
    assert np.isnan(years_until(ds, "equilibrium"))  # the last stretch is shorter than the window


def test_a_drift_that_passes_zero_is_no_equilibrium_reached():
    ds = series(4.0 + 1e-5 * (YEARS - 150.0) ** 2)
    assert judge(ds.isel(time=slice(0, 251))).verdict == "equilibrium"
    assert np.isnan(years_until(ds, "near"))


def test_years_until_is_nan_for_a_run_that_never_came_near():
    ds = series(4.0 + 0.01 * YEARS)
    assert np.isnan(years_until(ds, "near"))
    assert years_until(series(4.0 + 3e-4 * YEARS), "near") == 100.0


def test_a_cell_of_a_tenth_of_a_sverdrup_is_not_held_to_a_thousandth():
    ds = series(4.0).assign(overturning_abyssal=("time", -0.5 - 5e-4 * YEARS))
    assert judge(ds).verdict == "equilibrium"
    assert judge(ds.assign(overturning_abyssal=("time", -0.5 - 2e-3 * YEARS))).moving == (
        "overturning_abyssal",
    )


def test_what_is_written_is_what_netcdf_and_yaml_can_hold(tmp_path):
    found = judge(series(4.0, years=np.arange(49.0)))
    xr.Dataset(attrs=found.attributes()).to_netcdf(tmp_path / "a.nc")
    assert yaml.safe_load(yaml.safe_dump(found.summary()))["efolding_years"] is None
    assert "drifting" in str(found)


def test_a_jump_at_a_change_of_the_time_step_is_no_trend():
    """Between 2 days and 1 day the overturning differs by some percent, and each is steady by itself."""
    settled = YEARS > 530.0
    noise = np.random.default_rng(0).normal(0.0, 0.2, YEARS.size)
    ds = series(4.0).assign(overturning_north=("time", np.where(settled, 16.3, 16.8) + noise))
    assert judge(ds).moving == ("overturning_north",)
    ds["dt_tracer"] = ("time", np.where(settled, 86400.0, 172800.0))
    assert judge(ds).verdict == "equilibrium"
    drifting = ds.overturning_north + xr.DataArray(3e-3 * YEARS, dims="time")
    assert judge(ds.assign(overturning_north=drifting)).moving == ("overturning_north",)


def test_a_trend_within_regimes_is_that_of_each():
    regime = np.where(YEARS > 400.0, 1.0, 2.0)
    slope, error = trend(YEARS, 0.1 * YEARS + 7.0 * regime, regime)
    assert (slope, error) == pytest.approx((0.1, 0.0), abs=1e-12)


def test_equilibrium_has_to_be_kept_for_decades_before_a_run_may_end():
    """A drift that only just passes under the limit is not there yet."""
    drift = 4.0 + np.where(YEARS < 150.0, 1.3e-4, 0.0) * (YEARS - 150.0)
    assert [has_arrived(series(drift[:n], years=YEARS[:n]), "equilibrium") for n in (241, 251, 351)] == [
        False,
        False,
        True,
    ]
    assert judge(series(drift[:251], years=YEARS[:251])).verdict == "equilibrium"
    assert has_arrived(series(4.0, years=YEARS[:251]), "equilibrium")
    assert not has_arrived(series(4.0, years=YEARS[:241]), "equilibrium")


def test_a_series_whose_columns_do_not_lie_along_the_time_is_not_judged():
    whole = series(4.0)
    for name, column in (
        ("channel_transport", ((), 150.0)),
        ("thetao_deep", ("z", [4.0, 3.0])),
        ("year", ("time", YEARS.astype(str))),
    ):
        with pytest.raises(UserError, match=f"{name} of the series: expected a number for each time"):
            judge(whole.drop_vars(name).assign({name: column}))
