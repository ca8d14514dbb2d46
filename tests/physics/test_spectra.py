"""Spectra: waves stand at their wavenumber with their variance, land is never seen, Parseval holds."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin, finish
from warmstart.physics import spectra


@pytest.fixture(scope="module")
def sector():
    return basin(nx=26, ny=60, nz=4)[1]


def surface(values, grid, name="zos"):
    field = xr.DataArray(values, dims=("y", "x"), name=name).where(grid.tmask.isel(z=0) > 0)
    return field.assign_attrs(units="m", long_name="sea surface height")


def sum_of(power):
    return float((power * power.wavenumber[0]).sum())


@pytest.mark.parametrize("direction", ["zonal", "meridional"])
def test_the_classes_add_up_to_the_variance_of_what_was_transformed(sector, direction):
    """Parseval, against detrended and windowed runs computed here one by one."""
    rng = np.random.default_rng(0)
    field = surface(rng.normal(size=(60, 26)), sector)
    power = spectra.power_spectrum(field, sector, direction, lat=(-40.0, 40.0))
    wet = (sector.tmask.values[0] > 0) & (np.abs(sector.gphit.values) <= 40)
    spacing = (sector.e1t if direction == "zonal" else sector.e2t).values
    values = field.values
    if direction == "meridional":
        wet, values, spacing = wet.T, values.T, spacing.T
    variance = length = 0.0
    for row, mask, step in zip(values, wet, spacing, strict=True):
        x = row[mask]
        if 2 * x.size < wet.sum(1).max():
            continue
        assert (np.diff(np.flatnonzero(mask)) == 1).all()  # one run a line in this sector
        t = np.arange(x.size)
        x = x - np.polyval(np.polyfit(t, x, 1), t)
        window = 0.5 * (1 - np.cos(2 * np.pi * (t + 0.5) / x.size))
        x = x * window / np.sqrt((window**2).mean())
        variance += x.var() * step[mask].sum()
        length += step[mask].sum()
    assert sum_of(power) == pytest.approx(variance / length, rel=1e-6)


def test_a_wave_round_the_channel_stands_alone_at_its_wavenumber_with_half_its_amplitude_squared(sector):
    x = np.arange(26)
    wave = surface(np.tile(0.7 * np.sin(2 * np.pi * 3 * x / 26 + 0.4), (60, 1)), sector)
    power = spectra.power_spectrum(wave, sector, lat=(-60.0, -50.0))
    peak = int(power.values.argmax())
    assert sum_of(power) == pytest.approx(0.5 * 0.7**2, rel=1e-9)  # wet all round: no window, no trend
    rows = (sector.gphit[:, 0] >= -60) & (sector.gphit[:, 0] <= -50)
    wavelength = float(sector.e1t.where(rows).mean()) * 26 / 3
    assert power.wavenumber[peak].item() == pytest.approx(1 / wavelength, rel=0.2)
    per_cell = spectra.power_spectrum(wave, sector, lat=(-60.0, -50.0), per_cell=True)
    assert per_cell.wavenumber[int(per_cell.values.argmax())].item() == pytest.approx(3 / 26)
    np.testing.assert_allclose(np.delete(per_cell.values, int(per_cell.values.argmax())), 0.0, atol=1e-20)


def test_a_wave_between_walls_keeps_its_mean_square_within_the_window(sector):
    y = np.arange(60)
    wave = surface(np.repeat(np.sin(2 * np.pi * y / 7.3)[:, None], 26, axis=1), sector)
    power = spectra.power_spectrum(wave, sector, "meridional", per_cell=True)
    assert power.wavenumber[int(power.values.argmax())].item() == pytest.approx(1 / 7.3, abs=0.02)
    assert float((power * power.wavenumber[0]).sum()) == pytest.approx(0.5, rel=0.1)


def test_what_lies_on_land_does_not_matter_and_a_hole_does(sector):
    rng = np.random.default_rng(1)
    field = surface(rng.normal(size=(60, 26)), sector)
    wet = sector.tmask.isel(z=0) > 0
    expected = spectra.power_spectrum(field, sector)
    np.testing.assert_array_equal(spectra.power_spectrum(field.where(wet, 1e6), sector), expected)
    holed = field.copy(deep=True)
    holed[tuple(np.argwhere(wet.values)[400])] = np.nan
    assert bool(spectra.power_spectrum(holed, sector).isnull().any())


def test_mean_and_trend_have_no_power(sector):
    x = np.arange(26.0)
    field = surface(np.tile(5.0 + 0.3 * x, (60, 1)), sector)
    power = spectra.power_spectrum(field, sector, lat=(-40.0, 40.0))
    assert float(power.max()) < 1e-18


def test_the_energy_of_a_uniform_level_of_noise_is_that_of_its_components(sector):
    rng = np.random.default_rng(2)
    shape = sector.shape
    state = finish(xr.Dataset({n: (("z", "y", "x"), rng.normal(size=shape)) for n in ("uo", "vo")}), sector)
    power = spectra.kinetic_energy_spectrum(state, sector, per_cell=True)
    # the mean of two neighbours has half the variance: KE = (1/2 + 1/2) / 2
    assert float((power * power.wavenumber[0]).sum()) == pytest.approx(0.5, rel=0.15)


def test_noise_has_half_its_variance_under_four_cells_and_waves_have_none(sector):
    rng = np.random.default_rng(3)
    noise = xr.Dataset({"zos": surface(rng.normal(size=(60, 26)), sector)})
    assert float(spectra.small_scale_share(noise, sector, "zos")) == pytest.approx(0.5, abs=0.06)
    y = np.arange(60)
    smooth = xr.Dataset({"zos": surface(np.repeat(np.sin(2 * np.pi * y / 20)[:, None], 26, 1), sector)})
    assert float(spectra.small_scale_share(smooth, sector, "zos")) < 1e-3


def test_levels_are_found_by_depth_and_chunks_do_not_matter(sector):
    pytest.importorskip("dask", reason="dask is not installed")
    rng = np.random.default_rng(4)
    field = xr.DataArray(rng.normal(size=(2, *sector.shape)), dims=("time", "z", "y", "x"), name="thetao")
    deep = spectra.power_spectrum(field, sector, depth=1500.0)
    level = int(np.abs(sector.gdept_1d.values - 1500).argmin())
    assert level > 0
    np.testing.assert_array_equal(
        deep, spectra.power_spectrum(field.isel(z=[level] * 4), sector, depth=1500.0)
    )
    lazy = spectra.power_spectrum(field.chunk({"time": 1, "z": 1, "y": 20, "x": 9}), sector, depth=1500.0)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), deep, rtol=1e-12)


def test_a_sector_without_water_or_a_wrong_direction_is_refused(sector):
    field = surface(np.zeros((60, 26)), sector)
    with pytest.raises(UserError, match="no zonal run"):
        spectra.power_spectrum(field, sector, lat=(75.0, 80.0))
    with pytest.raises(UserError, match="zonal or meridional"):
        spectra.power_spectrum(field, sector, "radial")
