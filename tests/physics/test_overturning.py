"""Overturning in density space and of the residual flow, transports under a free surface, salt."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.basin import finish
from warmstart.physics import cgrid, column, overturning, transport


def cell(grid, sverdrup=10.0):
    """Northward in level 0, southward in level 2, the same transport in every row that has both."""
    v = np.zeros(grid.shape)
    face = (grid.e1v * grid.e3v_0 * grid.vmask).transpose("z", "y", "x").values
    for level, sign in ((0, 1.0), (2, -1.0)):
        width = (grid.vmask.values[2] > 0).sum(1)[:, None]
        open_face = grid.vmask.values[2] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            v[level] = np.where(open_face, sign * sverdrup * 1e6 / width / face[level], 0.0)
    return finish(xr.Dataset({"vo": (("z", "y", "x"), v)}), grid)


def layered(grid):
    """Salinity that grows downwards, the same in every column."""
    so = 34.0 + 0.5 * xr.DataArray(np.arange(grid.shape[0]), dims="z") + 0 * grid.gdept_0
    return finish(xr.Dataset({"thetao": 0 * so + 10.0, "so": so}), grid)


def test_where_density_is_a_function_of_depth_both_overturnings_are_the_same(ocean_grid):
    state = layered(ocean_grid).assign(cell(ocean_grid))
    sigma = eos.density_anomaly(10.0, 34.0 + 0.5 * np.arange(5), 2000.0) + eos.RHO0 - 1000
    edges = np.concatenate([[sigma[0] - 1], 0.5 * (sigma[1:] + sigma[:-1]), [sigma[-1] + 1]])
    in_density = overturning.overturning_density(state, ocean_grid, edges)
    in_depth = transport.overturning(state, ocean_grid)
    np.testing.assert_allclose(in_density.values, in_depth.values, atol=1e-12)
    assert float(in_density.max()) == pytest.approx(10.0)
    peak = overturning.overturning_density_cell(state, ocean_grid, (-60.0, 60.0), "northern")
    assert float(peak) == pytest.approx(10.0)


def test_water_crosses_a_row_at_the_mean_density_of_the_cells_on_both_sides(ocean_grid):
    """One open face between light and dense water: all of its transport lies in the class between them."""
    k, j, i = 1, 12, 5
    so = 34.0 + 0.1 * xr.DataArray(np.arange(ocean_grid.shape[1]), dims="y") + 0 * ocean_grid.gdept_0
    state = finish(xr.Dataset({"thetao": 0 * so + 10.0, "so": so}), ocean_grid)
    v = xr.zeros_like(ocean_grid.gdept_0)
    v[k, j, i] = 0.1
    state = finish(state.assign(vo=v), ocean_grid)
    light, dense = (
        eos.density_anomaly(10.0, 34.0 + 0.1 * row, 2000.0) + eos.RHO0 - 1000 for row in (j, j + 1)
    )
    edges = [light - 1, light + 0.49 * (dense - light), light + 0.51 * (dense - light), dense + 1]
    sverdrup = 0.1 * float(ocean_grid.e1v[j, i] * ocean_grid.e3v_0[k, j, i]) / 1e6
    found = overturning.overturning_density(state, ocean_grid, edges)
    np.testing.assert_allclose(found[:, j], [-sverdrup, -sverdrup, 0.0], rtol=1e-12)
    assert float(abs(found.drop_isel(y=j)).max()) == 0.0


def test_the_abyssal_cell_is_that_of_water_denser_than_the_mean_at_a_depth_in_any_ocean(ocean_grid):
    """However light the abyss: the threshold follows it."""
    depth = float(ocean_grid.gdept_1d[1])
    backwards = cell(ocean_grid, -10.0)
    for lighter in (-1.0, 0.0):
        state = layered(ocean_grid).assign(backwards)
        state = state.assign(so=state.so - lighter)
        found = overturning.overturning_density_cell(state, ocean_grid, (-60.0, 60.0), "abyssal", depth)
        assert float(found) == pytest.approx(-10.0)
    deeper = overturning.overturning_density_cell(
        state, ocean_grid, (-60.0, 60.0), "abyssal", float(ocean_grid.gdept_1d[2])
    )
    assert float(deeper) == pytest.approx(0.0, abs=1e-9)
    beyond = overturning.overturning_density_cell(state, ocean_grid, (-60.0, 60.0), "abyssal", 1e5)
    assert bool(beyond.isnull())


def test_water_that_goes_and_returns_at_the_same_density_does_not_overturn_in_density_space(ocean_grid):
    flow = cell(ocean_grid)
    same = layered(ocean_grid).assign(so=lambda ds: ds.so * 0 + 35.0).assign(flow)
    assert float(abs(overturning.overturning_density(same, ocean_grid)).max()) < 1e-12
    assert float(transport.overturning(same, ocean_grid).max()) == pytest.approx(10.0)


def test_a_hole_hides_its_own_row_and_no_other(ocean_grid):
    state = layered(ocean_grid).assign(cell(ocean_grid))
    holed = state.vo.copy(deep=True)
    holed[0, 12, 5] = np.nan
    found = overturning.overturning_density(state.assign(vo=holed), ocean_grid)
    assert list(np.flatnonzero(found.isnull().all("sigma"))) == [12]


def test_edges_that_do_not_increase_are_refused(ocean, ocean_grid):
    with pytest.raises(UserError, match="increase"):
        overturning.overturning_density(ocean, ocean_grid, [30.0, 29.0])


def test_the_residual_circulation_is_resolved_plus_bolus(ocean, ocean_grid):
    flow = cell(ocean_grid)
    state = ocean.assign(flow).assign(vo_bolus=-0.3 * flow.vo)
    args = (ocean_grid, (10.0, 60.0), 200.0, "northern")
    assert float(overturning.residual_cell(state, *args)) == pytest.approx(
        0.7 * float(transport.overturning_cell(state, *args))
    )
    residual = overturning.residual_flow(state)
    np.testing.assert_allclose(residual.vo, 0.7 * flow.vo)
    assert residual.uo.identical(state.uo)
    with pytest.raises(UserError, match="no bolus velocity"):
        overturning.residual_flow(ocean)


def test_salt_goes_where_the_salty_branch_goes(ocean_grid):
    state = layered(ocean_grid).assign(cell(ocean_grid))
    rows = np.flatnonzero((ocean_grid.vmask.isel(z=2) > 0).any("x"))
    salt = transport.salt_transport(state, ocean_grid).isel(y=rows)
    np.testing.assert_allclose(salt, 1e-3 * eos.RHO0 * 10e6 * (34.0 - 35.0), rtol=1e-9)
    assert float(transport.salt_transport_largest(state, ocean_grid)) == pytest.approx(
        1e4 * eos.RHO0, rel=1e-9
    )


def test_under_a_free_surface_the_faces_thicken_by_the_mean_of_their_cells(ocean, ocean_grid):
    flat = ocean.assign(zos=ocean.zos * 0)
    for function in (transport.throughflow, transport.section_transport, transport.channel_transport):
        np.testing.assert_allclose(
            function(flat, ocean_grid, free_surface=True), function(flat, ocean_grid), rtol=1e-13
        )
    with pytest.raises(UserError, match="holds no zos"):
        transport.throughflow(ocean[["uo"]], ocean_grid, free_surface=True)


def test_fields_of_the_families_do_not_depend_on_chunks(ocean, ocean_grid):
    pytest.importorskip("dask", reason="dask is not installed")
    both = xr.concat([ocean, ocean + 0.1], "time")
    lazy = both.chunk({"time": 1, "z": 2, "y": 7, "x": 4})
    for function in (overturning.overturning_density, column.convective_energy):
        found = function(lazy, ocean_grid)
        assert found.chunks is not None
        np.testing.assert_allclose(
            found.compute(scheduler="synchronous"), function(both, ocean_grid), rtol=1e-12, atol=1e-9
        )


@pytest.mark.parametrize("point", ["U", "V"])
def test_a_face_stretches_by_the_mean_level_of_its_two_cells_over_their_areas(ocean, ocean_grid, point):
    level = ocean.zos.copy(data=np.random.default_rng(2).normal(size=ocean.zos.shape)).where(
        ocean.zos.notnull()
    )
    found = cgrid.stretching(ocean.assign(zos=level), ocean_grid, point).transpose("y", "x").values
    area = (ocean_grid.e1t * ocean_grid.e2t).transpose("y", "x").values
    thick = (
        ocean_grid.ds[f"e3{point.lower()}_0"]
        .where(ocean_grid.mask(point), 0.0)
        .sum("z")
        .transpose("y", "x")
        .values
    )
    open_faces = np.argwhere(thick > 0)[::3]
    values = level.transpose("y", "x").values
    for j, i in open_faces:
        jn, in_ = (j, (i + 1) % area.shape[1]) if point == "U" else (j + 1, i)
        mean = (values[j, i] * area[j, i] + values[jn, in_] * area[jn, in_]) / (area[j, i] + area[jn, in_])
        assert found[j, i] == pytest.approx(1 + mean / thick[j, i], rel=1e-12)
