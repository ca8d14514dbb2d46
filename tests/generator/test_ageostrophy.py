"""Currents follow the water towards thermal wind, and keep what they carry."""

import numpy as np
import pytest

from warmstart.errors import UserError
from warmstart.generator.constraints.barotropic import close_barotropic
from warmstart.generator.quantities.ageostrophy import NEEDED, QUANTITY, ageostrophic, balancing
from warmstart.generator.quantities.quantity import fit
from warmstart.ocean.basin import basin
from warmstart.physics.balance import largest_divergence
from warmstart.physics.geostrophy import thermal_wind_residual
from warmstart.physics.transport import overturning
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout


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
    return balancing(ageostrophic(expected, grid), 1.0)(noisy, grid)


def test_the_expected_state_stays_as_it_is(made):
    expected, _, grid = made
    same, record = balancing(ageostrophic(expected, grid), 1.0)(expected, grid)
    np.testing.assert_array_equal(same.uo.values, expected.uo.values)
    assert record == {"constraint_balanced_velocity": 0.0}


def test_a_state_comes_nearer_to_thermal_wind_the_more_the_larger_the_share(made, balanced):
    expected, noisy, grid = made
    residual = [
        float(thermal_wind_residual(s, grid))
        for s in (noisy, balancing(ageostrophic(expected, grid), 0.5)(noisy, grid)[0])
    ]
    residual.append(float(thermal_wind_residual(balanced[0], grid)))
    assert residual[0] > 1.2 * residual[1] > 1.2 * residual[2]


def test_a_change_of_density_alone_takes_the_currents_along(made):
    """Where water moved and the currents stayed, they follow as geostrophic ones do."""
    expected, _, grid = made
    warmer = expected.assign(thetao=expected.thetao + 0.05 * expected.thetao.where(grid.gphit > 30.0, 0.0))
    moved, record = balancing(ageostrophic(expected, grid), 1.0)(warmer, grid)
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
    moved, record = balancing(ageostrophic(still, rough), 0.5)(state, rough)
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
        balancing(ageostrophic(made[0], made[2]), share)


def test_a_state_without_currents_is_refused(made):
    with pytest.raises(UserError, match="lacks uo"):
        ageostrophic(made[0].drop_vars("uo"), made[2])


def snapshots(oceans):
    """Standardised states of as many members, and their statistics."""
    layout = Layout(oceans[0][1])
    fields = np.concatenate([layout.pack(state) for state, _ in oceans])
    normalizer = normalize.fit(fields, layout)
    return layout.to_wet(normalizer.standardise(fields)), normalizer


def test_the_ageostrophic_flow_of_an_ocean_between_two_is_predicted(made):
    """Where it is linear in a parameter, a member that was not seen is met to a few parts in a hundred."""
    state, noisy, grid = made
    inputs = np.linspace(-0.5, 0.5, 9)
    oceans = [
        (state.assign({n: state[n] + (1 + x) * (noisy[n] - state[n]) for n in ("uo", "vo")}), grid)
        for x in inputs
    ]
    states, normalizer = snapshots(oceans)
    rest = np.arange(9) != 6
    model = fit(QUANTITY, states[rest], np.arange(8), inputs[rest, None], normalizer)
    found, truth, other = (
        dict(zip(("uo", "vo"), model.expected(inputs[6:7]), strict=True)),
        ageostrophic(*oceans[6]),
        ageostrophic(*oceans[0]),
    )
    for name in ("uo", "vo"):
        apart = np.sqrt(((found[name] - truth[name]) ** 2).mean())
        assert apart < 0.05 * np.sqrt(((other[name] - truth[name]) ** 2).mean())
        assert (
            found[name][~grid.mask("U" if name == "uo" else "V").transpose("z", "y", "x").values] == 0
        ).all()


def test_several_snapshots_of_a_member_are_one_ocean_to_the_regression(made):
    state, noisy, grid = made
    states, normalizer = snapshots([(state, grid), (noisy, grid), (noisy, grid), (noisy, grid)])
    model = fit(
        QUANTITY, states, np.array([0, 1, 1, 1]), np.array([[-0.5], [0.5]]), normalizer, model="climatology"
    )
    found, ends = (
        dict(zip(("uo", "vo"), model.expected(np.zeros(1)), strict=True)),
        [ageostrophic(s, grid) for s in (state, noisy)],
    )
    for name in ("uo", "vo"):
        np.testing.assert_allclose(found[name], 0.5 * (ends[0][name] + ends[1][name]), rtol=0, atol=1e-9)


def test_states_without_currents_have_no_such_regression(made):
    state, _, grid = made
    layout = Layout(grid, ("thetao", "so"))
    fields = layout.pack(state[["thetao", "so"]])
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))
    assert not set(NEEDED) <= set(layout.variables)
    assert fit(QUANTITY, wet, np.zeros(1, int), np.zeros((1, 1)), normalizer) is None


@pytest.mark.parametrize("name", NEEDED)
def test_a_state_without_any_one_that_thermal_wind_needs_is_refused(made, name):
    with pytest.raises(UserError, match=f"lacks {name}"):
        ageostrophic(made[0].drop_vars(name), made[2])


def test_the_scale_of_the_ageostrophic_flow_is_its_spread_over_members(made):
    state, noisy, grid = made
    twice = noisy.assign({n: state[n] + 2 * (noisy[n] - state[n]) for n in ("uo", "vo")})
    scales = []
    for far in (noisy, twice):
        states, normalizer = snapshots([(state, grid), (far, grid)])
        scales.append(fit(QUANTITY, states, np.arange(2), np.array([[-0.5], [0.5]]), normalizer).scale[0])
    assert scales[1] == pytest.approx(2 * scales[0], rel=0.05) and 0 < scales[0] < 0.1
