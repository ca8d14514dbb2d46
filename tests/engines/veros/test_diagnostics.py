"""Sea level and series of states whose answer is known."""

import numpy as np
import pytest

from warmstart.engines import dino
from warmstart.engines.series import SERIES, _residual_overturning, series_row
from warmstart.engines.veros.sea_level import sea_level
from warmstart.ocean import eos


@pytest.fixture(scope="module")
def grid():
    return dino.grid(4.0, 18)


def still(grid):
    return {name: np.zeros(grid.shape) for name in ("temp", "salt", "u", "v", "w", "B1_gm")}


def wet_mean(values, grid):
    return np.nansum(values * grid.area.values) / grid.area.values.sum()


def test_a_resting_ocean_stands_at_its_steric_height(grid):
    """Without flow at 200 m the sea level is that of the density above, with zero area mean."""
    temperature, salinity = dino.initial_state(dino.mesh(4.0, 18))
    zero = np.zeros(grid.shape)
    zos = sea_level(temperature, salinity, zero, zero, grid)
    level = int(np.abs(grid.gdept_1d.values - 200.0).argmin())
    thickness = grid.e3t_1d.values[: level + 1].copy()
    thickness[-1] = grid.gdept_1d.values[level] - grid.gdepw_1d.values[level]
    anomaly = eos.density_anomaly(temperature, salinity, grid.gdept_0.values)[: level + 1]
    steric = -(anomaly * thickness[:, None, None]).sum(0) / eos.RHO0
    sea = grid.tmask.values[0] > 0
    expected = steric - wet_mean(np.where(sea, steric, np.nan), grid)
    assert zos[sea] == pytest.approx(expected[sea], abs=1e-9)
    assert np.isnan(zos[~sea]).all()


def test_a_geostrophic_channel_flow_slopes_the_sea_down_to_the_south(grid):
    """Uniform density and 0.1 m/s eastward in the channel: the sea falls southward by f u / g a metre."""
    uo = np.zeros(grid.shape)
    rows = (grid.gphit.values[:, 0] > -63) & (grid.gphit.values[:, 0] < -47)
    uo[:, rows] = 0.1
    uo *= grid.umask.values
    uniform = np.full(grid.shape, 10.0), np.full(grid.shape, 35.0)
    zos = sea_level(*uniform, uo, np.zeros(grid.shape), grid)
    j = np.flatnonzero(rows)[1:-2]
    slope = (zos[j + 1, 6] - zos[j, 6]) / grid.e2v.values[j, 6]
    assert slope == pytest.approx(-grid.ff_f.values[j, 6] * 0.1 / eos.G, rel=0.05)
    assert wet_mean(zos, grid) == pytest.approx(0.0, abs=1e-12)


def test_the_series_of_a_uniform_ocean_is_its_temperature(grid):
    fields = still(grid)
    fields["temp"], fields["salt"] = 4.0 * grid.tmask.values, 35.0 * grid.tmask.values
    row = series_row(fields, grid)
    assert set(row) == set(SERIES)
    assert [row[n] for n in ("thetao_mean", "thetao_deep", "surface_temperature")] == pytest.approx([4.0] * 3)
    assert [row[n] for n in ("so_mean", "so_deep")] == pytest.approx([35.0] * 2)
    assert [row[n] for n in ("kinetic_energy", "channel_transport", "vertical_velocity_max")] == [0.0] * 3


def test_the_channel_transport_is_velocity_times_section(grid):
    fields = still(grid)
    rows = (grid.gphit.values[:, 0] > -65) & (grid.gphit.values[:, 0] < -45)
    section = (grid.e2u.values * (grid.e3u_0.values * grid.umask.values).sum(0))[rows].sum(0)
    fields["u"][:, rows] = (1e8 / section)[None, None, :]
    fields["u"] *= grid.umask.values
    assert series_row(fields, grid)["channel_transport"] == pytest.approx(100.0)


def test_water_that_goes_north_above_and_south_below_is_a_positive_cell(grid):
    """10 Sv north above 1000 m in every open row, 10 Sv south below."""
    v = np.zeros(grid.shape)
    face = grid.e1v.values * grid.e3v_0.values * grid.vmask.values
    upper = grid.gdepw_1d.values < 1000.0
    for levels, transport in ((upper, 1e7), (~upper, -1e7)):
        section = face[levels].sum(axis=(0, 2))
        v[levels] = (transport / np.maximum(section, 1.0))[None, :, None] * grid.vmask.values[levels]
    psi = _residual_overturning(v, np.zeros(grid.shape), grid)
    rows = grid.vmask.values[-1].any(axis=1)
    assert psi[upper.sum(), rows] == pytest.approx(10.0)
    assert psi[0, rows] == pytest.approx(0.0, abs=1e-9)
    row = series_row(still(grid) | {"v": v}, grid)
    assert row["overturning_north"] == pytest.approx(10.0)


def test_the_eddy_streamfunction_counts_in_the_overturning(grid):
    eddy = np.where(grid.vmask.values > 0, -1.0, 0.0)
    psi = _residual_overturning(np.zeros(grid.shape), eddy, grid)
    assert psi[5] == pytest.approx((grid.e1v.values * grid.vmask.values[5]).sum(1) / 1e6)
