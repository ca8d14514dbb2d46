"""Laws of distance, arrival, years saved, shock and drift."""

import numpy as np
import pytest
import xarray as xr

from warmstart import equilibrium as eq
from warmstart.errors import UserError
from warmstart.testing import basin

YEARS = np.arange(21.0)
STATE, GRID = basin(nx=6, ny=8, nz=4)
TWO = xr.Dataset({name: 2.0 * xr.ones_like(GRID.gdept_1d) for name in eq.TRACERS})


def test_the_target_is_at_distance_zero_from_itself():
    assert float(eq.distance(STATE, STATE, TWO, GRID).distance) == 0.0


def test_a_distance_in_temperature_does_not_say_it_is_a_temperature():
    found = eq.distance(STATE, STATE, TWO, GRID)
    assert {frozenset(found[name].attrs) for name in found} == {frozenset({"units", "long_name"})}


def test_an_offset_is_measured_in_units_of_the_spread_of_its_level():
    spread = TWO.copy(deep=True)
    spread["thetao"][0], spread["so"][0] = 4.0, 4.0
    moved = STATE.copy(deep=True)
    for name in eq.TRACERS:
        moved[name][0] += 4.0
        moved[name][1:] += 2.0
    found = eq.distance(moved, STATE, spread, GRID)
    assert [float(v) for v in found.data_vars.values()] == pytest.approx([1.0, 1.0, 1.0])


def test_single_precision_states_have_the_spread_of_their_values_in_double():
    """A small spread about a large mean, which single precision would lose in its sums."""
    rng = np.random.default_rng(0)
    members = xr.concat([STATE + 1e-3 * rng.standard_normal() for _ in range(6)], "sample").astype("float32")
    single, double = (eq.ensemble_spread(m, GRID) for m in (members, members.astype("float64")))
    for name in eq.TRACERS:
        np.testing.assert_allclose(single[name], double[name], rtol=1e-9)


def test_temperature_and_salinity_count_alike():
    warmer, saltier = STATE.copy(deep=True), STATE.copy(deep=True)
    warmer["thetao"] += 2.0
    saltier["so"] += 2.0
    a, b = (eq.distance(ds, STATE, TWO, GRID) for ds in (warmer, saltier))
    assert float(a.distance) == pytest.approx(float(b.distance)) == pytest.approx(np.sqrt(0.5))
    assert float(a.distance_so) == float(b.distance_thetao) == 0.0


def test_distances_are_weighted_with_volume():
    moved = STATE.copy(deep=True)
    for name in eq.TRACERS:
        moved[name][-1] += 2.0
    share = float(GRID.volume.isel(z=-1).sum() / GRID.volume.sum())
    assert float(eq.distance(moved, STATE, TWO, GRID).distance) == pytest.approx(np.sqrt(share))


def test_a_state_with_a_hole_has_no_distance():
    holed = STATE.copy(deep=True)
    y, x = np.argwhere(GRID.tmask.values[0] > 0)[0]
    holed["thetao"][0, y, x] = np.nan
    assert np.isnan(float(eq.distance(holed, STATE, TWO, GRID).distance))


def test_the_ensemble_spread_knows_nothing_of_what_all_members_share():
    shared = STATE + 5.0 * GRID.gphit
    members = xr.concat([shared - 1.0, shared + 1.0], "sample")
    assert eq.ensemble_spread(members, GRID).thetao.values == pytest.approx(np.ones(4))


def test_equal_members_have_no_spread():
    with pytest.raises(UserError, match="does not vary in thetao at level 0"):
        eq.ensemble_spread(xr.concat([STATE, STATE], "sample"), GRID)
    with pytest.raises(UserError, match="at least two samples"):
        eq.ensemble_spread(STATE.expand_dims("sample"), GRID)


def test_a_snapshot_is_measured_against_the_others_only():
    snapshots = xr.concat([STATE, STATE, STATE + 3.0], "time")
    assert eq.own_distances(snapshots, TWO, GRID) == pytest.approx([0.75, 0.75, 1.5])
    assert eq.own_distances(STATE.expand_dims("time"), TWO, GRID).size == 0


def test_never_reached():
    assert np.isnan(eq.years_to_equilibrium(YEARS, np.full(21, 2.0), 1.0))


def test_reached_and_left_is_not_reached():
    distances = np.where(YEARS < 10, 0.5, 2.0)
    assert np.isnan(eq.years_to_equilibrium(YEARS, distances, 1.0))


def test_reached_at_once():
    assert eq.years_to_equilibrium(YEARS, np.full(21, 0.5), 1.0) == 0.0


def test_reached_on_the_way():
    assert eq.years_to_equilibrium(YEARS, 10.0 - YEARS, 1.0) == 9.0


def test_one_unusual_year_in_twenty_does_not_count_and_two_do():
    distances = np.full(21, 0.5)
    distances[12] = 2.0
    assert eq.years_to_equilibrium(YEARS, distances, 1.0) == 0.0
    distances[16] = 2.0
    assert eq.years_to_equilibrium(YEARS, distances, 1.0) == 17.0


def test_a_run_that_blew_up_has_not_arrived():
    distances = np.where(YEARS < 15, 0.5, np.nan)
    assert np.isnan(eq.years_to_equilibrium(YEARS, distances, 1.0))


def test_without_a_threshold_nothing_arrives():
    assert np.isnan(eq.threshold(np.zeros(0)))
    assert np.isnan(eq.years_to_equilibrium(YEARS, np.zeros(21), float("nan")))


@pytest.mark.parametrize("seed", range(5))
def test_an_equilibrium_arrives_at_its_own_threshold_at_once(seed):
    own = np.random.default_rng(seed).gamma(4.0, size=20)
    assert eq.years_to_equilibrium(np.arange(20.0), own, eq.threshold(own)) in (0.0, 1.0)


def test_a_drifting_equilibrium_is_within_its_own_threshold():
    own = np.linspace(0.1, 0.2, 20)
    assert eq.years_to_equilibrium(np.arange(20.0), own, eq.threshold(own)) == 0.0


def test_years_saved_are_a_difference_a_bound_or_nothing():
    nan = float("nan")
    assert eq.years_saved(2.0, 15.0, 20.0) == (13.0, False)
    assert eq.years_saved(2.0, nan, 20.0) == (18.0, True)
    saved, bound = eq.years_saved(nan, 15.0, 20.0)
    assert np.isnan(saved) and not bound


def test_spinup_passed_is_a_snapshot_that_was_farther():
    way = (np.array([10.0, 50.0, 100.0, 400.0]), np.array([2.0, 1.5, 1.0, 0.4]))
    assert eq.spinup_passed(0.39, way) == 400.0
    assert eq.spinup_passed(1.2, way) == 50.0
    assert eq.spinup_passed(3.0, way) == 0.0
    assert np.isnan(eq.spinup_passed(0.1, (np.zeros(0), np.zeros(0))))
    assert np.isnan(eq.spinup_passed(float("nan"), way))


def test_a_shock_is_relative_to_the_control_and_over_after_thirty_days():
    day = np.array([0.0, 10.0, 30.0, 360.0])
    control = np.full(4, 2.0)
    assert eq.shock(day, control, control) == 0.0
    assert eq.shock(day, np.array([50.0, 2.0, 3.0, 90.0]), control) == pytest.approx(0.5)
    assert eq.shock(day, 10.0 * np.array([50.0, 2.0, 3.0, 90.0]), 10.0 * control) == pytest.approx(0.5)
    assert np.isnan(eq.shock(day, control, np.full(4, np.nan)))


def test_a_drift_is_that_of_the_last_ten_years_a_century():
    values = np.where(YEARS < 10, 0.0, 0.02 * (YEARS - 10))
    slope, error, span = eq.drift(YEARS, values)
    assert (slope, error, span) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-9), 10.0)


def test_the_adjustment_of_a_start_is_no_drift():
    """Daily values of a month and then yearly ones, of a transport that falls by 5 Sv in 60 days and stays there."""
    year = np.concatenate([np.arange(31.0) / 360.0, YEARS[1:11]])
    values = 100.0 - 5.0 * np.minimum(year * 360.0 / 60.0, 1.0)
    slope, error, span = eq.drift(year, values)
    assert (slope, error, span) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9), 9.0)
    assert eq.drift(year, 0.02 * year)[0] == pytest.approx(2.0)
    assert np.isnan(eq.drift(year[:33], values[:33])[0]), "two years are no trend"


def test_a_short_or_empty_series_has_no_drift():
    assert np.isnan(eq.drift(YEARS[:2], YEARS[:2])[0])
    assert np.isnan(eq.drift(YEARS, np.full(21, np.nan))[0])
