"""Parameters: units are understood, mistakes are named, plans are nested."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import parameters
from warmstart.ocean.parameters import PARAMETERS, parse, sobol


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("wind_stress_south", "0.3Pa", 0.3),
        ("wind_stress_south", "300 mPa", 0.3),
        ("wind_stress_south", "3 dyn/cm2", 0.3),
        ("wind_stress_south", "0.3 N m-2", 0.3),
        ("wind_stress_south", 0.3, 0.3),
        ("vertical_diffusivity", "0.2 cm2 s-1", 2e-5),
        ("vertical_diffusivity", "2e-5 m^2/s", 2e-5),
        ("restoring_temperature_north", "278.15 K", 5.0),
        ("restoring_temperature_north", "5 degC", 5.0),
        ("restoring_salinity_north", "35 g/kg", 35.0),
        ("heat_restoring", "40 W/m2/K", 40.0),
        ("seasonal_amplitude_north", "3 degC", 3.0),
        ("bottom_drag", "1e-6 1/s", 1e-6),
    ],
)
def test_a_value_is_read_in_any_convertible_unit(name, text, value):
    assert parse(text, name) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("wind_stress_south", "3 m", "cannot convert 'm' to Pa"),
        ("wind_stress_south", "3 degC", "cannot convert"),
        ("wind_stress_south", "strong", "not a number"),
        ("wind_stress_south", "nan", "not a number"),
        ("restoring_salinity_north", "35 K", "cannot convert 'K'"),
        ("seasonal_amplitude_north", "3 degF", "cannot convert"),
        ("vertical_diffusivity", "-0.1 cm2 s-1", "'-0.1 cm2 s-1' is not positive; expected a positive value in m2 s-1"),
        ("bottom_drag", 0, "'0' is not positive"),
        ("wind_stress_suoth", "0.3", "did you mean wind_stress_south"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_unit_is_refused_with_what_was_expected(name, text, words):
    with pytest.raises(UserError, match=words):
        parse(text, name)


def test_member_i_is_the_same_whatever_the_size_of_the_plan():
    ranges = {"wind_stress_south": (0.05, 0.4), "vertical_diffusivity": (1e-5, 2e-4)}
    many = sobol(ranges, 33, seed=5)
    assert sobol(ranges, 1, seed=5) == many[:1]
    assert sobol(ranges, 12, seed=5) == many[:12]
    assert sobol(dict(reversed(ranges.items())), 4, seed=5) == many[:4]
    assert sobol(ranges, 4, seed=6) != many[:4]


def test_a_plan_fills_its_ranges_evenly_in_the_scale_of_each_parameter():
    members = sobol({"wind_stress_south": (0.05, 0.4), "vertical_diffusivity": (1e-5, 2e-4)}, 64, seed=1)
    for name, low, high in (("wind_stress_south", 0.05, 0.4), ("vertical_diffusivity", 1e-5, 2e-4)):
        values = np.array([m[name] for m in members])
        x = (
            np.log(values / low) / np.log(high / low)
            if PARAMETERS[name].scale == "log"
            else (values - low) / (high - low)
        )
        assert ((x >= 0) & (x <= 1)).all()
        assert abs(x.mean() - 0.5) < 0.02 and abs(x.std() - 12**-0.5) < 0.02


def test_coordinates_invert():
    for p in PARAMETERS.values():
        middle = (p.low * p.high) ** 0.5 if p.scale == "log" else (p.low + p.high) / 2
        assert p.value(np.array([0.0, 0.5, 1.0])) == pytest.approx([p.low, middle, p.high]), p.name
        assert p.coordinate([p.low, middle, p.high]) == pytest.approx([0.0, 0.5, 1.0]), p.name
        assert p.value(p.coordinate(p.default)) == pytest.approx(p.default)
        assert p.low <= p.default <= p.high, p.name


def test_an_empty_range_is_refused():
    with pytest.raises(UserError, match="empty"):
        sobol({"wind_stress_south": (0.4, 0.05)}, 2, seed=0)


def test_splits_are_one_in_eight():
    splits = [parameters.split_of(i) for i in range(64)]
    assert splits.count("test") == splits.count("validation") == 8
    assert parameters.split_of(7) == "test" and parameters.split_of(3) == "validation"


def test_attach_and_extract_are_inverse_and_a_missing_parameter_is_named():
    ds = parameters.attach(xr.Dataset(), {"bottom_drag": [1e-6, 2e-6]}, dim="sample")
    assert ds.bottom_drag.attrs["units"] == "s-1"
    np.testing.assert_array_equal(parameters.extract(ds)["bottom_drag"], [1e-6, 2e-6])
    with pytest.raises(UserError, match="wind_stress_south"):
        parameters.extract(ds, ["wind_stress_south"])


def test_parameters_are_scaled_on_their_own_axis():
    ranges = {"vertical_diffusivity": (1e-5, 1e-3), "wind_stress_south": (0.1, 0.3)}
    values = {"vertical_diffusivity": np.array([1e-4, 1e-3]), "wind_stress_south": np.array([0.1, 0.2])}
    np.testing.assert_allclose(parameters.scaled(values, ranges), [[0.0, -0.5], [0.5, 0.0]], atol=1e-12)


def test_a_parameter_of_the_users_own_is_scaled_linearly_and_an_empty_range_is_an_error():
    assert parameters.scaled({"wind": 1.0}, {"wind": (0.0, 4.0)}).tolist() == [-0.25]
    with pytest.raises(UserError, match="is empty"):
        parameters.scaled({"wind": 1.0}, {"wind": (1.0, 1.0)})
