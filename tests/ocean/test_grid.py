"""The mesh: staggering, volumes, boxes by degrees and metres, and refusing another mesh."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io.files import open_grid, write_dataset
from warmstart.ocean.basin import EARTH_RADIUS, basin, mesh
from warmstart.ocean.grid import Grid


def test_the_volume_of_a_flat_sector_is_that_of_the_spherical_shell():
    lat = np.linspace(-9, 9, 19)
    grid = mesh(np.arange(10.0), lat, np.array([0.0, 100.0, 1000.0]), np.full((19, 10), 2), False)
    exact = EARTH_RADIUS**2 * np.deg2rad(10) * (2 * np.sin(np.deg2rad(9.5))) * 1000.0
    assert float(grid.volume.sum()) == pytest.approx(exact, rel=1e-4)


def test_a_face_is_open_only_between_two_wet_cells_and_across_the_seam_only_in_the_channel():
    _, grid = basin(nx=8, ny=20, nz=4)
    t, u, v = (grid.mask(p).values for p in "TUV")
    np.testing.assert_array_equal(u[:, :, :-1], t[:, :, :-1] & t[:, :, 1:])
    np.testing.assert_array_equal(u[:, :, -1], t[:, :, -1] & t[:, :, 0])
    np.testing.assert_array_equal(v[:, :-1], t[:, :-1] & t[:, 1:])
    open_rows = u[0, :, -1]
    lat = grid.gphit.values[:, 0]
    np.testing.assert_array_equal(open_rows, (lat > -65) & (lat < -45))


def test_boxes_are_degrees_and_metres_not_indices():
    _, grid = basin(nx=6, ny=15, nz=8)
    box = grid.box(lat=(-30, 30), depth=(500, 3000)).values
    lat, depth = grid.gphit.values[None], grid.gdept_0.values
    np.testing.assert_array_equal(
        box, (lat >= -30) & (lat < 30) & (depth >= 500) & (depth < 3000) & np.ones_like(box)
    )
    assert 0 < box.sum() < box.size


def test_neighbouring_boxes_share_no_cell_and_lose_none_even_where_a_centre_lies_on_their_bound():
    _, grid = basin(nx=6, ny=15, nz=8)  # rows at 0 and 10 degrees, columns at 10 and 20
    parts = [
        grid.box(lat, depth, lon).values.astype(int)
        for lat in ((-90.0, 0.0), (0.0, 10.0), (10.0, 90.0))
        for depth in ((0.0, float(grid.gdept_1d[3])), (float(grid.gdept_1d[3]), np.inf))
        for lon in ((-40.0, 10.0), (10.0, 20.0), (20.0, 320.0))
    ]
    np.testing.assert_array_equal(sum(parts), 1)


def test_longitudes_may_be_on_either_side_of_the_date_line():
    _, grid = basin(nx=6, ny=15, nz=4)
    east = grid.box(lon=(370.0, 390.0)).values
    np.testing.assert_array_equal(east, grid.box(lon=(10.0, 30.0)).values)
    assert set(grid.glamt.values[east[0]]) == {10.0, 20.0}


def test_integrals_are_additive_over_boxes_and_ignore_what_land_holds():
    state, grid = basin()
    upper, lower = grid.box(depth=(0, 1000)), grid.box(depth=(1000.0001, 1e9))
    total = grid.integrate(state.thetao)
    assert float(grid.integrate(state.thetao, upper) + grid.integrate(state.thetao, lower)) == pytest.approx(
        float(total)
    )
    assert float(grid.integrate(state.thetao.fillna(1e20))) == float(total)


def test_the_mean_of_a_constant_is_the_constant_for_every_leading_dimension():
    _, grid = basin()
    field = xr.ones_like(grid.volume).expand_dims(time=3) * xr.DataArray([1.0, 2.0, 3.0], dims="time")
    np.testing.assert_allclose(grid.mean(field), [1.0, 2.0, 3.0], rtol=1e-14)


def test_a_mesh_survives_its_file_and_its_fingerprint_tells_meshes_apart(tmp_path):
    state, grid = basin()
    _, other = basin(depth=3000.0)
    path = write_dataset(tmp_path / "state.nc", state, grid)
    again = open_grid(path)
    xr.testing.assert_identical(again.ds, grid.ds)
    assert again.fingerprint == grid.fingerprint != other.fingerprint
    grid.require_same(again, "the file")
    with pytest.raises(UserError, match="another grid"):
        grid.require_same(other, "the file")


def test_a_fingerprint_ignores_single_precision_of_the_metrics():
    _, grid = basin()
    rounded = grid.ds.copy()
    for name in ("e1t", "e2t", "gdept_0"):
        rounded[name] = rounded[name].astype("float32").astype("float64")
    assert Grid(rounded).fingerprint == grid.fingerprint


def test_a_file_that_is_no_mesh_names_what_is_missing(tmp_path):
    state, grid = basin()
    with pytest.raises(UserError, match="tmask"):
        Grid(grid.ds.drop_vars("tmask"))
    with pytest.raises(UserError, match="dims"):
        Grid(grid.ds.assign(e1t=grid.ds.e1t.T))
    path = write_dataset(tmp_path / "bare.nc", state)
    with pytest.raises(UserError, match="no mesh"):
        open_grid(path)
