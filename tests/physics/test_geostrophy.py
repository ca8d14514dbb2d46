"""Balance: rest has none to lose, a flow built from the density is in balance, analytic shears come out."""

import numpy as np
import pytest
import xarray as xr

from warmstart import eos
from warmstart.grid import Grid
from warmstart.physics import balance, geostrophy, overturning, transport
from warmstart.testing import basin, finish


def still(grid, profile):
    """Water at rest whose salinity depends on depth alone, at the temperature that pressure does not act on."""
    so = profile(grid.gdept_0)
    zero = 0 * grid.gdept_0
    return finish(
        xr.Dataset(
            {"thetao": zero + 10.0, "so": so, "uo": zero, "vo": zero, "wo": zero, "zos": zero.isel(z=0)}
        ),
        grid,
    )


@pytest.fixture(scope="module")
def planes():
    """A mesh of even spacing whose Coriolis parameter is the same everywhere, 45N to 55N."""
    _, grid = basin(nx=10, ny=24, nz=5)
    ds = grid.ds.copy(deep=True)
    for name in ("e1t", "e1u", "e1v", "e1f", "e2t", "e2u", "e2v", "e2f"):
        ds[name] = 0 * ds[name] + 1e5
    for name in ("gphit", "gphiu", "gphiv", "gphif"):
        ds[name] = 0 * ds[name] + 45.0
    ds["ff_t"] = 0 * ds.ff_t + 1e-4
    return Grid(ds)


def test_a_state_of_rest_has_no_transports_and_no_residuals(ocean_grid):
    state = still(ocean_grid, lambda z: 35.0 + z / 4000.0)
    for function in (
        transport.throughflow, transport.channel_transport, transport.throughflow_spread, transport.overturning,
        transport.barotropic_streamfunction, transport.heat_transport, transport.salt_transport,
        overturning.overturning_density, balance.largest_divergence, balance.largest_continuity_residual,
        balance.kinetic_energy, balance.flow_through_walls,
    ):  # fmt: skip
        assert float(abs(function(state, ocean_grid)).max()) == 0.0, function
    # partial bottom cells and all
    assert float(geostrophy.geostrophic_residual(state, ocean_grid)) < 1e-10
    assert float(geostrophy.thermal_wind_residual(state, ocean_grid)) < 1e-12
    assert float(geostrophy.sea_level_residual(state, ocean_grid)) < 1e-9


def test_a_geostrophic_state_built_from_a_density_field_has_no_residual(ocean, ocean_grid):
    flow = geostrophy.geostrophic_flow(ocean, ocean_grid)
    state = ocean.assign(flow)
    size = float((abs(flow.uo)).max())
    assert size > 1e-3
    assert float(geostrophy.geostrophic_residual(state, ocean_grid)) == 0.0
    assert float(geostrophy.thermal_wind_residual(state, ocean_grid)) < 1e-14 * size
    barotropic = state.assign(uo=state.uo + 0.1, vo=state.vo - 0.2)
    assert float(geostrophy.thermal_wind_residual(barotropic, ocean_grid)) < 1e-13
    assert float(geostrophy.geostrophic_residual(barotropic, ocean_grid)) == pytest.approx(0.158, rel=0.05)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_linear_density_gradient_has_the_shear_of_the_textbook(planes, axis):
    """rho = a x: dv/dz = -g a / (f rho0); rho = a y: du/dz = g a / (f rho0), written down here from the formula."""
    a = 1e-7  # kg m-4
    along = xr.DataArray(np.arange(planes.ds.sizes[axis]) * 1e5, dims=axis)
    so = 35.0 + a / eos.B0 * along + 0 * planes.gdept_0
    state = finish(xr.Dataset({"thetao": 0 * so + 10.0, "so": so.transpose("z", "y", "x")}), planes)
    flow = geostrophy.geostrophic_flow(state, planes)
    shear = eos.G * a / (1e-4 * eos.RHO0)
    name, sign = {"x": ("vo", -1.0), "y": ("uo", 1.0)}[axis]
    found = flow[name].isel(x=slice(3, 8), y=slice(5, 20))
    depth = planes.gdept_1d
    # z up: the flow grows by sign * shear a metre towards the surface
    expected = (found.isel(z=0) - sign * shear * (depth - depth[0])).transpose("z", "y", "x")
    np.testing.assert_allclose(found.isel(z=slice(0, 4)), expected.isel(z=slice(0, 4)), rtol=1e-9, atol=1e-12)
    other = flow["uo" if axis == "x" else "vo"].isel(x=slice(3, 8), y=slice(5, 20))
    assert float(abs(other.isel(z=slice(0, 4))).max()) < 1e-12


def test_the_slope_of_the_sea_level_drives_the_surface_flow(planes):
    y = xr.DataArray(np.arange(24) * 1e5, dims="y")
    state = still(planes, lambda z: 35.0 + 0 * z)
    state = finish(state.assign(zos=(1e-7 * y + 0 * planes.gphit).transpose("y", "x")), planes)
    flow = geostrophy.geostrophic_flow(state, planes).uo.isel(x=slice(3, 8), y=slice(5, 20), z=slice(0, 4))
    np.testing.assert_allclose(flow, -eos.G * 1e-7 / 1e-4, rtol=1e-9)


def test_steric_height_of_light_water_over_the_reference_is_its_thickness_times_the_lightness(ocean_grid):
    state = still(ocean_grid, lambda z: 35.0 - 1.0 / eos.B0 + 0 * z)  # 1 kg m-3 light everywhere
    height = geostrophy.steric_height(state, ocean_grid, 1000.0)
    wet = (ocean_grid.e3t_0 * ocean_grid.tmask).sum("z") >= 1000
    np.testing.assert_allclose(height.values[wet.values], 1000.0 / eos.RHO0, rtol=1e-9)
    assert bool(height.isnull().where(~wet, True).all())


def test_a_sea_level_that_is_the_steric_height_has_no_residual_and_a_tilt_has_its_rms(ocean, ocean_grid):
    zos = geostrophy.steric_height(ocean, ocean_grid)
    level = ocean.assign(zos=zos + 3.0)
    assert float(geostrophy.sea_level_residual(level, ocean_grid)) < 1e-12
    noise = xr.where(xr.DataArray(np.arange(10), dims="x") % 2 == 0, 0.1, -0.1)
    assert float(geostrophy.sea_level_residual(level.assign(zos=zos + noise), ocean_grid)) == pytest.approx(
        0.1, rel=0.02
    )


def test_a_hole_in_the_sea_is_seen(ocean, ocean_grid):
    wet = np.argwhere((ocean_grid.tmask.values > 0) & (abs(ocean_grid.gphit.values) > 20)[None])[40]
    holed = ocean.so.copy(deep=True)
    holed[tuple(wet)] = np.nan
    state = ocean.assign(so=holed)
    for function in (
        geostrophy.geostrophic_residual,
        geostrophy.thermal_wind_residual,
        geostrophy.sea_level_residual,
    ):
        assert np.isnan(function(state, ocean_grid)), function


# ---------------------------------------------------------------- continuity


def test_the_vertical_velocity_of_continuity_closes_it(ocean, ocean_grid):
    wo = balance.vertical_velocity(ocean, ocean_grid)
    state = ocean.assign(wo=wo)
    assert float(balance.largest_continuity_residual(state, ocean_grid)) < 1e-18
    # at the surface what is left is minus the divergence of the whole column
    np.testing.assert_allclose(wo.isel(z=0), -balance.divergence(ocean, ocean_grid), atol=1e-18)
    assert float(
        balance.largest_continuity_residual(state.assign(wo=wo + 1e-6), ocean_grid)
    ) == pytest.approx(1e-6)


def test_solid_body_rotation_does_not_diverge(planes):
    """u = -omega y, v = omega x inside an opened square; no wall cuts it."""
    omega = 1e-6
    x, y = (xr.DataArray(np.arange(n) * 1e5, dims=d) for d, n in (("x", 10), ("y", 24)))
    zero = 0 * planes.gdept_0
    state = xr.Dataset({"uo": zero - omega * (y - 1.2e6), "vo": zero + omega * (x - 5e5)}).transpose(
        "z", "y", "x"
    )
    inner = {"x": slice(3, 8), "y": slice(3, 21), "z": slice(0, 4)}
    divergence = balance._outflow(state, planes).isel(inner)
    assert float(abs(divergence).max()) < 1e-18


def test_kinetic_energy_by_level_adds_up_to_the_whole(ocean, ocean_grid):
    levels = balance.kinetic_energy_by_level(ocean, ocean_grid)
    volume = ocean_grid.volume.sum(("y", "x"))
    whole = (levels * volume).sum() / volume.sum()
    assert float(whole) == pytest.approx(float(balance.kinetic_energy(ocean, ocean_grid)))
