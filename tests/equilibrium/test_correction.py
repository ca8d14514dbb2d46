"""What is learned of a Newton step is what was true, and what cannot be told is refused."""

import math

import numpy as np
import pytest
import xarray as xr

from warmstart.equilibrium.correction import Correction, Estimate, Pair, fit, late_rates, sizes
from warmstart.errors import UserError
from warmstart.ocean.basin import basin

STATE, GRID = basin(nx=6, ny=10, nz=8)
DEPTHS = (100.0, 1000.0, 3000.0)
SHARES = {"thetao": (0.1, 0.5, 0.9), "so": (0.0, 0.7, 0.3)}
SPREAD = xr.Dataset({"thetao": ("z", np.full(8, 2.0)), "so": ("z", np.full(8, 0.3))})
UNITS = {"thetao": 2.0, "so": 0.3}


def share(name, shares=SHARES):
    return xr.DataArray(np.interp(GRID.gdept_1d.values, DEPTHS, shares[name]), dims="z")


def pairs(count=12, noise=0.0, seed=0):
    """Steps of all sizes, and errors that are their true shares, with noise."""
    random, found = np.random.default_rng(seed), []
    for i in range(count):
        size = 0.02 * 10 ** random.uniform(0, 1)
        fields = {n: size * UNITS[n] * random.standard_normal(GRID.shape) for n in SHARES}
        step = xr.Dataset({n: (("z", "y", "x"), v) for n, v in fields.items()}).where(GRID.tmask > 0)
        wrong = {n: noise * size * UNITS[n] * random.standard_normal(GRID.shape) for n in SHARES}
        error = xr.Dataset(
            {n: step[n] * share(n) + xr.DataArray(wrong[n], dims=("z", "y", "x")) for n in SHARES}
        )
        found.append(Pair(step, error, i % 3))
    return found


def test_the_shares_of_the_step_that_are_true_are_found_at_each_depth():
    learned = fit(pairs(), SPREAD, GRID, DEPTHS, 40, 12)
    for name, true in SHARES.items():
        np.testing.assert_allclose(learned.shares[name], true, atol=0.05)
    assert learned.error_left < 0.1


def test_steps_that_say_nothing_are_not_taken():
    """Errors that have nothing to do with the steps: the shares are near none, and nothing is promised."""
    nothing = [
        Pair(p.step, other.error, p.group)
        for p, other in zip(pairs(30, seed=1), pairs(30, seed=2), strict=True)
    ]
    learned = fit(nothing, SPREAD, GRID, DEPTHS, 40, 30)
    assert max(abs(v) for values in learned.shares.values() for v in values) < 0.1
    assert learned.error_left > 0.97


def test_nine_intervals_in_ten_hold_what_was_not_seen():
    learned = fit(pairs(90, noise=0.5), SPREAD, GRID, DEPTHS, 40, 90)
    inside = 0
    for pair in pairs(60, noise=0.5, seed=7):
        size = sizes(learned.taken(pair.step, SPREAD, GRID), SPREAD, GRID)["all"]["both"]
        true = sizes(pair.error, SPREAD, GRID)["all"]["both"]
        estimate = learned.estimates["all"]["both"]
        inside += estimate.quantile(size, 0.05) <= true <= estimate.quantile(size, 0.95)
    assert inside >= 50


def test_a_step_is_cut_at_a_standard_deviation_and_leaves_land_alone():
    learned = fit(pairs(), SPREAD, GRID, DEPTHS, 40, 12)
    huge = xr.Dataset({n: (("z", "y", "x"), np.full(GRID.shape, 1e3)) for n in SHARES})
    taken = learned.taken(huge, SPREAD, GRID)
    for name in SHARES:
        assert float(taken[name].max()) <= UNITS[name] * max(learned.shares[name]) + 1e-9
        assert float(abs(taken[name]).where(GRID.tmask == 0, 0.0).max()) == 0.0


def test_the_rate_is_of_the_last_years_alone_and_of_whole_ones():
    """An ocean that moved fast at first and slowly at last; states of broken years do not count."""
    year = np.array([0.0, 30 / 360, *range(1, 41)])
    moved = np.where(year <= 20, year, 20 + 0.1 * (year - 20))
    states = xr.Dataset({n: ("time", moved) for n in SHARES}).assign_coords(year=("time", year))
    assert late_rates(states).thetao.item() == pytest.approx(0.1)
    with pytest.raises(UserError, match="3 whole years are too few to tell a drift"):
        late_rates(states.isel(time=slice(0, 5)))


def test_probability_and_quantile_are_each_other_s_inverse():
    estimate = Estimate(intercept=-0.3, slope=0.8, least=0.01, scatter=0.4)
    for probability in (0.05, 0.5, 0.9):
        assert estimate.probability(0.2, estimate.quantile(0.2, probability)) == pytest.approx(probability)
    assert estimate.quantile(1e-9, 0.5) == estimate.quantile(0.01, 0.5), (
        "no step is so small that nothing is left"
    )


def test_sizes_are_those_of_each_range_of_depth():
    step = xr.Dataset({n: SPREAD[n] * xr.where(GRID.gdept_1d < 500, 3.0, 0.0) * GRID.tmask for n in SHARES})
    found = sizes(step, SPREAD, GRID)
    assert found["0-500 m"]["thetao"] == pytest.approx(3.0)
    assert found["below 2000 m"]["so"] == 0.0
    assert 0 < found["all"]["both"] < 3.0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"depths": (1000.0, 100.0)}, "depths must increase"),
        ({"shares": {"thetao": (0.1,)}}, "shares of thetao: expected one for each of 3 depths"),
        ({"years": 1}, "greater than or equal to 4"),
    ],
)
def test_a_file_that_was_edited_wrongly_is_refused(change, message):
    learned = fit(pairs(), SPREAD, GRID, DEPTHS, 40, 12).model_dump()
    assert Correction.model_validate(learned).members == 12
    with pytest.raises(ValueError, match=message):
        Correction.model_validate({**learned, **change})


def test_one_group_cannot_be_left_out():
    with pytest.raises(UserError, match="two groups of members at least"):
        fit([Pair(p.step, p.error, 0) for p in pairs()], SPREAD, GRID, DEPTHS, 40, 12)


def test_the_error_that_is_left_counts_nothing_above_500_metres():
    """A step that is right in the upper ocean only leaves all of what is looked at."""
    found = pairs()
    upper = [
        Pair(p.step, p.error.where(GRID.gdept_1d < 500, p.error * 0.0 + 0.1 * xr.Dataset(UNITS)), p.group)
        for p in found
    ]
    assert math.isclose(fit(upper, SPREAD, GRID, DEPTHS, 40, 12).error_left, 1.0, abs_tol=0.02)
