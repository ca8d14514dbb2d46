"""Balance: what has no divergence shows none, and every broken face, hole and outlier is counted."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import finish, mesh
from warmstart.physics import balance
from warmstart.physics.cgrid import extreme


def test_a_flow_from_a_streamfunction_has_no_divergence_on_partial_cells(ocean, ocean_grid):
    assert float(balance.largest_divergence(ocean, ocean_grid)) < 1e-16
    assert float(abs(ocean.uo).max()) > 0.01


def test_solid_body_rotation_round_a_channel_has_no_divergence():
    grid = mesh(
        np.arange(0.0, 360.0, 30.0),
        np.linspace(-60, 60, 9),
        np.array([0.0, 500.0, 2000.0]),
        np.full((9, 12), 2),
        True,
    )
    u = 0.5 * np.cos(np.deg2rad(grid.gphiu)) * xr.ones_like(grid.gdept_1d)
    flow = finish(xr.Dataset({"uo": u, "vo": 0.0 * u}), grid)
    assert float(balance.largest_divergence(flow, grid)) == 0.0


def test_flow_through_one_face_leaves_one_cell_and_enters_its_neighbour(ocean_grid):
    for name, face, neighbour in (("uo", ("e2u", "e3u_0"), (0, 1)), ("vo", ("e1v", "e3v_0"), (1, 0))):
        flow = finish(xr.Dataset({n: xr.zeros_like(ocean_grid.gdept_0) for n in ("uo", "vo")}), ocean_grid)
        flow[name][2, 10, 4] = 0.1
        width, height = (ocean_grid.ds[n] for n in face)
        flux = 0.1 * float(width[10, 4] * height[2, 10, 4])
        found = balance.divergence(flow, ocean_grid)
        assert float(found[10, 4]) == pytest.approx(flux / float(ocean_grid.area[10, 4]))
        there = (10 + neighbour[0], 4 + neighbour[1])
        assert float(found[there]) == pytest.approx(-flux / float(ocean_grid.area[there]))
        assert int((found.fillna(0) != 0).sum()) == 2


def test_the_flow_across_the_seam_enters_the_first_column(ocean_grid):
    flow = finish(xr.Dataset({n: xr.zeros_like(ocean_grid.gdept_0) for n in ("uo", "vo")}), ocean_grid)
    row = int(np.flatnonzero(ocean_grid.umask.values[0, :, -1])[0])
    flow.uo[0, row, -1] = 0.1
    found = balance.divergence(flow, ocean_grid)
    assert float(found[row, -1]) > 0 > float(found[row, 0])


def test_only_closed_faces_count_as_walls_and_nan_is_no_flow(ocean, ocean_grid):
    assert float(balance.flow_through_walls(ocean, ocean_grid)) == 0.0
    assert float(balance.flow_through_walls(ocean.fillna(0.0), ocean_grid)) == 0.0
    for name, mask in (("uo", "umask"), ("vo", "vmask")):
        leaky = ocean[name].copy(deep=True)
        wall = tuple(np.argwhere(ocean_grid.ds[mask].values == 0)[-1])
        leaky[wall] = -0.25
        assert float(balance.flow_through_walls(ocean.assign({name: leaky}), ocean_grid)) == 0.25


def test_the_kinetic_energy_of_a_uniform_current_is_half_its_square():
    grid = mesh(
        np.arange(0.0, 360.0, 30.0),
        np.linspace(-60, 60, 9),
        np.array([0.0, 500.0, 2000.0]),
        np.full((9, 12), 2),
        True,
    )
    u = 0.0 * grid.gdept_0 + 0.4
    assert float(
        balance.kinetic_energy(finish(xr.Dataset({"uo": u, "vo": 0 * u}), grid), grid)
    ) == pytest.approx(0.08)


def test_the_energy_of_one_face_is_that_of_the_water_around_it(ocean_grid):
    """Each component with its own thickness, which on partial bottom cells is not the other's."""
    k, j, i = np.argwhere(
        (ocean_grid.e3u_0 != ocean_grid.e3v_0).values & (ocean_grid.umask * ocean_grid.vmask > 0).values
    )[7]
    for name, sizes in (("uo", ("e1u", "e2u", "e3u_0")), ("vo", ("e1v", "e2v", "e3v_0"))):
        state = finish(xr.Dataset({n: xr.zeros_like(ocean_grid.gdept_0) for n in ("uo", "vo")}), ocean_grid)
        state[name][k, j, i] = 0.3
        across, along, height = (ocean_grid.ds[n].values for n in sizes)
        energy = 0.045 * across[j, i] * along[j, i] * height[k, j, i]
        whole = float(balance.kinetic_energy(state, ocean_grid)) * float(ocean_grid.volume.sum())
        assert whole == pytest.approx(energy, rel=1e-12)


def test_violations_of_the_mask_are_counted_one_by_one(ocean, ocean_grid):
    assert int(balance.mask_violations(ocean, ocean_grid)) == 0
    wet = tuple(np.argwhere(ocean_grid.tmask.values > 0)[0])
    land = np.argwhere(ocean_grid.tmask.values == 0)
    thetao = ocean.thetao.copy(deep=True)
    thetao[wet] = np.nan
    thetao[tuple(land[0])], thetao[tuple(land[1])], thetao[tuple(land[2])] = 3.0, 0.0, np.inf
    state = ocean.assign(thetao=thetao, zos=ocean.zos.where(ocean.zos.isnull(), np.inf))
    surface = int((ocean_grid.tmask.values[0] > 0).sum())
    assert int(balance.missing_values(state, ocean_grid)) == 1 + surface
    assert int(balance.values_on_land(state, ocean_grid)) == 2
    assert int(balance.mask_violations(state, ocean_grid)) == 3 + surface


def test_velocities_are_held_against_the_masks_of_their_own_points(ocean, ocean_grid):
    """A T mask taken for the U mask would call the eastern wall a hole and a value there no violation."""
    filled = ocean.assign(uo=ocean.uo.fillna(0.1))
    assert int(balance.values_on_land(filled, ocean_grid)) == int((ocean_grid.umask == 0).sum())


def test_values_out_of_bounds_are_counted_in_the_sea_only(ocean, ocean_grid):
    assert int(balance.out_of_bounds(ocean, ocean_grid)) == 0
    assert int(balance.out_of_bounds(ocean.fillna(-999.0), ocean_grid)) == 0
    kelvin = ocean.assign(thetao=ocean.thetao + 273.15)
    assert int(balance.out_of_bounds(kelvin, ocean_grid)) == int((ocean_grid.tmask > 0).sum())


def test_a_dataset_without_a_state_is_refused(ocean_grid):
    with pytest.raises(UserError, match="holds none of thetao"):
        balance.missing_values(xr.Dataset({"toce": ocean_grid.gdept_0}), ocean_grid)


def test_salt_that_is_missing_in_part_of_the_sea_counts_and_a_state_without_salinity_does_not(
    ocean, ocean_grid
):
    fresh = ocean.so.copy(deep=True)
    for wet in np.argwhere(ocean_grid.tmask.values > 0)[[3, 30]]:
        fresh[tuple(wet)] = 0.0
    assert int(balance.missing_values(ocean.assign(so=fresh), ocean_grid)) == 2
    assert int(balance.missing_values(ocean.drop_vars("so"), ocean_grid)) == 0


def test_a_hole_hides_an_extreme_of_its_region_and_of_no_other():
    values = xr.DataArray([[1.0, 5.0, 9.0], [np.nan, 2.0, 7.0]], dims=("y", "x"))
    inside = xr.DataArray([[True, True, False], [False, True, False]], dims=("y", "x"))
    assert (float(extreme(values, inside, "max")), float(extreme(values, inside, "min"))) == (5.0, 1.0)
    for kind in ("max", "min"):
        assert bool(extreme(values, inside | values.isnull(), kind).isnull())
        assert bool(extreme(values, inside & False, kind).isnull())
