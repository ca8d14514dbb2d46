"""Columns: stability counted over wet pairs at their own depth, mixed layers of known depth."""

import numpy as np
import pytest
import xarray as xr

from warmstart.ocean import eos
from warmstart.ocean.basin import finish, mesh
from warmstart.physics import column


def salty(profile, grid):
    """A state of 10 degC, whose density depends on salinity alone, with this profile in every column."""
    so = 35.0 + xr.DataArray(np.asarray(profile, float), dims="z") + 0.0 * grid.gdept_0
    return finish(xr.Dataset({"thetao": 0.0 * so + 10.0, "so": so}), grid)


@pytest.fixture(scope="module")
def pool():
    """Five levels of 20 m, two columns one of which is only three levels deep, land around."""
    bottom = np.zeros((4, 4), int)
    bottom[1, 1], bottom[2, 2] = 5, 3
    return mesh(np.arange(4.0), np.arange(4.0), np.arange(0.0, 101.0, 20.0), bottom, False)


def test_an_ocean_upside_down_has_inverted_every_wet_pair(pool):
    state = salty([5, 4, 3, 2, 1], pool)
    assert float(column.inversions(state, pool)) == 1.0
    assert float(column.inversions_volume(state, pool)) == pytest.approx(1.0)


def test_a_stable_and_a_homogeneous_ocean_have_no_inversions(pool, ocean, ocean_grid):
    for state, grid in (
        (salty([1, 2, 3, 4, 5], pool), pool),
        (salty([2] * 5, pool), pool),
        (ocean, ocean_grid),
    ):
        assert float(column.inversions(state, grid)) == 0.0
        assert float(column.inversions_volume(state, grid)) == 0.0


def test_inversions_are_a_fraction_of_wet_pairs_not_of_cells_or_land(pool):
    state = salty([1, 2, 3, 4, 5], pool)
    shallow = xr.zeros_like(pool.gdept_0)
    shallow[:, 2, 2] = [3, 2, 1, 0, 0]
    upset = state.assign(so=xr.where(shallow > 0, 35 + shallow, state.so))
    assert float(column.inversions(upset, pool)) == pytest.approx(
        2 / 6
    )  # 4 pairs in one column, 2 in the other
    assert float(column.inversions_volume(upset, pool)) == pytest.approx(2 / 6, rel=1e-3)


def test_values_under_the_sea_floor_are_never_compared(pool):
    state = salty([1, 2, 3, 4, 5], pool)
    assert float(column.inversions(state.fillna(0.0), pool)) == 0.0
    assert float(column.inversions(state.fillna(99.0), pool)) == 0.0


def test_only_differences_beyond_the_threshold_count(pool):
    step = 2e-5 / eos.B0  # the lower cell is 2e-5 kg m-3 lighter
    state = salty(-step * np.arange(5), pool)
    assert float(column.inversions(state, pool)) == 1.0
    assert float(column.inversions(state, pool, threshold=1e-5)) == 1.0
    assert float(column.inversions(state, pool, threshold=3e-5)) == 0.0


def test_cells_are_compared_where_they_meet_and_not_at_the_surface():
    """Warm salty below cold fresh water: denser at the surface, lighter at 4000 m, where thermal expansion is larger."""
    faces = np.array([0.0, 10.0, 20.0, 3990.0, 4010.0, 4030.0])
    grid = mesh(np.arange(3.0), np.arange(3.0), faces, np.pad([[5]], 1), False)
    cold, warm = (2.0, 35.0), (6.0, 35.8)
    assert eos.density(*cold, 0.0) < eos.density(*warm, 0.0) and eos.density(*cold, 4000) > eos.density(
        *warm, 4000
    )
    thetao = xr.DataArray([2.0, 6.0, 2.0, 2.0, 6.0], dims="z") + 0.0 * grid.gdept_0
    so = xr.DataArray([35.0, 35.8, 35.8, 36.0, 36.8], dims="z") + 0.0 * grid.gdept_0
    step = column.density_step(finish(xr.Dataset({"thetao": thetao, "so": so}), grid), grid).isel(x=1, y=1)
    assert float(step[1]) > 0 and float(step[4]) < 0
    assert float(step[4]) == pytest.approx(eos.density(*warm, 4010.0) - eos.density(*cold, 4010.0), rel=1e-9)
    assert np.isnan(step[0])


def test_n2_is_that_of_a_linear_stratification():
    faces = np.linspace(0.0, 100.0, 11)
    grid = mesh(np.arange(3.0), np.arange(3.0), faces, np.pad([[10]], 1), False)
    state = salty(0.01 * grid.gdept_1d.values, grid)
    found = column.n2(state, grid).isel(x=1, y=1)
    np.testing.assert_allclose(found[1:], eos.G / eos.RHO0 * eos.B0 * 0.01, rtol=1e-9)
    warm = state.assign(thetao=10.0 - 0.02 * grid.gdept_0, so=35.0 + 0.0 * grid.gdept_0)
    middle = float(column.n2(finish(warm, grid), grid)[5, 1, 1])
    face, mean = float(grid.gdepw_1d[5]), 10.0 - 0.02 * float(grid.gdepw_1d[5])
    expansion = eos.A0 * (1.0 + eos.LAMBDA1 * (mean - eos.T0) + eos.MU1 * face) / eos.RHO0
    assert middle == pytest.approx(eos.G * expansion * 0.02, rel=1e-9)


def test_the_mixed_layer_ends_where_density_exceeds_that_at_10_m_by_the_threshold():
    faces = np.linspace(0.0, 200.0, 21)
    grid = mesh(np.arange(3.0), np.arange(3.0), faces, np.pad([[20]], 1), False)
    slope = 0.001 / eos.B0  # 0.001 kg m-3 per metre
    linear = salty(slope * grid.gdept_1d.values, grid)
    reference = grid.gdept_1d.values[np.abs(grid.gdept_1d.values - 10).argmin()]
    depth = column.mixed_layer_depth(linear, grid)
    assert float(depth[1, 1]) == pytest.approx(reference + 30.0)
    assert np.isnan(depth[0, 0])
    step = salty(np.where(grid.gdept_1d.values > 100, 1.0, 0.0), grid)
    assert 95 < float(column.mixed_layer_depth(step, grid)[1, 1]) < 105
    deepest = float(column.mixed_layer_deepest(step, grid))
    assert float(column.mixed_layer_mean(step, grid)) == pytest.approx(deepest)  # there is one column


def test_the_mixed_layer_of_a_homogeneous_column_reaches_its_own_floor(pool):
    depth = column.mixed_layer_depth(salty([1] * 5, pool), pool)
    assert float(depth[1, 1]) == 100.0 and float(depth[2, 2]) == 60.0
    assert float(column.mixed_layer_deepest(salty([1] * 5, pool), pool)) == 100.0


def test_a_hole_in_a_column_is_not_taken_for_stability(pool):
    state = salty([1, 2, 3, 4, 5], pool)
    holed = state.assign(so=state.so.where((pool.gdept_0 != 50) | (pool.bathymetry < 80)))
    assert np.isnan(column.inversions(holed, pool)) and np.isnan(column.inversions_volume(holed, pool))
    assert np.isnan(column.mixed_layer_depth(holed, pool)[1, 1])
    assert float(column.mixed_layer_depth(holed, pool)[2, 2]) > 0


# ---------------------------------------------------------------- thresholds, references, energy


def test_inversions_fall_with_the_threshold(pool):
    state = salty([5, 4.9, 3, 4, 1], pool)
    thresholds = [0.0, 0.05, 0.5, 1.0, 5.0]
    curve = [float(column.inversions(state, pool, threshold=t)) for t in thresholds]
    assert (np.diff(curve) <= 0).all() and curve[0] > 0.0 and curve[-1] == 0.0


def test_an_ocean_upside_down_is_inverted_by_every_reference(pool):
    state = salty([5, 4, 3, 2, 1], pool)
    for reference in ("local", "in situ", 0.0, 2000.0):
        assert float(column.inversions(state, pool, reference=reference)) == 1.0


def test_without_pressure_all_references_agree(pool):
    state = salty([1, 3, 2, 4, 5], pool)  # at 10 degC pressure does nothing in this equation
    local = column.n2(state, pool)
    for reference in ("in situ", 0.0, 2000.0):
        np.testing.assert_allclose(column.n2(state, pool, reference=reference), local, rtol=1e-9, atol=1e-15)


def test_two_layers_upside_down_hold_the_energy_of_their_exchange():
    """Layers of thickness h and densities that differ by d exchange places: each moves by h, energy g d h h."""
    grid = mesh(np.arange(4.0), np.arange(4.0), np.array([0.0, 50.0, 100.0]), np.full((4, 4), 2), False)
    state = salty([2.0, 1.0], grid)
    expected = eos.G * eos.B0 * 50.0**2
    np.testing.assert_allclose(column.convective_energy(state, grid), expected, rtol=1e-12)
    assert float(column.convective_energy_mean(state, grid)) == pytest.approx(expected)


def test_thin_dense_water_over_thick_light_water_sinks_through_it():
    grid = mesh(np.arange(3.0), np.arange(3.0), np.array([0.0, 10.0, 100.0]), np.full((3, 3), 2), False)
    state = salty([2.0, 1.0], grid)  # 10 m sink by 90 m, 90 m rise by 10 m
    np.testing.assert_allclose(column.convective_energy(state, grid), eos.G * eos.B0 * 10 * 90, rtol=1e-12)


def test_stable_columns_hold_no_energy_and_land_none_whatever_lies_there(pool, ocean, ocean_grid):
    assert float(column.convective_energy(ocean, ocean_grid).max()) == 0.0
    state = salty([1, 2, 3, 4, 5], pool)
    for land in (0.0, 99.0):
        energy = column.convective_energy(state.fillna(land), pool)
        assert float(energy.max()) == 0.0
        assert int(energy.notnull().sum()) == 2


def test_mixing_releases_less_energy_than_sorting(pool):
    state = salty([5, 1, 2, 4, 3], pool)
    energy = float(column.convective_energy(state, pool)[1, 1])
    depth = np.arange(10.0, 100.0, 20.0)
    density = eos.B0 * np.array([5, 1, 2, 4, 3.0])
    mixed = eos.G * 20.0 * (density.mean() - density) @ depth
    assert 0 < mixed < energy
    assert energy == pytest.approx(eos.G * 20.0 * (np.sort(density) - density) @ depth)


def test_a_shallow_column_has_no_mixed_layer_and_blanks_no_other():
    """Levels of 4 m: the third lies nearest 10 m, and columns of one and two levels do not reach it."""
    bottom = np.full((5, 6), 8)
    bottom[[0, -1]] = 0
    bottom[2, 2], bottom[2, 3] = 1, 2
    grid = mesh(np.arange(6.0), np.arange(5.0), np.arange(0.0, 33.0, 4.0), bottom, False)
    warm = xr.where(grid.gdept_0 < 18.0, 20.0, 5.0)
    state = finish(xr.Dataset({"thetao": warm, "so": warm * 0 + 35.0}).transpose("z", "y", "x"), grid)
    depth = column.mixed_layer_depth(state, grid)
    counted = (bottom == 8).astype(bool)
    assert np.isnan(depth.values[~counted]).all()
    one = float(depth[1, 1])
    assert 14.0 < one < 14.1  # between the centres at 14 and 18, where it begins to be cold
    np.testing.assert_allclose(depth.values[counted], one)
    assert float(column.mixed_layer_mean(state, grid)) == pytest.approx(one)
    assert float(column.mixed_layer_deepest(state, grid)) == pytest.approx(one)


def test_the_equation_of_state_is_that_of_the_state(ocean, ocean_grid):
    pytest.importorskip("gsw", reason="gsw is not installed")
    plain = column.mixed_layer_mean(ocean, ocean_grid)
    said = column.mixed_layer_mean(ocean.assign_attrs(equation_of_state="seos"), ocean_grid)
    other = column.mixed_layer_mean(ocean.assign_attrs(equation_of_state="eos80"), ocean_grid)
    assert float(plain) == float(said) != float(other)
    assert float(other) == pytest.approx(float(plain), rel=0.2)
