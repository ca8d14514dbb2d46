"""Balance: rest has none to lose, a flow built from the density is in balance, analytic shears come out."""

import numpy as np
import pytest
import xarray as xr

from warmstart.ocean import eos
from warmstart.ocean.basin import basin, face_masks, finish
from warmstart.ocean.grid import Grid
from warmstart.physics import balance, geostrophy


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


def coriolis(i, j):
    """Coriolis parameter of the plane at a position in cells; it differs from each point to its neighbours [s-1]."""
    return 1e-4 * (1.0 + 0.01 * i + 0.02 * j)


@pytest.fixture(scope="module")
def planes():
    """A mesh of even spacing on a plane whose Coriolis parameter grows along both axes."""
    _, grid = basin(nx=10, ny=24, nz=5)
    ds = grid.ds.copy(deep=True)
    for name in ("e1t", "e1u", "e1v", "e1f", "e2t", "e2u", "e2v", "e2f"):
        ds[name] = 0 * ds[name] + 1e5
    for name in ("gphit", "gphiu", "gphiv", "gphif"):
        ds[name] = 0 * ds[name] + 45.0
    x, y = (xr.DataArray(np.arange(ds.sizes[d]), dims=d) for d in "xy")
    ds["ff_t"] = (coriolis(x, y) + 0 * ds.ff_t).transpose("y", "x")
    return Grid(ds)


#: Cells of the plane that no wall and no seam touches.
INNER = {"x": slice(3, 8), "y": slice(5, 20), "z": slice(0, 4)}


def sloping(planes, a):
    """Water whose density grows along both axes, by more the farther along the other, the same at all depths [kg m-3]."""
    x, y = (xr.DataArray(np.arange(planes.ds.sizes[d]), dims=d) for d in "xy")
    so = 35.0 + a / eos.B0 * (x + 2 * y + 0.1 * x * y) + 0 * planes.gdept_0
    return finish(xr.Dataset({"thetao": 0 * so + 10.0, "so": so.transpose("z", "y", "x")}), planes)


def textbook(planes, a):
    """The flow that balances :func:`sloping` under a flat sea level: f v = g z drho/dx / RHO0, f u = -g z drho/dy / RHO0."""
    x, y = (xr.DataArray(np.arange(planes.ds.sizes[d]), dims=d) for d in "xy")
    push = eos.G * planes.gdept_0 * a / 1e5 / eos.RHO0
    u = -push * (2 + 0.1 * (x + 0.5)) / coriolis(x + 0.5, y)
    v = push * (1 + 0.1 * (y + 0.5)) / coriolis(x, y + 0.5)
    return finish(xr.Dataset({"uo": u, "vo": v}), planes)


def test_a_density_that_slopes_has_the_flow_of_the_textbook(planes):
    """At every depth, not only its shear, with f and the gradients where the velocity is."""
    found = geostrophy.geostrophic_flow(sloping(planes, 0.01), planes).isel(INNER)
    expected = textbook(planes, 0.01).isel(INNER)
    for name in ("uo", "vo"):
        assert float(abs(expected[name]).min()) > 1e-4
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9)


def test_what_is_added_to_a_balanced_flow_is_the_residual(planes):
    """The flow of the textbook has none of either kind; a uniform one has no shear; u and v count by their volumes."""
    inner, inside = planes.ds.copy(deep=True), np.zeros(planes.shape, "int8")
    inside[:, 4:20, 2:8] = 1
    inner = inner.assign({n: (("z", "y", "x"), m) for n, m in face_masks(inside, False).items()})
    inner["e3v_0"] = 0.25 * inner.e3v_0
    sea = Grid(inner)
    share = 80 / (
        80 + 0.25 * 90
    )  # of the volume of a level that lies around its 80 U faces, not its 90 V faces
    for a in (0.01, -0.02):
        state = sloping(planes, a).assign(textbook(planes, a))
        state = state.assign(zos=0 * planes.gphit)
        assert float(geostrophy.geostrophic_residual(state, sea)) < 1e-12
        assert float(geostrophy.thermal_wind_residual(state, sea)) < 1e-15
        pushed = state.assign(uo=state.uo + 0.1, vo=state.vo - 0.2)
        assert float(geostrophy.thermal_wind_residual(pushed, sea)) < 1e-15
        assert float(geostrophy.geostrophic_residual(pushed, sea)) == pytest.approx(
            (share * 0.01 + (1 - share) * 0.04) ** 0.5
        )
        turned = state.assign(uo=state.uo + 1e-4 * planes.gdept_0, vo=state.vo - 2e-4 * planes.gdept_0)
        assert float(geostrophy.thermal_wind_residual(turned, sea)) == pytest.approx(
            (share * 1e-8 + (1 - share) * 4e-8) ** 0.5
        )


def test_the_shear_is_that_between_the_depths_at_which_the_faces_lie(planes):
    """Levels that slope along both axes, and water of one density: all shear is out of balance."""
    tilted = planes.ds.copy(deep=True)
    x, y = (xr.DataArray(np.arange(planes.ds.sizes[d]), dims=d) for d in "xy")
    slope = 1 + 0.02 * x + 0.05 * y
    for name in ("gdept_0", "gdepw_0", "e3t_0", "e3u_0", "e3v_0"):
        tilted[name] = (tilted[name] * slope).transpose("z", "y", "x")
    tilted["umask"][:, :, -1] = 0  # the slope ends at the seam
    mesh = Grid(tilted)
    depth = {
        p: planes.gdept_0 * (1 + 0.02 * (x + i) + 0.05 * (y + j))
        for p, i, j in (("u", 0.5, 0), ("v", 0, 0.5))
    }
    moving = still(mesh, lambda z: 35.0 + 0 * z).assign(uo=1e-4 * depth["u"], vo=1e-4 * depth["v"])
    found = geostrophy.thermal_wind_residual(finish(moving, mesh), mesh)
    assert float(found) == pytest.approx(1e-4, rel=1e-9)


def test_the_pressure_is_the_weight_of_what_lies_above(ocean_grid):
    """Density that grows with depth, linear between centres, and of the first centre's value above it; g RHO0 zos on top."""
    state = still(ocean_grid, lambda z: 35.0 + 1e-3 * z)
    state = state.assign(zos=state.zos + 0.5)
    depth, b = ocean_grid.gdept_0, 1e-3 * eos.B0
    expected = eos.G * (b * (depth**2 + depth.isel(z=0) ** 2) / 2 + eos.RHO0 * 0.5)
    found = geostrophy.pressure(state, ocean_grid)
    wet = ocean_grid.tmask.values > 0
    np.testing.assert_allclose(found.values[wet], expected.transpose("z", "y", "x").values[wet], rtol=1e-12)
    assert np.isnan(found.values[~wet]).all()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_slope_of_the_sea_level_drives_the_same_flow_at_all_depths(planes, axis):
    x, y = (xr.DataArray(np.arange(planes.ds.sizes[d]), dims=d) for d in "xy")
    slope = 1e-7 * 1e5 * {"x": x, "y": y}[axis] + 0 * planes.gphit
    state = still(planes, lambda z: 35.0 + 0 * z)
    state = finish(state.assign(zos=slope.transpose("y", "x")), planes)
    flow, zero = geostrophy.geostrophic_flow(state, planes), 0 * planes.gdept_0
    expected = {
        "uo": -eos.G * 1e-7 / coriolis(x + 0.5, y) * (axis == "y") + zero,
        "vo": eos.G * 1e-7 / coriolis(x, y + 0.5) * (axis == "x") + zero,
    }
    for name, field in expected.items():
        np.testing.assert_allclose(
            flow[name].isel(INNER), field.transpose("z", "y", "x").isel(INNER), rtol=1e-9, atol=1e-15
        )


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
