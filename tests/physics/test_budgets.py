"""Budgets: contents that add up, boxes in degrees and metres, means that land and thickness cannot bend."""

import itertools

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.basin import finish
from warmstart.physics import budgets, census


def with_temperature(values, grid):
    return finish(xr.Dataset({"thetao": values + 0.0 * grid.gdept_0}), grid)


def test_the_heat_and_salt_of_uniform_water_are_those_of_its_volume(ocean, ocean_grid):
    volume = float(ocean_grid.volume.sum())
    uniform = ocean.assign(thetao=ocean.thetao * 0 + 4.0, so=ocean.so * 0 + 35.0)
    assert float(budgets.heat_content(uniform, ocean_grid)) == pytest.approx(
        eos.RHO0 * eos.CP * 4 * volume, rel=1e-13
    )
    assert float(budgets.salt_content(uniform, ocean_grid)) == pytest.approx(
        eos.RHO0 * 0.035 * volume, rel=1e-13
    )


@pytest.mark.parametrize("content", [budgets.heat_content, budgets.salt_content, budgets.sea_volume])
def test_contents_add_up_over_boxes_even_where_centres_of_cells_lie_on_their_bounds(
    content, ocean, ocean_grid
):
    whole = float(content(ocean, ocean_grid))
    row, level = (float(v) for v in (ocean_grid.gphit[9, 0], ocean_grid.gdept_1d[2]))
    lats, depths, lons = (-90.0, -31.0, row, 90.0), (0.0, level, 2001.0, np.inf), (-10.0, 17.0, 25.0, 350.0)
    parts = [
        float(content(ocean, ocean_grid, lat=lat, depth=depth, lon=lon))
        for lat in itertools.pairwise(lats)
        for depth in itertools.pairwise(depths)
        for lon in itertools.pairwise(lons)
    ]
    assert sum(parts) == pytest.approx(whole, rel=1e-13)
    assert min(parts) > 0


def test_deep_means_see_nothing_above_2000_m(ocean, ocean_grid):
    deep = ocean_grid.gdept_0 >= 2000
    state = with_temperature(xr.where(deep, 3.0, 25.0), ocean_grid)
    assert float(budgets.volume_mean(state, ocean_grid, "thetao", depth=budgets.DEEP)) == pytest.approx(3.0)
    assert 3.0 < float(budgets.volume_mean(state, ocean_grid, "thetao")) < 25.0


def test_boxes_are_degrees_and_metres_not_indices(ocean_grid):
    """Rows 0 to 23 of this mesh have indices below 30: an index taken for a latitude would select the south."""
    tropics = abs(ocean_grid.gphit) < 30
    deep = tropics & (ocean_grid.gdept_0 > 500) & (ocean_grid.gdept_0 < 3000)
    bottom = ~(tropics & (ocean_grid.gdept_0 < 3000))
    inside = with_temperature(xr.where(deep, 7.0, 100.0), ocean_grid)
    assert float(census.deep_water_mean(inside, ocean_grid, "thetao")) == pytest.approx(7.0)
    inside = with_temperature(xr.where(bottom, 2.0, 100.0), ocean_grid)
    assert float(census.bottom_water_mean(inside, ocean_grid, "thetao")) == pytest.approx(2.0)
    level = with_temperature(xr.where(tropics, 11.0, 100.0), ocean_grid)
    assert float(census.temperature_500m(level, ocean_grid)) == pytest.approx(11.0)


def test_bottom_water_and_the_upper_tropics_are_the_whole_ocean(ocean_grid):
    upper = ocean_grid.integrate(
        xr.ones_like(ocean_grid.gdept_0), (abs(ocean_grid.gphit) < 30) & (ocean_grid.gdept_0 < 3000)
    )
    lower = ocean_grid.integrate(xr.ones_like(ocean_grid.gdept_0), census.bottom_water(ocean_grid))
    assert float(upper + lower) == pytest.approx(float(ocean_grid.volume.sum()))


def test_the_mean_at_500_m_weighs_areas_and_not_the_thickness_of_columns(ocean_grid):
    """Weighting with whole columns would favour the deep ones of this mesh, whose bottom cells are partial."""
    zonal = xr.DataArray(np.arange(ocean_grid.shape[2]) % 2, dims="x") * 10.0
    wet = (ocean_grid.gdept_0 > 500) & (ocean_grid.tmask > 0) & (abs(ocean_grid.gphit) < 30)
    area = ocean_grid.area.where(wet.any("z"), 0.0)
    found = census.temperature_500m(with_temperature(zonal, ocean_grid), ocean_grid)
    assert float(found) == pytest.approx(float((area * zonal).sum() / area.sum()), rel=1e-12)


def test_interpolation_to_a_depth_is_exact_for_a_linear_profile_and_stops_at_land(ocean_grid):
    line = (3.0 - 0.001 * ocean_grid.gdept_0).where(ocean_grid.tmask > 0)
    found = budgets.at_depth(line, ocean_grid, 1234.5)
    wet = ocean_grid.tmask.isel(z=0) > 0
    np.testing.assert_allclose(found.where(wet, drop=True).values[1:-1, 1:], 3.0 - 1.2345, rtol=1e-12)
    assert found.where(~wet).isnull().all()
    assert budgets.at_depth(line, ocean_grid, 1e5).isnull().all()


def test_the_surface_mean_weighs_the_area_of_the_cells(ocean_grid):
    state = with_temperature(xr.where(ocean_grid.gphit > 0, 30.0, 10.0), ocean_grid)
    north = float(ocean_grid.area.where(ocean_grid.gphit > 0, 0.0).sum() / ocean_grid.area.sum())
    assert float(budgets.surface_temperature(state, ocean_grid)) == pytest.approx(10 + 20 * north)


def test_what_lies_on_land_changes_nothing_and_a_hole_in_the_sea_everything(ocean, ocean_grid):
    clean = budgets.heat_content(ocean, ocean_grid)
    assert float(budgets.heat_content(ocean.fillna(1e9), ocean_grid)) == float(clean)
    j, i = np.argwhere(ocean_grid.tmask.values[0] > 0)[0]
    holed = ocean.thetao.copy(deep=True)
    holed[0, j, i] = np.nan
    state = ocean.assign(thetao=holed)
    assert np.isnan(budgets.heat_content(state, ocean_grid))
    assert np.isnan(budgets.volume_mean(state, ocean_grid, "thetao"))
    assert np.isnan(budgets.surface_temperature(state, ocean_grid))
    deep = budgets.volume_mean(state, ocean_grid, "thetao", depth=budgets.DEEP)  # the hole is not in this box
    assert float(deep) == float(budgets.volume_mean(ocean, ocean_grid, "thetao", depth=budgets.DEEP))


def test_a_range_without_water_has_no_mean(ocean, ocean_grid):
    assert np.isnan(budgets.volume_mean(ocean, ocean_grid, "thetao", depth=(9000.0, 9999.0)))


def test_single_precision_states_are_summed_in_double(ocean, ocean_grid):
    single = ocean.astype("float32")
    expected = float(budgets.heat_content(single.astype("float64"), ocean_grid))
    assert float(budgets.heat_content(single, ocean_grid)) == expected


def test_velocities_have_no_volume_mean(ocean, ocean_grid):
    with pytest.raises(UserError, match="expected a 3-D variable at T points, one of thetao, so"):
        budgets.volume_mean(ocean, ocean_grid, "uo")


# ---------------------------------------------------------------- volume and drift


def test_the_sea_swells_by_its_level_times_its_area(ocean, ocean_grid):
    level = ocean.assign(zos=ocean.zos * 0 + 0.5)
    gained = budgets.sea_volume(level, ocean_grid) - ocean_grid.volume.sum()
    assert float(gained) == pytest.approx(0.5 * float(ocean_grid.area.sum()), rel=1e-9)


def test_the_temperature_at_500_m_is_that_of_500_m_in_a_linear_profile(ocean_grid):
    linear = with_temperature(20.0 - ocean_grid.gdept_0 / 100.0, ocean_grid)
    assert float(census.temperature_500m(linear, ocean_grid)) == pytest.approx(15.0, rel=1e-9)
