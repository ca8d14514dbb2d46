"""Restarts and output of all versions are the same state: laws on synthetic files, numbers on real ones."""

import logging
import sys

import numpy as np
import pytest
import xarray as xr

from nemo_layouts import (
    REAL,
    needs_real_files,
    ocean,
    repeat_columns,
    restart_variables,
    write,
    write_output,
    write_pieces,
)
from warmstart.engines.nemo.header import recognise
from warmstart.engines.nemo.mesh import open_grid
from warmstart.engines.nemo.state import THICKNESS, open_state
from warmstart.engines.nemo.times import read_times
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES
from warmstart.physics.budgets import volume_mean
from warmstart.physics.cgrid import east_transport
from warmstart.physics.transport import throughflow

STATE, GRID = ocean()
DINO = REAL / "nemo_dino"


def same(found, expected=STATE, tolerance=1e-12):
    for name in expected.data_vars:
        values = found[name].values[0] if "time" in found[name].dims else found[name].values
        np.testing.assert_allclose(
            values, expected[name].values, rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("scheme", ["leapfrog", "RK3"])
@pytest.mark.parametrize("version", ["3.6", "4.2", "5.0"])
def test_a_restart_gives_its_now_fields_bit_for_bit_with_missing_values_on_land(tmp_path, version, scheme):
    path = write(tmp_path / "DINO_00005760_restart.nc", restart_variables(STATE, scheme), version)
    found = open_state(path, GRID)
    same(found, tolerance=0)
    for name, da in found.data_vars.items():
        assert da.dims == ("time", *VARIABLES[name].dims)
        assert da.attrs["c_grid_point"] == VARIABLES[name].point and da.attrs["cell_methods"] == "time: point"
        wet = GRID.mask(VARIABLES[name].point) if VARIABLES[name].three_d else GRID.mask("T").isel(z=0)
        assert (np.isfinite(da.values[0]) == wet.values).all()
    assert found.year.values.tolist() == [1.0]
    assert str(found.time.values[0]) == "0002-01-01 00:00:00"
    assert ("Runge-Kutta" in str(recognise(path))) == (scheme == "RK3")


def test_repeated_columns_and_pieces_with_halos_do_not_show(tmp_path):
    variables = repeat_columns(restart_variables(STATE))
    path = write(tmp_path / "whole_restart.nc", variables, "4.0")
    same(open_state(path, GRID), tolerance=0)
    paths = write_pieces(tmp_path, "DINO_00005760_restart", variables, (3, 2), halo=1)
    whole = open_state(paths[2], GRID)
    same(whole, tolerance=0)
    np.testing.assert_array_equal(whole.thetao[0, 1, 3:5, -1].values, STATE.thetao[1, 3:5, -1].values)


def test_opening_reads_nothing_and_indexing_reads_only_what_is_asked_for(tmp_path, monkeypatch):
    from warmstart.io import lazy_arrays

    path = write(tmp_path / "restart.nc", restart_variables(STATE))
    read = []
    take = lazy_arrays.take
    monkeypatch.setattr(
        lazy_arrays, "take", lambda source, key: read.append(take(source, key).size) or take(source, key)
    )
    found = open_state(path, GRID)
    assert max(read, default=0) <= GRID.shape[0]  # the deepest column, to tell content from temperature
    read.clear()
    found.thetao.isel(time=0, z=2, y=slice(3, 5)).load()
    assert sum(read) == 2 * GRID.shape[2]
    chunked = open_state(path, GRID).chunk({})
    assert chunked.thetao.chunks is not None
    same(chunked, tolerance=0)


@pytest.mark.parametrize("names", ["IOIPSL", "XIOS", "content", "CMIP"])
def test_output_under_all_names_is_the_same_state(tmp_path, names):
    e3t, e3u, e3v = (GRID.ds[f"e3{p}_0"].values[None] for p in "tuv")
    t, s, u, v, ssh = (np.nan_to_num(STATE[n].values)[None] for n in STATE.data_vars)
    e3t = np.where(GRID.tmask.values, e3t * 1.001, 0.0)
    fields = {
        "IOIPSL": ({"votemper": t * e3t, "vosaline": s * e3t, "vovvle3t": e3t, "sossheig": ssh}, {"vozocrtx": u}, {"vomecrty": v}),
        "XIOS": ({"toce": t, "soce": s, "e3t": e3t, "ssh": ssh}, {"uoce": u, "e3u": e3u}, {"voce": v}),
        "content": ({"toce_e3t": t * e3t, "soce_e3t": s * e3t, "e3t": e3t, "ssh": ssh}, {"uoce_e3u": u * e3u, "e3u": e3u}, {"voce_e3v": v * e3v, "e3v": e3v}),
        "CMIP": ({"thetao": t + 273.15, "so": s, "zos": ssh}, {"uo": u}, {"vo": v}),
    }[names]  # fmt: skip
    paths = [
        write_output(
            tmp_path / f"grid_{point}.nc", part, np.array([30.0]), 30.0, point,
            "360d" if names == "IOIPSL" else "noleap", units={"thetao": "K"},
        )
        for point, part in zip("tuv", fields, strict=True)
    ]  # fmt: skip
    found = open_state(paths, GRID)
    same(found, tolerance=2e-5)
    assert found.thetao.dtype == "float32" and found.thetao.attrs["cell_methods"] == "time: mean"
    assert str(found.time.values[0])[:10] == "0001-01-16"
    assert found.time.values[0].calendar == ("360_day" if names == "IOIPSL" else "noleap")


def test_temperature_under_the_old_name_beside_thickness_is_not_divided(tmp_path):
    variables = restart_variables(STATE)
    snapshot = {
        new: variables[old] for new, old in (("votemper", "tn"), ("vosaline", "sn"), ("sossheig", "sshn"))
    }
    snapshot["vovvle3t"] = (variables["tn"][0], GRID.e3t_0.values[None])
    same(open_state(write(tmp_path / "output.init.nc", snapshot), GRID), STATE[["thetao", "so", "zos"]])


def test_content_without_thickness_is_refused_not_taken_for_temperature(tmp_path):
    salt = np.nan_to_num(STATE.so.values * GRID.e3t_0.values)[None]
    path = write_output(tmp_path / "grid_T.nc", {"vosaline": salt}, np.array([30.0]), 30.0)
    with pytest.raises(UserError, match=r"vosaline is content .* no thickness .* write it to the same file"):
        open_state(path, GRID)


def years(name, path, days, length, value):
    shape = (len(days), *GRID.shape) if VARIABLES[name].three_d else (len(days), *GRID.shape[1:])
    point = VARIABLES[name].point.lower()
    values = np.broadcast_to(np.reshape(value, (-1, *(1,) * (len(shape) - 1))), shape)
    return write_output(path, {VARIABLES[name].nemo[0]: values}, np.asarray(days), length, point, "360_day")


@pytest.mark.parametrize(
    ("name", "units"), [("thetao", "degF"), ("so", "kg/kg"), ("uo", "cm/s"), ("zos", "cm")]
)
def test_output_in_other_units_is_refused_not_relabelled(tmp_path, name, units):
    values = np.asarray(STATE[name].fillna(0.0))[None]
    path = write_output(tmp_path / "grid.nc", {name: values}, np.array([30.0]), 30.0, units={name: units})
    with pytest.raises(UserError, match=f"{name} is in {units}; expected {VARIABLES[name].units}"):
        open_state(path, GRID)


def test_years_in_several_files_become_one_axis_in_order(tmp_path):
    late = years("thetao", tmp_path / "a_T.nc", [1080.0], 360.0, [3.0])
    early = years("thetao", tmp_path / "b_T.nc", [360.0, 720.0], 360.0, [1.0, 2.0])
    found = open_state([late, early], GRID)
    assert found.year.values.tolist() == [0.5, 1.5, 2.5]
    assert found.thetao.max(("z", "y", "x")).values.tolist() == [1.0, 2.0, 3.0]
    assert found.thetao.isel(time=[2, 0]).max(("z", "y", "x")).values.tolist() == [3.0, 1.0]


def test_axes_that_differ_are_refused_and_not_cut_to_what_they_have_in_common(tmp_path):
    files = [
        years("thetao", tmp_path / "T.nc", [360.0, 720.0, 1080.0], 360.0, [1.0, 2.0, 3.0]),
        years("uo", tmp_path / "U.nc", [720.0, 1080.0, 1440.0], 360.0, [2.0, 3.0, 4.0]),
    ]
    with pytest.raises(
        UserError, match=r"time axes of the files differ \(T.nc: 3 records, 0001-07-01 .*U.nc: 3 records"
    ):
        open_state(files, GRID)


def test_a_variable_that_two_files_hold_at_one_time_shows_two_runs_and_is_refused(tmp_path):
    files = [
        years("thetao", tmp_path / f"{run}_T.nc", [360.0, 720.0], 360.0, [1.0, 2.0]) for run in ("a", "b")
    ]
    with pytest.raises(
        UserError, match=r"a_T.nc and .*b_T.nc both hold thetao at 0001-07-01 .* several runs"
    ):
        open_state(files, GRID)


def test_finer_records_are_averaged_over_the_intervals_of_the_coarser(tmp_path, caplog):
    months = np.arange(1, 25) * 30.0
    files = [
        years("thetao", tmp_path / "T.nc", [360.0, 720.0], 360.0, [1.0, 2.0]),
        years("uo", tmp_path / "U.nc", months, 30.0, np.arange(24.0)),
    ]
    with caplog.at_level(logging.WARNING):
        found = open_state(files, GRID)
    assert "finer ones averaged over the intervals of thetao" in caplog.text
    assert found.uo.max(("z", "y", "x")).values.tolist() == [5.5, 17.5]


def test_files_without_a_common_time_are_refused(tmp_path):
    files = [
        years("thetao", tmp_path / "T.nc", [360.0], 360.0, [1.0]),
        years("uo", tmp_path / "U.nc", [3600.0], 360.0, [2.0]),
    ]
    with pytest.raises(
        UserError,
        match=r"time axes of the files differ \(T.nc: 1 records, 0001-07-01 .*; U.nc: 1 records, 0010-07-01",
    ):
        open_state(files, GRID)


def test_bad_input_is_named_in_one_line(tmp_path):
    path = write(tmp_path / "restart.nc", restart_variables(STATE), form="NETCDF3_64BIT_OFFSET")
    with pytest.raises(UserError, match=r"tn has sizes .* but the mesh .* of the same run"):
        open_state(path, ocean(nx=10)[1])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 8 * 8])
    with pytest.raises(UserError, match=r"restart.nc: .*cut off"):
        open_state(path, GRID)
    other = write(tmp_path / "other.nc", {"en": restart_variables(STATE)["tn"]})
    with pytest.raises(UserError, match=r"holds no variable of a state \(en"):
        open_state(other, GRID)
    paths = write_pieces(tmp_path, "r_restart", restart_variables(STATE), (2, 2))
    paths[3].unlink()
    with pytest.raises(UserError, match=r"of 4 pieces 1 are missing \(0003\)"):
        open_state(paths[0], GRID)


def test_missing_values_at_sea_stay_missing_so_that_every_check_sees_them(tmp_path):
    variables = restart_variables(STATE)
    variables["tn"][1][0, 0, 5, 4] = np.nan
    found = open_state(write(tmp_path / "restart.nc", variables), GRID)
    assert np.isnan(found.thetao.values[0, 0, 5, 4]) and GRID.tmask.values[0, 5, 4]
    assert np.isnan(float(GRID.mean(found.thetao)[0]))


#: Mean temperature [degC], throughflow [Sv] and model year that the models themselves gave.
MEASURED = {
    "v50_4deg_leapfrog/DINO_00017280_restart.nc": (5.8843, 70.7, 3.0),
    "v50_4deg_rk3/DINO_00020160_restart.nc": (5.934, 91.7, 7.0),
}


@needs_real_files
@pytest.mark.parametrize("name", MEASURED)
def test_mean_temperature_and_transport_of_real_restarts_are_those_measured(name):
    path = DINO / name
    mean, transport, year = MEASURED[name]
    grid = open_grid(path.parent / "mesh_mask.nc")
    state = open_state(path, grid)
    assert float(grid.mean(state.thetao)[0]) == pytest.approx(mean, abs=5e-4)
    assert float(throughflow(state, grid)[0]) == pytest.approx(transport, rel=2e-3)
    assert float(state.year[0]) == year


@needs_real_files
def test_the_two_pieces_of_a_real_restart_continue_the_run_they_came_from():
    grid = open_grid(DINO / "v50_4deg_leapfrog" / "mesh_mask.nc")
    pieces = open_state(DINO / "v50_4deg_leapfrog_2proc" / "DINO_00023072_restart_0001.nc", grid)
    before = open_state(DINO / "v50_4deg_leapfrog" / "DINO_00023040_restart.nc", grid)
    assert (
        float(abs(pieces.thetao.values - before.thetao.values)[0][grid.tmask.values > 0].max()) < 0.5
    )  # two days
    assert pieces.year.item() == pytest.approx(4 + 2 / 360)


@needs_real_files
def test_real_output_of_ioipsl_is_divided_by_its_thickness_and_agrees_with_the_restart_at_its_end():
    folder = DINO / "v50_4deg_leapfrog"
    grid = open_grid(folder / "mesh_mask.nc")
    state = open_state(sorted(folder.glob("DINO_1m_*_grid_?_0000.nc")), grid)
    assert state.sizes["time"] == 12 and state.year.values[0] == pytest.approx(3 + 15 / 360)
    assert float(state.thetao.min()) == pytest.approx(3.38, abs=0.01)
    assert float(state.thetao.max()) == pytest.approx(26.61, abs=0.01)
    assert float(state.so.min()) == pytest.approx(35.11, abs=0.01)
    assert float(state.so.max()) == pytest.approx(36.83, abs=0.01)
    end = open_state(folder / "DINO_00023040_restart.nc", grid)
    assert float(grid.mean(state.thetao)[-1]) == pytest.approx(float(grid.mean(end.thetao)[0]), abs=2e-3)
    assert float(grid.mean(state.so)[-1]) == pytest.approx(float(grid.mean(end.so)[0]), abs=1e-4)
    assert float(throughflow(state, grid)[-1]) == pytest.approx(float(throughflow(end, grid)[0]), abs=0.5)


@needs_real_files
def test_the_thickness_in_real_output_follows_the_sea_level():
    folder = DINO / "v50_4deg_leapfrog"
    grid = open_grid(folder / "mesh_mask.nc")
    with xr.open_dataset(next(folder.glob("*grid_T_0000.nc")), decode_times=False) as ds:
        depth = grid.bathymetry.values
        ssh = open_state(next(folder.glob("*grid_T_0000.nc")), grid).zos.values
        predicted = grid.e3t_0.values * (1 + (ssh / np.where(depth > 0, depth, np.nan))[:, None])
        wet = grid.tmask.values > 0
        assert np.nanmax(abs(predicted - ds.vovvle3t.values)[:, wet]) < 1e-3


@needs_real_files
@pytest.mark.parametrize("version", ["3.6", "4.0", "4.2.0", "5.0"])
def test_the_gyre_of_every_version_opens_from_xios_output(version):
    folder = REAL / "nemo_gyre" / version
    grid = open_grid(folder / "mesh_mask.nc")
    state = open_state([folder / f"GYRE_1y_00010101_00011230_grid_{p}.nc" for p in "TUV"], grid)
    assert (
        set(state.data_vars) == {"thetao", "so", "uo", "vo", *THICKNESS.values()} and state.year.item() == 0.5
    )
    for name, da in state.data_vars.items():
        point = (VARIABLES | DIAGNOSTICS)[name].point
        assert (np.isfinite(da.values[0]) == grid.mask(point).values).all()
    mean = float(grid.mean(state.thetao)[0])
    assert mean == pytest.approx(
        20.85 if version == "3.6" else 19.404, abs=5e-3
    )  # 4.0 to 5.0: the same basin


def conservative(folder, name="bigthetao", said="", salt="so", **options):
    """Two files as CMIP6 lays them out, temperature 25 everywhere and salinity 36 in the upper half and 5 below."""
    so = np.where(np.arange(GRID.shape[0])[:, None, None] < 2, 36.0, 5.0) * np.ones(GRID.shape)
    files = []
    for variable, values in ((name, np.full(GRID.shape, 25.0)), (salt, so)):
        path = folder / f"{variable}.nc"
        field = np.where(GRID.tmask.values > 0, values, np.nan)[None]
        ds = xr.Dataset(
            {variable: (("time", "lev", "y", "x"), field, {"units": "degC" if variable == name else "0.001"})}
        )
        if variable == name and said:
            ds[variable].attrs["standard_name"] = said
        ds.assign_coords(time=("time", [15.0], {"units": "days since 1850-01-01"})).to_netcdf(path)
        files.append(path)
    return files


@pytest.mark.parametrize(
    ("name", "said"),
    [("bigthetao", ""), ("thetao", "sea_water_conservative_temperature"), ("CT", ""), ("toce", "sea_water_conservative_temperature")],
)  # fmt: skip
def test_conservative_temperature_becomes_potential_with_the_salinity_beside_it(tmp_path, name, said):
    pytest.importorskip("gsw")
    state = open_state(conservative(tmp_path, name, said), GRID)
    column = state.thetao.values[0][GRID.tmask.values > 0].round(3)
    assert set(column) == {25.031, 23.943}
    assert state.attrs["equation_of_state"] == "teos10" and "conservative" in state.thetao.attrs["comment"]
    assert state.so.attrs["standard_name"] == "sea_water_absolute_salinity"
    j, i = np.argwhere(GRID.tmask.values[0] > 0)[0]
    assert float(state.thetao.isel(time=0, z=3, y=j, x=i)) == pytest.approx(23.943, abs=1e-3)


def test_conservative_temperature_alone_or_without_gsw_is_refused_by_name(tmp_path, monkeypatch):
    files = conservative(tmp_path)
    with pytest.raises(
        UserError, match=r"bigthetao is conservative temperature; .* give the file of the salinity"
    ):
        open_state(files[0], GRID)
    monkeypatch.setitem(sys.modules, "gsw", None)
    with pytest.raises(UserError, match=r"needs the package gsw; install warmstart\[teos10\]"):
        open_state(files, GRID)


def test_the_namelist_beside_nemo_s_own_files_says_whether_their_temperature_is_conservative(tmp_path):
    pytest.importorskip("gsw")
    path = write(tmp_path / "X_00005760_restart.nc", restart_variables(STATE))
    (tmp_path / "namelist_cfg").write_text("&nameos\n ln_teos10 = .true.\n/\n")
    state = open_state(path, GRID)
    wet = GRID.tmask.values > 0
    moved = state.thetao.values[0][wet] - STATE.thetao.values[wet]
    assert state.attrs["equation_of_state"] == "teos10" and 1e-3 < abs(moved).max() < 0.2
    (tmp_path / "namelist_cfg").write_text("&nameos\n ln_seos = .true.\n ln_teos10 = .false.\n/\n")
    state = open_state(path, GRID)
    assert state.attrs["equation_of_state"] == "seos"
    np.testing.assert_array_equal(state.thetao.values[0][wet], STATE.thetao.values[wet])


def test_where_both_temperatures_are_written_the_potential_one_is_taken(tmp_path):
    files = conservative(tmp_path)
    other = tmp_path / "thetao.nc"
    with xr.open_dataset(files[0], decode_times=False) as ds:
        ds.rename(bigthetao="thetao").assign(
            thetao=lambda d: d.bigthetao * 0 + 7.0 if "bigthetao" in d else d.thetao * 0 + 7.0
        ).to_netcdf(other)
    state = open_state([*files, other], GRID)
    assert float(state.thetao.max()) == 7.0 and "equation_of_state" not in state.attrs


@pytest.mark.parametrize(
    ("units", "calendar", "first", "last"),
    [
        ("months since 1955-01-01", "standard", "1955-02-15 00:00:00", "1956-01-01 00:00:00"),
        ("hours since 0000-01-01 00:00:00", "standard", "0000-01-01 01:30:00", "0000-01-01 12:00:00"),
        ("days since 3000-01-01", "", "3000-01-02 12:00:00", "3000-01-13 00:00:00"),
        ("days since 0001-01-01", "360d", "0001-01-02 12:00:00", "0001-01-13 00:00:00"),
        ("days since 1850-02-28", "noleap", "1850-03-01 12:00:00", "1850-03-12 00:00:00"),
        ("years since 0010-01-01", "julian", "0011-07-01 00:00:00", "0022-01-01 00:00:00"),
    ],
)  # fmt: skip
def test_dates_are_right_in_every_calendar(units, calendar, first, last):
    ds = xr.Dataset({"time": ("time", [1.5, 12.0], {"units": units, "calendar": calendar})})
    times = read_times(ds, 2)
    assert [str(d)[:17] + "00" for d in times.dates] == [first, last]
    assert np.isfinite(times.years).all() and times.seconds[1] > times.seconds[0]


def test_one_state_with_a_scalar_time_and_one_without_any_open_alike(tmp_path):
    values = np.where(GRID.tmask.values > 0, 4.0, np.nan)
    ds = xr.Dataset({"thetao": (("lev", "j", "i"), values, {"units": "degC"})})
    ds.to_netcdf(tmp_path / "none.nc")
    ds.assign_coords(time=((), 15.0, {"units": "days since 1850-01-01"})).to_netcdf(tmp_path / "scalar.nc")
    assert open_state(tmp_path / "none.nc", GRID).thetao.shape == (1, *GRID.shape)
    state = open_state(tmp_path / "scalar.nc", GRID)
    assert str(state.time.values[0]) == "1850-01-16 00:00:00" and float(state.thetao.max()) == 4.0


@pytest.mark.parametrize(
    "units", ["fortnights since 1850-01-01", "days since yesterday", "months since 1850-13-01"]
)
def test_a_time_axis_that_cannot_be_read_is_named_in_one_line(tmp_path, units):
    ds = xr.Dataset({"time": ("time", [1.5], {"units": units})})
    with pytest.raises(UserError, match=r"the time axis time .*expected for example 'days since"):
        read_times(ds, 1)


@pytest.mark.parametrize("missing", ["north", "south", "both", "columns"])
def test_rows_and_columns_of_land_that_a_file_leaves_out_are_put_in_their_place(tmp_path, missing):
    mesh = Grid(closed(GRID))
    cut = {"north": (slice(0, -1), slice(None)), "south": (slice(1, None), slice(None)), "both": (slice(1, -1), slice(None)),
           "columns": (slice(None), slice(1, -1))}[missing]  # fmt: skip
    field = np.where(mesh.tmask.values > 0, STATE.thetao.values, np.nan)
    ds = xr.Dataset(
        {"thetao": (("time", "lev", "y", "x"), field[:, cut[0], cut[1]][None], {"units": "degC"})}
    )
    ds = ds.assign_coords(nav_lat=(("y", "x"), mesh.gphit.values[cut]))
    ds.to_netcdf(tmp_path / "cut.nc")
    np.testing.assert_array_equal(open_state(tmp_path / "cut.nc", mesh).thetao.values[0], field)


def closed(grid):
    """The same mesh with land all round."""
    ds = grid.ds.copy(deep=True)
    for name in ("tmask", "umask", "vmask", "fmask"):
        ds[name][:, [0, -1]] = 0
        ds[name][:, :, [0, -1]] = 0
    return ds.assign_attrs(periodic_x=0)


def test_the_file_s_own_thickness_goes_into_means_and_transports(tmp_path):
    thick = np.where(GRID.tmask.values > 0, GRID.e3t_0.values * np.linspace(1.0, 1.4, GRID.shape[2]), 0.0)
    fields = {"toce": STATE.thetao.values[None], "e3t": thick[None]}
    path = write_output(
        tmp_path / "T.nc", fields, np.array([360.0]), 360.0, units={"toce": "degC", "e3t": "m"}
    )
    state = open_state(path, GRID).isel(time=0)
    cells = (GRID.e1t * GRID.e2t).values * thick
    wet = GRID.tmask.values > 0
    expected = (STATE.thetao.values * cells)[wet].sum() / cells[wet].sum()
    assert float(volume_mean(state, GRID, "thetao")) == pytest.approx(expected, rel=1e-6)
    assert abs(float(volume_mean(state[["thetao"]], GRID, "thetao")) - expected) > 1e-3
    assert float(GRID.mean(state.thetao, thickness=state.thkcello)) == pytest.approx(expected, rel=1e-6)
    u = {"uoce": STATE.uo.values[None], "e3u": (2.0 * GRID.e3u_0.values)[None]}
    path = write_output(
        tmp_path / "U.nc", u, np.array([360.0]), 360.0, "u", units={"uoce": "m/s", "e3u": "m"}
    )
    twice = east_transport(open_state(path, GRID).isel(time=0), GRID)
    np.testing.assert_allclose(twice, 2.0 * east_transport(STATE, GRID), rtol=1e-6)


def restart_of(path, state=STATE, kt=5760):
    return write(path, restart_variables(state, kt=kt))


def test_files_of_runs_that_differ_in_name_physics_or_sea_are_refused(tmp_path):
    a = restart_of(tmp_path / "CTL_00005760_restart.nc")
    b = restart_of(tmp_path / "EXP_00011520_restart.nc", kt=11520)
    with pytest.raises(UserError, match="are of several runs: they are of CTL and of EXP"):
        open_state([a, b], GRID)
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "namelist_cfg").write_text(
            f"&namusr_def\n rn_trp = -{40 + number}.\n/\n&namrun\n nn_it000 = {number}\n/\n"
        )
    paths = [
        restart_of(f / f"CTL_{kt:08d}_restart.nc", kt=kt)
        for f, kt in zip(folders, (5760, 11520), strict=True)
    ]
    with pytest.raises(UserError, match="several runs: the namelists beside them differ in &namusr_def"):
        open_state(paths, GRID)
    (folders[1] / "namelist_cfg").write_text((folders[0] / "namelist_cfg").read_text().replace("= 0", "= 7"))
    assert open_state(paths, GRID).sizes["time"] == 2  # two jobs of one run
    shifted = STATE.roll(y=1)
    c = restart_of(tmp_path / "run_of_4.2.nc")
    d = restart_of(tmp_path / "run_of_5.0.nc", shifted, kt=11520)
    with pytest.raises(UserError, match="several runs: their land lies elsewhere"):
        open_state([c, d], GRID)
    # one that lacks some of the sea of the other is of the same: fields leave out what they do not cover
    j, i = np.argwhere(GRID.tmask.values[0] > 0)[7]
    fewer = STATE.copy(deep=True)
    fewer.thetao[0, j, i] = fewer.so[0, j, i] = np.nan
    e = restart_of(tmp_path / "short_of_5.0.nc", fewer, kt=11520)
    for files in ([c, e], [e, c]):
        assert open_state(files, GRID).sizes["time"] == 2


def test_practical_salinity_beside_conservative_temperature_becomes_absolute_at_its_own_place(tmp_path):
    gsw = pytest.importorskip("gsw")
    files = conservative(tmp_path, salt="so")
    with xr.open_dataset(files[1], decode_times=False) as ds:
        said = ds.load()
    said.so.attrs["standard_name"] = "sea_water_practical_salinity"
    said.to_netcdf(tmp_path / "practical.nc")
    state = open_state([files[0], tmp_path / "practical.nc"], GRID)
    k, j, i = np.argwhere(GRID.tmask.values > 0)[7]
    depth, lon, lat = (
        float(GRID.ds[n].transpose(..., "y", "x").values[..., j, i].ravel()[k if n == "gdept_0" else 0])
        for n in ("gdept_0", "glamt", "gphit")
    )
    absolute = gsw.SA_from_SP(36.0 if k < 2 else 5.0, gsw.p_from_z(-depth, lat), lon, lat)
    expected = gsw.pt_from_CT(absolute, 25.0)
    assert float(state.thetao.isel(time=0, z=k, y=j, x=i)) == pytest.approx(expected, abs=1e-9)
    assert abs(expected - gsw.pt_from_CT(36.0 if k < 2 else 5.0, 25.0)) > 1e-4


def test_a_time_step_that_is_a_text_is_no_number_of_the_state(tmp_path):
    variables = restart_variables(STATE) | {"rdt": ((), np.array(b"w", "S1"))}
    state = open_state(write(tmp_path / "X_00005760_restart.nc", variables), GRID)
    assert "time_step_seconds" not in state.attrs
