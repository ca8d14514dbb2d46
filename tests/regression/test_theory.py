"""The pycnocline of theory: its balance closes, and its limits are those that can be solved by hand."""

import numpy as np
import pytest

from warmstart.ocean.parameters import defaults, sobol
from warmstart.regression import theory
from warmstart.regression.theory import NEEDED, pycnocline

BOX = {
    "wind_stress_south": (0.05, 0.4),
    "restoring_temperature_north": (0.0, 6.0),
    "restoring_temperature_equator": (24.0, 30.0),
    "vertical_diffusivity": (1e-5, 2e-4),
    "eddy_diffusivity": (400.0, 3000.0),
}


def test_what_comes_in_goes_out():
    members = sobol(BOX, 64, 1)
    values = {n: np.array([(defaults() | m)[n] for m in members]) for n in NEEDED}
    found = pycnocline(values)
    gain, loss = found["ekman"] + found["mixing"], found["eddies"] + found["sinking"]
    np.testing.assert_allclose(gain, loss, rtol=1e-12)
    assert found["depth"].shape == (64,)
    assert 200 < found["depth"].min() < found["depth"].max() < 4000


def test_without_wind_and_eddies_the_depth_goes_as_the_third_root_of_mixing():
    """Bryan (1987): B / D = C g' D^2."""
    calm = defaults() | {"wind_stress_south": 0.0, "eddy_diffusivity": 0.0}
    one, eight = (pycnocline(calm | {"vertical_diffusivity": k})["depth"] for k in (2e-5, 1.6e-4))
    assert eight / one == pytest.approx(2.0, rel=1e-12)


def test_without_mixing_and_eddies_what_the_wind_brings_sinks_in_the_north():
    """Toggweiler and Samuels (1998): the depth follows, the transport does not."""
    found = pycnocline(defaults() | {"vertical_diffusivity": 0.0, "eddy_diffusivity": 0.0})
    assert found["sinking"] == pytest.approx(found["ekman"], rel=1e-12)


def test_stronger_eddies_make_the_pycnocline_shallower():
    depths = [pycnocline(defaults() | {"eddy_diffusivity": k})["depth"] for k in (400.0, 1000.0, 3000.0)]
    assert depths[0] > depths[1] > depths[2]


def test_the_constants_of_the_theory_are_those_of_the_earth():
    assert pytest.approx(9.81, abs=0.01) == theory.GRAVITY
    assert pytest.approx(1026.0, abs=2.0) == theory.REFERENCE_DENSITY
    assert pytest.approx(6.371e6, rel=1e-3) == theory.EARTH_RADIUS
    assert pytest.approx(2 * np.pi / 86164.0, rel=1e-3) == theory.ROTATION


def test_the_ekman_transport_is_that_of_the_wind_over_a_sector_of_fifty_degrees():
    found = pycnocline(defaults())
    width = np.radians(50.0) * 6.371e6 * np.cos(np.radians(45.0))
    rotation = 2 * 7.292e-5 * np.sin(np.radians(45.0))
    wind, eddies = (defaults()[n] for n in ("wind_stress_south", "eddy_diffusivity"))
    assert float(found["ekman"]) == pytest.approx(wind * width / (1026.0 * rotation), rel=1e-6)
    assert float(found["eddies"]) == pytest.approx(eddies * width / 7.5e5 * float(found["depth"]), rel=1e-6)
