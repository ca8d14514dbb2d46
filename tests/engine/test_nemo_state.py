"""Restarts and output of all versions are the same state: laws on synthetic files, numbers on real ones."""

import logging

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
from warmstart.engine.nemo.kind import recognise
from warmstart.engine.nemo.mesh import open_grid
from warmstart.engine.nemo.state import open_state
from warmstart.errors import UserError
from warmstart.physics.transport import throughflow
from warmstart.variables import VARIABLES

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
    from warmstart.engine.nemo import lazy

    path = write(tmp_path / "restart.nc", restart_variables(STATE))
    read = []
    take = lazy.take
    monkeypatch.setattr(
        lazy, "take", lambda source, key: read.append(take(source, key).size) or take(source, key)
    )
    found = open_state(path, GRID)
    assert max(read, default=0) <= GRID.shape[0]  # the deepest column, to tell content from temperature
    read.clear()
    found.thetao.isel(time=0, z=2, y=slice(3, 5)).load()
    assert sum(read) == 2 * GRID.shape[2]
    chunked = open_state(path, GRID, chunks={})
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


def test_axes_that_differ_keep_the_common_records_and_say_so(tmp_path, caplog):
    files = [
        years("thetao", tmp_path / "T.nc", [360.0, 720.0, 1080.0], 360.0, [1.0, 2.0, 3.0]),
        years("uo", tmp_path / "U.nc", [720.0, 1080.0, 1440.0], 360.0, [2.0, 3.0, 4.0]),
    ]
    with caplog.at_level(logging.WARNING):
        found = open_state(files, GRID)
    assert "time axes differ (thetao 3, uo 3 records): the 2 common ones are kept" in caplog.text
    assert found.year.values.tolist() == [1.5, 2.5]
    for name in ("thetao", "uo"):
        assert found[name].max(("z", "y", "x")).values.tolist() == [2.0, 3.0]


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
    with pytest.raises(UserError, match=r"no time in common \(T.nc: 0001-07-01 .*; U.nc: 0010-07-01"):
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
    assert set(state.data_vars) == {"thetao", "so", "uo", "vo"} and state.year.item() == 0.5
    for name, da in state.data_vars.items():
        assert (np.isfinite(da.values[0]) == grid.mask(VARIABLES[name].point).values).all()
    mean = float(grid.mean(state.thetao)[0])
    assert mean == pytest.approx(
        20.85 if version == "3.6" else 19.404, abs=5e-3
    )  # 4.0 to 5.0: the same basin
