"""Under ice shelves there is water but no surface: what counts there, and what does not."""

import numpy as np
import pytest
import xarray as xr

from warmstart.ocean.basin import basin, finish
from warmstart.ocean.grid import Grid
from warmstart.physics.balance import largest_divergence, missing_values
from warmstart.physics.budgets import sea_volume, surface_temperature
from warmstart.physics.cgrid import covered_columns
from warmstart.physics.column import convective_energy_mean, mixed_layer_mean
from warmstart.verbs.check import check


def under_ice():
    """The analytic basin with ice down to the second level over three columns; no sea level there, as in NEMO's output."""
    state, grid = basin(nx=8, ny=12, nz=5)
    ds = grid.ds.copy(deep=True)
    ds.tmask[:2, 2, 3:6] = 0
    east = np.roll(ds.tmask.values, -1, axis=2)
    ds["umask"] = (("z", "y", "x"), ds.umask.values * ds.tmask.values * east)
    north = np.concatenate([ds.tmask.values[:, 1:], 0 * ds.tmask.values[:, :1]], axis=1)
    ds["vmask"] = (("z", "y", "x"), ds.vmask.values * ds.tmask.values * north)
    grid = Grid(ds)
    state = finish(state, grid)
    return state.assign(zos=state.zos.where(grid.mask("T").isel(z=0))), grid


STATE, GRID = under_ice()
COVERED = covered_columns(GRID).values
CELL = (GRID.e1t * GRID.e2t).values


def test_columns_are_wet_that_have_water_at_any_depth():
    np.testing.assert_array_equal(GRID.mask("T", three_d=False).values, (GRID.tmask.values > 0).any(axis=0))
    assert COVERED.sum() == 3 and not (GRID.area.values[COVERED]).any()
    np.testing.assert_array_equal(GRID.column_area.values[COVERED], CELL[COVERED])


def test_the_volume_of_the_sea_has_the_cavities_and_their_sea_level_where_it_is_known():
    open_sea = GRID.tmask.values[0] > 0
    rest = float(GRID.volume.sum()) + (np.nan_to_num(STATE.zos.values) * CELL)[open_sea].sum()
    assert float(sea_volume(STATE, GRID)) == pytest.approx(rest, rel=1e-14)
    known = STATE.assign(zos=STATE.zos.where(~xr.DataArray(COVERED, dims=("y", "x")), -0.8))
    assert float(sea_volume(known, GRID)) - rest == pytest.approx(-0.8 * CELL[COVERED].sum(), rel=1e-3)
    assert int(missing_values(STATE, GRID)) == 0 == int(missing_values(known, GRID))
    hole = STATE.zos.copy(deep=True)
    hole[5, 4] = np.nan
    assert int(missing_values(STATE.assign(zos=hole), GRID)) == 1


def test_water_that_piles_up_under_the_ice_is_seen():
    still = STATE.assign(uo=STATE.uo * 0.0, vo=STATE.vo * 0.0)
    assert float(largest_divergence(still, GRID)) == 0.0
    u = still.uo.values
    u[3, 2, 3] = 1.0  # from one column under the ice to the next
    flux = float(GRID.e2u[2, 3] * GRID.e3u_0[3, 2, 3])
    assert float(largest_divergence(still, GRID)) == pytest.approx(flux / CELL[2, 3:5].min(), rel=1e-12)


def test_convection_under_the_ice_counts_and_the_surface_is_that_of_the_open_sea():
    surface = np.where(GRID.tmask.values[0] > 0, STATE.thetao.values[0], 0.0)
    area = CELL * (GRID.tmask.values[0] > 0)
    assert float(surface_temperature(STATE, GRID)) == pytest.approx(
        (surface * area).sum() / area.sum(), rel=1e-12
    )
    assert np.isfinite(float(mixed_layer_mean(STATE, GRID)))
    before = float(convective_energy_mean(STATE, GRID))
    dense = STATE.copy(deep=True)
    dense.so.values[2, 2, 4] += 3.0
    assert float(convective_energy_mean(dense, GRID)) > before
    table = check(STATE, GRID, only=["mask_violations", "values_on_land", "out_of_bounds"])
    assert table.value.tolist() == [0, 0, 0]
