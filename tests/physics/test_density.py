"""Density: NEMO's own, TEOS-10 by gsw, and the three ways of comparing two cells."""

import numpy as np
import pytest
import xarray as xr

import warmstart as ws
from nemo_plain import NEMO, needs_nemo, read
from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.basin import finish
from warmstart.physics import column, density


@needs_nemo
def test_potential_density_is_nemos_rhop_to_the_precision_of_the_restart():
    """rhop is of the step before the filter; `tb` is the same step after it, so the filter is what is left."""
    folder = NEMO / "v42_4deg_leapfrog"
    f, grid = read(folder / "DINO_00005760_restart.nc"), ws.open_grid(folder / "mesh_mask.nc")
    wet = grid.tmask.values > 0

    def sigma(t, s):
        state = xr.Dataset({"thetao": (("z", "y", "x"), t), "so": (("z", "y", "x"), s)})
        return density.potential_density(state, grid).values + 1000.0

    before, now = sigma(f.tb, f.sb)[wet], sigma(f.tn, f.sn)[wet]
    error = np.abs(before - f.rhop[wet])
    assert np.median(error) < 2e-9 and error.max() < 4e-4
    # never further than the water changed in one step of 90 minutes
    assert (error <= np.abs(now - before) + 1e-9).mean() > 0.998
    # and by the same equation, rounding apart, where the two steps are the same
    still = np.abs(now - before) < 1e-9
    assert still.sum() > 50 and error[still].max() < 1e-9


@needs_nemo
def test_n2_of_the_surface_is_the_step_of_nemos_rhop():
    folder = NEMO / "v42_4deg_leapfrog"
    f, m = read(folder / "DINO_00005760_restart.nc"), read(folder / "mesh_mask.nc")
    grid = ws.open_grid(folder / "mesh_mask.nc")
    state = xr.Dataset({"thetao": (("z", "y", "x"), f.tb), "so": (("z", "y", "x"), f.sb)})
    found = column.n2(state, grid, reference=0.0).values[1:]
    expected = 9.80665 / 1026.0 * np.diff(f.rhop, axis=0) / m.e3w_0[1:]
    wet = (m.tmask[:-1] > 0) & (m.tmask[1:] > 0)
    error = np.abs(found - expected)[wet]
    assert np.median(error) < 1e-13 and error.max() < 1e-6  # what the time filter of the model changes in tb


@needs_nemo
def test_n2_is_nemos_formula_with_alpha_and_beta_at_the_face():
    """NEMO's bn2: g (alpha dT - beta dS) / e3w, alpha and beta interpolated to the face."""
    folder = NEMO / "v42_4deg_leapfrog"
    f, m = read(folder / "DINO_00005760_restart.nc"), read(folder / "mesh_mask.nc")
    grid = ws.open_grid(folder / "mesh_mask.nc")
    state = xr.Dataset({"thetao": (("z", "y", "x"), f.tn), "so": (("z", "y", "x"), f.sn)})
    found = column.n2(state, grid).values[1:]
    alpha = 0.165 * (1 + 0.06 * (f.tn - 10) + 1.497e-4 * m.gdept_0) / 1026
    beta = np.full_like(alpha, 0.76554 / 1026)
    up, low = slice(None, -1), slice(1, None)
    weight = (m.gdepw_0[low] - m.gdept_0[low]) / (m.gdept_0[up] - m.gdept_0[low])
    at_face = [a[low] * (1 - weight) + a[up] * weight for a in (alpha, beta)]
    rise = at_face[0] * (f.tn[up] - f.tn[low]) - at_face[1] * (f.sn[up] - f.sn[low])
    expected = 9.80665 * rise / m.e3w_0[low]
    wet = (m.tmask[up] > 0) & (m.tmask[low] > 0)
    np.testing.assert_allclose(found[wet], expected[wet], rtol=0.05, atol=1e-8)
    assert np.corrcoef(found[wet], expected[wet])[0, 1] > 0.9999
    assert np.median(np.abs(found - expected)[wet]) < 1e-9


def test_teos10_is_that_of_gsw(ocean, ocean_grid):
    gsw = pytest.importorskip("gsw", reason="gsw is not installed")
    sigma = density.potential_density(ocean, ocean_grid, 2000.0, "teos10")
    pressure = 2000.0 * eos.RHO0 * eos.G * 1e-4
    wet = ocean_grid.tmask.values > 0
    expected = gsw.rho(ocean.so.values[wet], ocean.thetao.values[wet], pressure) - 1000
    np.testing.assert_allclose(sigma.values[wet], expected, rtol=1e-12)
    # sigma-0 differs from gsw's own only by its polynomial
    surface = density.potential_density(ocean, ocean_grid, 0.0, "teos10").values[wet]
    np.testing.assert_allclose(surface, gsw.sigma0(ocean.so.values[wet], ocean.thetao.values[wet]), atol=1e-6)


def test_n2_by_teos10_is_that_of_gsw_within_its_stencil(ocean, ocean_grid):
    gsw = pytest.importorskip("gsw", reason="gsw is not installed")
    j, i = 15, 5
    found = column.n2(ocean, ocean_grid, equation="teos10").isel(y=j, x=i).values[1:4]
    p = ocean_grid.gdept_1d.values * eos.RHO0 * eos.G * 1e-4
    s, t = ocean.so.values[:, j, i], ocean.thetao.values[:, j, i]
    expected, _ = gsw.Nsquared(s, t, p, lat=45.0)
    np.testing.assert_allclose(found, expected[:3], rtol=0.03)


def test_an_unknown_equation_and_reference_are_refused(ocean, ocean_grid):
    with pytest.raises(UserError, match="expected one of seos, teos10"):
        density.potential_density(ocean, ocean_grid, equation="eos90")
    with pytest.raises(UserError, match="local, in situ or a depth"):
        column.density_step(ocean, ocean_grid, reference="surface")


def test_compression_hides_inversions_in_situ(ocean, ocean_grid):
    pytest.importorskip("gsw", reason="gsw is not installed")
    upset = ocean.assign(
        thetao=ocean.thetao.isel(z=slice(None, None, -1)).where(ocean.thetao.notnull()).fillna(10.0)
    )
    local = float(column.inversions(upset, ocean_grid, equation="teos10"))
    in_situ = float(column.inversions(upset, ocean_grid, equation="teos10", reference="in situ"))
    assert local > 0.5 and in_situ < 0.5 * local


def test_stability_depends_on_the_depth_of_comparison_where_pressure_favours_one_water(ocean_grid):
    """Cold fresh over warm salt: stable at the surface, unstable where pressure favours the cold water."""
    level = xr.DataArray(np.arange(ocean_grid.shape[0]), dims="z")
    cold = (level % 2 == 0) & (level > 0)
    thetao = xr.where(cold, 0.0, 4.0) + 0 * ocean_grid.gdept_0
    # the salinity that makes both equally dense at 1000 m
    shift = (eos.density_anomaly(0.0, 35.0, 1000.0) - eos.density_anomaly(4.0, 35.0, 1000.0)) / eos.B0
    so = xr.where(cold, 35.0 - shift, 35.0) + 0 * ocean_grid.gdept_0
    state = finish(xr.Dataset({"thetao": thetao, "so": so}), ocean_grid)
    local = column.density_step(state, ocean_grid)
    at_1000 = column.density_step(state, ocean_grid, reference=1000.0)
    assert float(abs(at_1000.isel(z=slice(2, None))).max()) < 1e-12
    deep = float(local.where(ocean_grid.gdepw_0 > 1500).min())
    assert deep < -0.05
    assert float(column.inversions(state, ocean_grid)) > float(
        column.inversions(state, ocean_grid, reference=1000.0, threshold=1e-9)
    )


@pytest.mark.parametrize("function", ["in_situ_density", "potential_density"])
def test_land_has_no_density(ocean, ocean_grid, function):
    whole = ocean[["thetao", "so"]].fillna(10.0)  # a file may hold anything on land
    found = getattr(density, function)(whole, ocean_grid).transpose("z", "y", "x")
    assert bool(found.where(~ocean_grid.mask("T")).isnull().all())
    assert bool(found.where(ocean_grid.mask("T")).notnull().any())
