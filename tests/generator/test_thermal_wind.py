"""Currents follow the water towards thermal wind, and keep what they carry."""

import numpy as np
import pytest

from warmstart.errors import UserError
from warmstart.generator.constraints import close_barotropic
from warmstart.generator.thermal_wind import balancing
from warmstart.physics.balance import largest_divergence
from warmstart.physics.geostrophy import thermal_wind_residual
from warmstart.physics.transport import overturning
from warmstart.testing import basin


@pytest.fixture(scope="module")
def made():
    """An expected state, and one with noise in flow and water."""
    state, grid = basin(nx=8, ny=24, nz=8)
    noisy, rng = state.copy(deep=True), np.random.default_rng(0)
    for name, size in (("thetao", 1.0), ("so", 0.1), ("uo", 0.05), ("vo", 0.05)):
        noisy[name] = noisy[name] + size * rng.normal(size=noisy[name].shape)
    return close_barotropic(state, grid)[0], close_barotropic(noisy, grid)[0], grid


@pytest.fixture(scope="module")
def balanced(made):
    expected, noisy, grid = made
    return balancing(expected, grid, 1.0)(noisy, grid)


def test_the_expected_state_stays_as_it_is(made):
    expected, _, grid = made
    same, record = balancing(expected, grid, 1.0)(expected, grid)
    np.testing.assert_array_equal(same.uo.values, expected.uo.values)
    assert record == {"constraint_balanced_velocity": 0.0}


def test_a_state_comes_nearer_to_thermal_wind_the_more_the_larger_the_share(made, balanced):
    expected, noisy, grid = made
    residual = [
        float(thermal_wind_residual(s, grid)) for s in (noisy, balancing(expected, grid, 0.5)(noisy, grid)[0])
    ]
    residual.append(float(thermal_wind_residual(balanced[0], grid)))
    assert residual[0] > 1.2 * residual[1] > 1.2 * residual[2]


def test_a_change_of_density_alone_takes_the_currents_along(made):
    """Where water moved and the currents stayed, they follow as geostrophic ones do."""
    expected, _, grid = made
    warmer = expected.assign(thetao=expected.thetao + 0.05 * expected.thetao.where(grid.gphit > 30.0, 0.0))
    moved, record = balancing(expected, grid, 1.0)(warmer, grid)
    before, stayed, after = (float(thermal_wind_residual(s, grid)) for s in (expected, warmer, moved))
    assert record["constraint_balanced_velocity"] > 0 and abs(after - before) < abs(stayed - before)


def test_overturning_and_depth_integrated_transport_stay(made, balanced):
    _, noisy, grid = made
    moved, record = balanced
    assert record["constraint_balanced_velocity"] > 0.01
    for name, point in (("uo", "u"), ("vo", "v")):
        change = ((moved[name] - noisy[name]) * grid.ds[f"e3{point}_0"]).fillna(0.0).sum("z")
        assert float(abs(change).max()) < 1e-10
    np.testing.assert_allclose(overturning(moved, grid), overturning(noisy, grid), rtol=0, atol=1e-8)
    assert float(largest_divergence(moved, grid)) < 1e-15


def test_overturning_stays_over_a_rough_floor_with_an_island(made):
    _, noisy, grid = made
    rng = np.random.default_rng(1)
    floor = rng.integers(3, 9, size=grid.shape[1:])
    floor[10:13, 3:5] = 0
    wet = (np.arange(grid.shape[0])[:, None, None] < floor) & (grid.tmask.values > 0)
    masks = {
        "tmask": wet, "umask": wet & np.roll(wet, -1, 2), "vmask": wet & np.roll(wet, -1, 1) & (grid.vmask.values > 0),
    }  # fmt: skip
    rough = type(grid)(
        grid.ds.assign({n: grid.ds[n].copy(data=m.astype(grid.ds[n].dtype)) for n, m in masks.items()})
    )
    state = noisy.assign(
        {
            n: noisy[n].where(rough.mask(p))
            for n, p in (("thetao", "T"), ("so", "T"), ("uo", "U"), ("vo", "V"))
        }
    )
    still = state.assign(uo=0.0 * state.uo, vo=0.0 * state.vo)
    moved, record = balancing(still, rough, 0.5)(state, rough)
    assert record["constraint_balanced_velocity"] > 0.001
    np.testing.assert_allclose(overturning(moved, rough), overturning(state, rough), rtol=0, atol=1e-6)
    for name in ("uo", "vo"):
        assert (moved[name].isnull() == state[name].isnull()).all()


def test_water_and_sea_level_are_left_alone_and_the_equator_too(made, balanced):
    _, noisy, grid = made
    for name in ("thetao", "so", "zos"):
        assert balanced[0][name].identical(noisy[name])
    near = (abs(grid.gphiu) < 5.0).values
    assert near.any()
    change = (balanced[0].uo - noisy.uo).fillna(0.0).transpose("y", "x", "z").values[near]
    assert abs(change).max() < 1e-15


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(made, share):
    with pytest.raises(UserError, match="expected 0 to 1"):
        balancing(made[0], made[2], share)


def test_an_expected_state_without_currents_is_refused(made):
    with pytest.raises(UserError, match="lacks uo"):
        balancing(made[0].drop_vars("uo"), made[2], 0.5)
