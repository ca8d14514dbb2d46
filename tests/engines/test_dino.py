"""The DINO configuration: geometry and forcing as published, at any resolution."""

import numpy as np
import pytest

from warmstart.engines import dino
from warmstart.ocean.parameters import defaults


@pytest.mark.parametrize(("resolution", "levels"), [(10.0, 6), (4.0, 18), (2.0, 36)])
def test_the_sector_is_mercator_and_its_levels_fill_the_ocean(resolution, levels):
    axes = dino.mesh(resolution, levels)
    spacing = np.diff(axes.latitude) / np.cos(np.deg2rad(0.5 * (axes.latitude[1:] + axes.latitude[:-1])))
    assert spacing == pytest.approx(resolution, rel=0.01)
    assert np.abs(axes.latitude).max() <= 70.0
    assert (np.diff(axes.thickness) > 0).all()
    assert 3500.0 < axes.thickness.sum() < 4700.0


@pytest.mark.parametrize("resolution", [10.0, 4.0, 2.0])
def test_only_the_channel_is_open_to_the_east(resolution):
    grid = dino.grid(resolution, 12)
    open_rows = grid.tmask.isel(z=0, x=0).values > 0
    inside = (grid.gphit.values[:, 0] > -65) & (grid.gphit.values[:, 0] < -45)
    assert (open_rows == inside).all()
    assert open_rows.any()


def test_the_sill_blocks_the_deep_channel():
    """Somewhere between the crests the channel is no deeper than 2500 m, and elsewhere it is."""
    grid = dino.grid(4.0, 18)
    channel = (grid.gphit > -63) & (grid.gphit < -47)
    depth = grid.bathymetry.where(channel)
    assert 2000.0 < float(depth.isel(x=slice(1, 5)).min()) < 2800.0
    assert float(depth.max()) > 3500.0


def test_faces_are_wet_only_between_wet_cells():
    grid = dino.grid(4.0, 18)
    t = grid.tmask.values
    assert (grid.umask.values == t * np.roll(t, -1, axis=2)).all()
    assert (grid.vmask.values[:, :-1] == t[:, :-1] * t[:, 1:]).all()
    assert not grid.vmask.values[:, -1].any()
    assert (np.diff(t, axis=0) <= 0).all(), "water below the sea floor"


def test_wind_and_restoring_take_the_values_that_parameters_name():
    p = defaults() | {
        "wind_stress_south": 0.33,
        "wind_stress_north": 0.07,
        "restoring_temperature_north": 1.5,
    }
    stress = dino.wind_stress(np.array([-70.0, -45.0, -15.0, 0.0, 15.0, 45.0, 70.0]), p)
    assert stress.tolist() == [0.0, 0.33, -0.1, -0.02, -0.1, 0.07, 0.0]
    lat = np.array([-70.0, 0.0, 70.0])
    assert dino.restoring_temperature(lat, p) == pytest.approx([-0.5, 27.0, 1.5])
    assert dino.restoring_salinity(lat, p) == pytest.approx([35.0, 37.25 - 1.25, 35.1], abs=1e-6)


def test_wind_bends_smoothly_at_its_nodes():
    """The slope vanishes at each node, from both sides."""
    for node in (-45.0, -15.0, 0.0, 15.0, 45.0):
        near = dino.wind_stress(node + np.array([-1e-3, 0.0, 1e-3]), defaults())
        assert np.abs(np.diff(near)).max() < 1e-7


def test_the_seasonal_cycle_has_its_amplitude_and_no_mean():
    lat, days = np.array([-70.0, 70.0]), np.arange(0.0, 360.0, 1.0)
    cycle = np.array([dino.restoring_temperature(lat, defaults(), day) for day in days])
    annual = dino.restoring_temperature(lat, defaults())
    assert cycle.mean(0) == pytest.approx(annual, abs=1e-12)
    assert cycle.max(0) - annual == pytest.approx([0.5, 3.0])
    assert days[cycle[:, 1].argmax()] == dino.SEASON_PEAK_DAY
    assert days[cycle[:, 0].argmin()] == dino.SEASON_PEAK_DAY


def test_the_initial_state_is_stratified_and_warmest_at_the_equator():
    axes = dino.mesh(4.0, 18)
    temperature, salinity = dino.initial_state(axes)
    equator = np.abs(axes.latitude).argmin()
    assert temperature[0].argmax() // temperature.shape[2] == equator
    assert (np.diff(temperature[:, equator, 0]) < 0).all()
    assert 34.0 < salinity.min() < salinity.max() < 38.0
