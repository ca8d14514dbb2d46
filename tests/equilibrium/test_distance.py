"""Laws of distance, arrival, years saved, shock and drift."""

import numpy as np
import pytest
import xarray as xr

from warmstart.equilibrium import adjustment, arrival
from warmstart.equilibrium import distance as eq
from warmstart.errors import UserError
from warmstart.ocean.basin import basin

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


def test_spreads_and_distances_count_cells_by_area_and_volume_also_where_the_bottom_is_partial(
    ocean, ocean_grid
):
    wet, area = ocean_grid.tmask.values > 0, (ocean_grid.e1t * ocean_grid.e2t).values
    volume = np.where(wet, area * ocean_grid.e3t_0.values, 0.0)
    rng = np.random.default_rng(1)
    other = ocean.assign({n: ocean[n] + rng.standard_normal(wet.shape) for n in eq.TRACERS})
    along = eq.horizontal_spread(other, ocean_grid)
    between = eq.ensemble_spread(xr.concat([ocean, other], "sample"), ocean_grid)
    one = xr.Dataset({n: xr.DataArray(np.arange(1.0, 6.0), dims="z") for n in eq.TRACERS})
    found = eq.distance(other, ocean, one, ocean_grid)
    for name in eq.TRACERS:
        field, change = other[name].values, (other[name] - ocean[name]).values
        for k in range(wet.shape[0]):
            share = area[wet[k]] / area[wet[k]].sum()
            level = field[k][wet[k]]
            assert float(along[name][k]) == pytest.approx(
                np.sqrt((share * (level - share @ level) ** 2).sum())
            )
            assert float(between[name][k]) == pytest.approx(
                np.sqrt((share * change[k][wet[k]] ** 2).sum()) / 2
            )
        square = (np.where(wet, change, 0.0) / np.arange(1.0, 6.0)[:, None, None]) ** 2
        assert float(found[f"distance_{name}_sd"]) == pytest.approx(
            np.sqrt((square * volume).sum() / volume.sum())
        )


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
    assert float(a.distance_so_sd) == float(b.distance_thetao_sd) == 0.0


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
    with pytest.raises(UserError, match="does not vary in thetao"):
        eq.ensemble_spread(xr.concat([STATE, STATE], "sample"), GRID)
    with pytest.raises(UserError, match="at least two samples"):
        eq.ensemble_spread(STATE.expand_dims("sample"), GRID)


def test_snapshots_are_measured_against_one_another_each_pair_once():
    snapshots = xr.concat([STATE, STATE, STATE + 3.0], "time")
    assert eq.own_distances(snapshots, TWO, GRID) == pytest.approx([0.0, 1.5, 1.5])
    assert eq.own_distances(STATE.expand_dims("time"), TWO, GRID).size == 0


def until(distances, level=1.0, year=YEARS):
    found = arrival.years_until(year, distances, level)
    return found.value, found.bound


def test_never_reached_is_more_than_the_run():
    assert until(np.full(21, 2.0)) == (20.0, ">")


def test_reached_and_left_is_not_reached():
    assert until(np.where(YEARS < 10, 0.5, 2.0)) == (20.0, ">")


def test_reached_at_once():
    assert until(np.full(21, 0.5)) == (0.0, "=")


def test_reached_on_the_way():
    assert until(10.0 - YEARS) == (9.0, "=")


def test_one_unusual_year_in_twenty_does_not_count_and_two_do():
    distances = np.full(21, 0.5)
    distances[12] = 2.0
    assert until(distances) == (0.0, "=")
    distances[16] = 2.0
    assert until(distances) == (17.0, "=")


def test_a_run_with_holes_at_its_end_has_not_arrived():
    assert until(np.where(YEARS < 15, 0.5, np.nan)) == (20.0, ">")


def test_without_a_threshold_or_a_distance_nothing_is_judged_and_it_says_why():
    assert np.isnan(eq.threshold(np.zeros(0)))
    for found in (
        arrival.years_until(YEARS, np.zeros(21), float("nan")),
        arrival.years_until(YEARS, np.full(21, np.nan), 1.0),
    ):
        assert np.isnan(found.value) and found.bound == "" and found.note.startswith("not judged: ")


@pytest.mark.parametrize("seed", range(5))
def test_an_equilibrium_arrives_at_its_own_threshold_at_once(seed):
    own = np.random.default_rng(seed).gamma(4.0, size=20)
    assert until(own, eq.threshold(own), np.arange(20.0)) in ((0.0, "="), (1.0, "="))


def test_a_drifting_equilibrium_is_within_its_own_threshold():
    own = np.linspace(0.1, 0.2, 20)
    assert until(own, eq.threshold(own), np.arange(20.0)) == (0.0, "=")


ARRIVED, LATE = arrival.Years(2.0, "="), arrival.Years(20.0, ">")


@pytest.mark.parametrize(
    ("start", "least", "most", "value", "bound"),
    [
        (ARRIVED, 15.0, 15.0, 13.0, "="),
        (ARRIVED, 20.0, np.inf, 18.0, ">"),
        (ARRIVED, 20.0, 50.0, 18.0, ">"),
        (ARRIVED, -np.inf, 10.0, 8.0, "<"),
        (ARRIVED, -np.inf, np.inf, np.nan, ""),
        (LATE, 15.0, 15.0, -5.0, "<"),
        (LATE, 200.0, 500.0, 480.0, "<"),
        (LATE, 20.0, np.inf, np.nan, ""),
        (arrival.Years(note="not judged: blew up"), 15.0, 15.0, np.nan, ""),
    ],
)
def test_years_saved_are_a_difference_a_bound_or_a_sentence(start, least, most, value, bound):
    found = arrival.years_saved(start, least, most, "the start from rest")
    assert found.bound == bound and found.note
    assert found.value == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(("start", "rest"), [(s, r) for s in (1.0, 7.0, 30.0) for r in (3.0, 12.0, 400.0)])
def test_bounds_hold_for_the_truth(start, rest):
    """Runs of 20 years and a spin-up seen in years 10, 100 and 500: what is said of the years saved is true of them."""
    seen = arrival.Years(start, "=") if start <= 20 else arrival.Years(20.0, ">")
    ran = arrival.Years(rest, "=") if rest <= 20 else arrival.Years(20.0, ">")
    year = np.array([10.0, 100.0, 500.0])
    spinup = year, np.where(year < rest, 2.0, 0.5)
    for known in (ran, None):
        found = arrival.years_saved(seen, *arrival.years_from_rest(1.0, known, spinup))
        saved = rest - start
        holds = {
            "=": saved == found.value,
            ">": saved >= found.value,
            "<": saved <= found.value,
            "": bool(found.note),
        }
        assert holds[found.bound], (found, saved)


def test_spinup_passed_is_a_snapshot_that_was_farther():
    way = (np.array([10.0, 50.0, 100.0, 400.0]), np.array([2.0, 1.5, 1.0, 0.4]))
    assert [(f.value, f.bound) for f in (arrival.spinup_passed(d, way) for d in (0.39, 1.2, 3.0))] == [
        (400.0, ">"), (50.0, ">"), (10.0, "<"),
    ]  # fmt: skip
    for found in (
        arrival.spinup_passed(0.1, (np.zeros(0), np.zeros(0))),
        arrival.spinup_passed(float("nan"), way),
    ):
        assert np.isnan(found.value) and found.note.startswith("not judged: ")


def test_a_shock_is_relative_to_the_control_and_over_after_thirty_days():
    day = np.array([0.0, 10.0, 30.0, 360.0])
    control = np.full(4, 2.0)
    assert adjustment.shock(day, control, control) == 0.0
    assert adjustment.shock(day, np.array([50.0, 2.0, 3.0, 90.0]), control) == pytest.approx(0.5)
    assert adjustment.shock(day, 10.0 * np.array([50.0, 2.0, 3.0, 90.0]), 10.0 * control) == pytest.approx(
        0.5
    )
    assert np.isnan(adjustment.shock(day, control, np.full(4, np.nan)))


def test_a_drift_is_that_of_the_last_ten_years_a_century():
    values = np.where(YEARS < 10, 0.0, 0.02 * (YEARS - 10))
    found = adjustment.drift(YEARS, values)
    assert (found.slope, found.error, found.span) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-9), 10.0)


def test_the_adjustment_of_a_start_is_no_drift():
    """Daily values of a month and then yearly ones, of a transport that falls by 5 Sv in 60 days and stays there."""
    year = np.concatenate([np.arange(31.0) / 360.0, YEARS[1:11]])
    values = 100.0 - 5.0 * np.minimum(year * 360.0 / 60.0, 1.0)
    found = adjustment.drift(year, values)
    assert (found.slope, found.error, found.span) == (
        pytest.approx(0.0, abs=1e-9),
        pytest.approx(0.0, abs=1e-9),
        9.0,
    )
    assert adjustment.drift(year, 0.02 * year).slope == pytest.approx(2.0)
    assert np.isnan(adjustment.drift(year[:33], values[:33]).slope), "two years are no trend"


def test_a_short_or_empty_series_has_no_drift():
    assert np.isnan(adjustment.drift(YEARS[:2], YEARS[:2]).slope)
    assert np.isnan(adjustment.drift(YEARS, np.full(21, np.nan)).slope)


def test_a_reference_that_varies_nowhere_or_without_bound_is_refused():
    for value in (0.0, np.inf, np.nan):
        bad = xr.Dataset({"thetao": 0 * GRID.gdept_1d + 1.0, "so": 0 * GRID.gdept_1d + value})
        with pytest.raises(UserError, match="does not vary in so"):
            eq.floored(bad, GRID)


def test_a_shock_is_relative_to_the_size_of_the_control_whatever_its_sign():
    day = np.array([1.0, 2.0, 3.0])
    control = np.array([-2.0, 2.0, -2.0])
    assert adjustment.shock(day, control + 1.0, control) == pytest.approx(0.5)


def test_the_years_from_rest_are_bounded_by_whatever_ran_longest_and_was_still_farther():
    spinup = (np.array([10.0, 100.0]), np.array([3.0, 2.0]))
    longer = arrival.years_from_rest(1.0, arrival.Years(200.0, ">"), spinup)
    assert longer == (200.0, np.inf, "the start from rest")
    shorter = arrival.years_from_rest(1.0, arrival.Years(50.0, ">"), spinup)
    assert shorter == (100.0, np.inf, "the control's own spin-up")
    nothing = arrival.years_from_rest(1.0, None, (np.zeros(0), np.zeros(0)))
    assert nothing == (-np.inf, np.inf, "the control's own spin-up")
