"""What is written for other tools is there for them, and gone when the package opens the file again."""

import shutil
import subprocess

import netCDF4
import numpy as np
import pytest
import xarray as xr

from warmstart.io import files
from warmstart.io.cf import dress, undress
from warmstart.ocean.basin import basin

STATE, GRID = basin(nx=8, ny=12, nz=5)


def samples():
    """Two generated states and a number of each."""
    ds = xr.concat([STATE, STATE + 0.1], "sample", combine_attrs="override")
    return ds.assign_coords(seed=("sample", [4, 5]), depth_of=("z", np.arange(5.0))).assign(
        wind=("sample", [0.1, 0.2], {"units": "Pa"})
    )


def run():
    """States of a run, by the year."""
    about = {"units": "years"}
    return xr.concat([STATE, STATE + 0.1], "time").assign_coords(year=("time", [10.0, 620.5], about))


@pytest.mark.parametrize("make", [lambda: STATE, samples, run], ids=["one", "samples", "run"])
def test_what_is_opened_is_what_was_written(make, tmp_path):
    ds = make()
    back = files.open_dataset(files.write_dataset(tmp_path / "a.nc", ds, GRID))
    xr.testing.assert_equal(back, ds)
    assert set(back.variables) == set(ds.variables)
    for name in ds.variables:
        assert back[name].attrs == ds[name].attrs
    again = files.open_dataset(files.write_dataset(tmp_path / "b.nc", back, GRID))
    xr.testing.assert_identical(again.drop_attrs(), back.drop_attrs())


def test_closing_what_was_opened_closes_the_file(tmp_path):
    path = files.write_dataset(tmp_path / "a.nc", STATE, GRID)
    ds = files.open_dataset(path)
    ds.close()
    with netCDF4.Dataset(path, "a") as raw:  # refused while the file is open
        raw.comment = "closed"


def test_points_lie_where_the_mesh_has_them_and_levels_have_depths(tmp_path):
    path = files.write_dataset(tmp_path / "a.nc", samples(), GRID)
    with netCDF4.Dataset(path) as ds:
        for name, point in (("thetao", "t"), ("uo", "u"), ("vo", "v"), ("zos", "t")):
            assert {f"lon_{point}", f"lat_{point}", "seed"} <= set(ds[name].coordinates.split())
            assert len([c for c in ds[name].coordinates.split() if c.startswith("lon_")]) == 1
            assert np.array_equal(ds[f"lon_{point}"][:], GRID.ds[f"glam{point}"].values)
        assert ds["z"].positive == "down" and np.array_equal(ds["z"][:], GRID.gdept_1d.values)
        assert "_FillValue" not in ds["z"].ncattrs(), "CF has no missing values in coordinates"
        assert ds.dimensions["sample"].isunlimited()
        assert ds.title and ds.history.startswith(ds.created)
        assert ds["wind"].coordinates == "seed"


def test_years_become_a_time_axis_of_360_days(tmp_path):
    path = files.write_dataset(tmp_path / "a.nc", run(), GRID)
    with netCDF4.Dataset(path) as ds:
        assert ds["time"][:].tolist() == [3600.0, 223380.0] and ds["time"].calendar == "360_day"
    with xr.open_dataset(path, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as ds:
        assert str(ds.time.values[1]) == "0621-07-01 00:00:00"


def test_records_without_increasing_years_are_no_time_axis(tmp_path):
    ds = run().assign_coords(year=("time", [10.0, 10.0]))
    path = files.write_dataset(tmp_path / "a.nc", ds, GRID)
    with netCDF4.Dataset(path) as raw:
        assert "record" in raw.dimensions and "time" not in raw.dimensions
    assert files.open_dataset(path)["thetao"].dims == ("time", "z", "y", "x")


def test_units_of_tables_are_written_as_udunits_reads_them(tmp_path):
    ds = xr.Dataset({"drift": ("start", [0.1], {"units": "K/century"})})
    path = files.write_dataset(tmp_path / "a.nc", ds)
    with netCDF4.Dataset(path) as raw:
        assert raw["drift"].units == "0.01 K year-1" and raw["drift"][0] == 0.1
    assert files.open_dataset(path)["drift"].attrs == ds["drift"].attrs


def test_history_grows_by_one_line_a_step():
    first = dress(STATE, GRID, {"created": "2026-01-01", "command": "warmstart generate"})
    second = dress(undress(first).assign_attrs(created="2026-01-02", command="warmstart regrid"), GRID, {})
    assert second.attrs["history"].splitlines() == [
        "2026-01-02 warmstart regrid", "2026-01-01 warmstart generate",
    ]  # fmt: skip


def test_a_file_of_somebody_else_is_opened_as_it_is(tmp_path):
    other = xr.Dataset(
        {"t": (("record", "z"), np.ones((2, 3)), {"units": "0.01 K year-1"})}, {"z": [1.0, 2.0, 3.0]}
    )
    other.to_netcdf(tmp_path / "other.nc")
    xr.testing.assert_identical(files.open_dataset(tmp_path / "other.nc").load(), other)


@pytest.mark.parametrize("make", [samples, run], ids=["samples", "run"])
def test_cdo_sees_every_variable_of_a_state_where_it_is(make, tmp_path):
    if shutil.which("cdo") is None:
        pytest.skip("cdo is not installed")
    path = files.write_dataset(tmp_path / "a.nc", make(), GRID)
    seen = subprocess.run(
        ["cdo", "-s", "sinfon", path], capture_output=True, text=True, timeout=60, check=True
    )
    for name in STATE.data_vars:
        assert f": {name}" in seen.stdout
    assert "curvilinear" in seen.stdout and "depth_below_sea" in seen.stdout
    assert "skipped variable" not in seen.stderr
