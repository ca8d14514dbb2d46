"""What a file is and when its records are: told by its header alone, case by case."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from nemo_layouts import UNCUT, mesh_variables, ocean, restart_variables, write
from warmstart.engines import recognition
from warmstart.engines.nemo.header import (
    CMIP,
    IOIPSL,
    MESH,
    OTHER,
    RESTART,
    SNAPSHOT,
    XIOS,
    recognise,
    version_beside,
)
from warmstart.engines.nemo.times import coordinate, read_times, time_axis

STATE, GRID = ocean(nx=6, ny=8, nz=4)
SIZES = {
    "time_counter": 1, "time": 1, "sample": 1, "deptht": 2, "z": 2, "lev": 2, "y": 3, "x": 4, "x_grid_T": 4, "y_grid_T": 3,
    "xt": 4, "yt": 3, "zt": 2,
}  # fmt: skip
TYX, TZYX = ("time_counter", "y", "x"), ("time_counter", "deptht", "y", "x")
MEAN = {"online_operation": "average"}


def file(path, variables, **attrs):
    """A file of ones: each variable its dimensions and attributes."""
    with netCDF4.Dataset(path, "w") as nc:
        for dim in dict.fromkeys(d for dims, _ in variables.values() for d in dims):
            nc.createDimension(dim, SIZES[dim])
        for name, (dims, said) in variables.items():
            var = nc.createVariable(name, "f8", dims)
            var[...] = 1.0
            var.setncatts(said)
        nc.setncatts(attrs)
    return path


@pytest.mark.parametrize(
    ("variables", "attrs", "kind", "detail"),
    [
        ({"thetao": (("z", "y", "x"), {})}, {}, "warmstart", ()),
        ({"thetao": (("sample", "z", "y", "x"), {})}, {}, "warmstart", ()),
        ({"thetao": (("time", "lev", "y", "x"), {})}, {}, CMIP, ()),
        ({"thetao": (("time", "y", "x", "z"), {})}, {}, CMIP, ()),
        ({"zos": (("time", "y", "x"), {"cell_methods": "time: mean"})}, {"source_id": "EC-Earth3"}, CMIP,
         ("EC-Earth3", "means over time")),
        ({"tob": (("time", "y", "x"), {})}, {"mip_era": "CMIP6"}, CMIP, ()),
        ({"tob": (("time", "y", "x"), {})}, {"mip_era": "CMIP5"}, OTHER, ()),
        ({"toce": (TZYX, MEAN)}, {}, XIOS, ("means over time",)),
        ({"toce_inst": (TZYX, {"online_operation": "instant"})}, {}, XIOS, ("instants",)),
        ({"ssh": (TYX, {})}, {}, XIOS, ()),
        ({"ssh": (("time", "y", "x"), MEAN)}, {}, XIOS, ("means over time",)),
        ({"ssh": (("time", "y", "x"), {})}, {}, OTHER, ()),
        ({"votemper": (TZYX, {})}, {}, SNAPSHOT, ("state at one instant, as output.init.nc",)),
        ({"votemper": (TZYX, MEAN)}, {}, XIOS, ("means over time",)),
        ({"votemper": (TZYX, {})}, {"production": "An IPSL model"}, IOIPSL, ()),
        ({"votemper": (TZYX, {}), "vovvle3t": (TZYX, {})}, {"production": "An IPSL model"}, IOIPSL,
         ("tracers times thickness",)),
        ({"temp": (("time", "zt", "yt", "xt"), {})}, {}, "output", ()),
        ({"depth": (("time", "zt", "yt", "xt"), {})}, {}, OTHER, ()),
        ({"tn": (TZYX, {}), "sn": (TZYX, {})}, {}, RESTART, ("2 prognostic fields only",)),
        ({"tn": (TZYX, {})}, {}, OTHER, ()),
        ({"glamt": (TYX, {})}, {}, MESH, ("part of a mesh in several files",)),
        ({"tmask": (TZYX, {}), "umask": (TZYX, {})}, {}, MESH, ("part of a mesh in several files",)),
        ({"anything": (TYX, {})}, {}, OTHER, ()),
    ],
)  # fmt: skip
def test_a_file_is_what_its_names_dimensions_and_attributes_say(tmp_path, variables, attrs, kind, detail):
    found = recognition.recognise(file(tmp_path / "file.nc", variables, **attrs)).kind
    assert (found.name, found.detail) == (kind, detail)


@pytest.mark.parametrize(
    ("stress", "attrs", "version"),
    [
        ({"votemper", "sohefldo", "sozotaux"}, {}, "5.0"),
        ({"votemper", "sohefldo"}, {}, "3.6 to 4.2"),
        ({"vozocrtx", "sozotaux"}, {}, "3.6 to 4.2"),
        ({"vozocrtx"}, {}, "5.0"),
        ({"vomecrty", "sometauy"}, {}, "3.6 to 4.2"),
        ({"vomecrty"}, {}, "5.0"),
        ({"vomecrty"}, {"history": "ncks -v"}, "3.6 to 5.0, the file does not show it"),
        ({"votemper"}, {}, "3.6 to 5.0, the file does not show it"),
    ],
)
def test_the_place_of_the_wind_stress_tells_the_version_of_ioipsl_output(tmp_path, stress, attrs, version):
    path = file(tmp_path / "f.nc", {n: (TYX, {}) for n in sorted(stress)}, production="IPSL", **attrs)
    assert recognise(path).version == version


@pytest.mark.parametrize(
    ("scheme", "without", "also", "version", "detail"),
    [
        ("RK3", (), (), "5.0", ("Runge-Kutta time stepping",)),
        ("leapfrog", (), (), "5.0", ("leapfrog time stepping",)),
        ("leapfrog", (), ("rhop",), "4.0 or 4.2", ("leapfrog time stepping",)),
        ("leapfrog", ("ntime",), ("rhop",), "3.6", ("leapfrog time stepping",)),
        ("leapfrog", ("tn", "sn"), (), "5.0", ("leapfrog time stepping",)),
    ],
)
def test_what_a_restart_holds_tells_its_version_and_time_stepping(
    tmp_path, scheme, without, also, version, detail
):
    variables = restart_variables(STATE, scheme)
    variables = {n: v for n, v in variables.items() if n not in without} | {n: variables["tn"] for n in also}
    found = recognise(write(tmp_path / "restart.nc", variables))
    assert (found.name, found.version, found.detail) == (RESTART, version, detail)


def test_output_that_shows_no_version_has_that_of_the_mesh_or_the_restart_beside_it(tmp_path):
    output = file(tmp_path / "x_restart.nc", {"anything": (TYX, {})})
    assert version_beside(output) == ""
    write(tmp_path / "restart.nc", restart_variables(STATE, "RK3"))
    assert version_beside(output) == "5.0, by restart.nc beside it"
    write(tmp_path / "mesh_mask.nc", mesh_variables(GRID, "3.6"), "3.6")
    assert version_beside(output) == "3.6, by mesh_mask.nc beside it"
    assert version_beside(tmp_path / "mesh_mask.nc") == "5.0, by restart.nc beside it"


# ---------------------------------------------------------------- times


def axis(values, units="days since 0001-01-01", calendar="360_day", name="time_counter", **attrs):
    return {name: (name, np.asarray(values, float), {"units": units, "calendar": calendar, **attrs})}


def test_dates_are_years_since_the_first_of_january_of_year_1_in_their_own_calendar():
    for calendar, days in (("360_day", 360.0), ("noleap", 365.0), ("all_leap", 366.0), ("365_day", 365.0)):
        found = read_times(xr.Dataset(axis([0.5 * days, 3 * days], calendar=calendar)), 2)
        np.testing.assert_allclose(found.years, [0.5, 3.0], rtol=1e-12)
        np.testing.assert_allclose(found.seconds, 86400 * days * np.array([0.5, 3.0]), rtol=1e-12)
        assert found.bounds is None and found.mean is None


def test_the_axis_of_time_is_known_by_name_or_by_what_cf_says_of_it():
    for attrs, name in (({"axis": "T"}, "when"), ({"standard_name": "time"}, "when"), ({}, None)):
        assert time_axis(xr.Dataset(axis([1.0], name="when", **attrs))) == name
    assert time_axis(xr.Dataset(axis([1.0], units="days"))) is None
    fields = xr.Dataset({"time": (("time", "y"), np.ones((1, 3)), {"units": "days since 1850-01-01"})})
    assert time_axis(fields) is None, "a field is no axis"
    both = xr.Dataset(axis([1.0], name="when", axis="T") | axis([1.0]))
    assert time_axis(both) == "time_counter"


@pytest.mark.parametrize("dims", [TYX, TZYX])
@pytest.mark.parametrize(
    ("said", "mean"),
    [
        ({"online_operation": "average"}, True), ({"online_operation": "instant"}, False),
        ({"online_operation": "inst(only(x))"}, False), ({"cell_methods": "time: mean"}, True),
        ({"cell_methods": "time: point"}, False), ({"cell_methods": "area: mean"}, None), ({}, None),
    ],
)  # fmt: skip
def test_fields_of_any_rank_say_whether_they_are_means(dims, said, mean):
    shape = tuple(SIZES[d] for d in dims)
    plain = {"nav_lon": (("y", "x"), np.ones((3, 4)), MEAN), "flag": (dims, np.ones(shape))}
    ds = xr.Dataset(axis([15.0]) | plain | {"field": (dims, np.ones(shape), said)})
    assert read_times(ds, 1).mean is mean


def test_bounds_give_begin_and_end_of_each_mean_and_tell_means_from_instants():
    for edges, mean in (
        ([[0.0, 30.0], [30.0, 60.0]], True), ([[15.0, 15.0], [45.0, 45.0]], False), ([[15.0, 15.0], [30.0, 60.0]], True),
    ):  # fmt: skip
        ds = xr.Dataset(axis([15.0, 45.0], bounds="b") | {"b": (("time_counter", "two"), np.array(edges))})
        found = read_times(ds, 2)
        np.testing.assert_array_equal(found.bounds, 86400 * np.array(edges))
        assert found.mean is mean
    wrong = xr.Dataset(axis([15.0, 45.0], bounds="b") | {"b": (("two",), np.zeros(2))})
    assert read_times(wrong, 2).bounds is None


def test_a_restart_is_of_the_end_of_its_day_and_a_file_without_dates_has_steps_only():
    found = read_times(xr.Dataset({"ndastp": 11230.0, "adatrj": 360.0}), 1)
    np.testing.assert_allclose(found.years, [1.0])
    undated = read_times(xr.Dataset({"time_counter": ("time_counter", [5.0, 7.0])}), 2)
    assert np.isnan(undated.years).all() and undated.dates is None
    assert undated.seconds.tolist() == [5.0, 7.0]
    assert read_times(xr.Dataset({"ndastp": 0.0}), 3).seconds.tolist() == [0.0, 1.0, 2.0]


def test_the_coordinate_says_how_long_a_mean_is_in_years_and_nothing_of_instants():
    for edges, said in (([[0.0, 30.0], [30.0, 60.0]], 1 / 12), ([[15.0, 15.0], [45.0, 45.0]], None)):
        ds = xr.Dataset(axis([15.0, 45.0], bounds="b") | {"b": (("time_counter", "two"), np.array(edges))})
        found = coordinate(read_times(ds, 2), [1])
        assert found.year.values.tolist() == [45 / 360]
        assert found.year.attrs.get("mean_years") == pytest.approx(said, abs=1e-6)
    assert "mean_years" not in coordinate(read_times(xr.Dataset(axis([15.0])), 1), [0]).year.attrs


def test_a_mesh_without_the_mask_that_tells_its_version_is_still_a_mesh(tmp_path):
    variables = {n: v for n, v in mesh_variables(GRID).items() if n != "fmask"}
    path = write(tmp_path / "mesh_mask.nc", variables, attrs=UNCUT | {"CfgName": "DINO"})
    assert recognise(path).version == "4.2.1 to 5.0"
