"""Restarts for NEMO: what is not asked for stays bit for bit, what is written obeys every rule that NEMO's runs taught."""

import filecmp
import subprocess
from pathlib import Path

import f90nml
import netCDF4
import numpy as np
import pytest
import xarray as xr

import warmstart as ws
from nemo_files import (
    BEFORE,
    CONTENT,
    DATA,
    broken_rules,
    differing,
    read,
    state_of,
    structure,
    write_mesh,
    write_template,
)
from nemo_layouts import repeat_columns, write
from tripolar import World
from warmstart.engines.manifest import read_manifest
from warmstart.engines.nemo.mesh import open_grid
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin, finish
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import covered_columns
from warmstart.physics.regrid import regrid
from warmstart.verbs.restart import restart

STATE, GRID = basin(nx=8, ny=12, nz=5)
REAL = {  # restart, mesh
    "v42_4deg_leapfrog/DINO_00005760_restart.nc": "v42_4deg_leapfrog/mesh_mask.nc",
    "v50_4deg_leapfrog/DINO_00017280_restart.nc": "v50_4deg_leapfrog/mesh_mask.nc",
    "v50_4deg_leapfrog/DINO_00023040_restart.nc": "v50_4deg_leapfrog/mesh_mask.nc",
    "v50_4deg_rk3/DINO_00020160_restart.nc": "v50_4deg_rk3/mesh_mask.nc",
    "v50_4deg_rk3_altered/DINO_00002880_restart_alt.nc": "v50_4deg_rk3/mesh_mask.nc",
    "v50_4deg_rk3_altered/DINO_00002880_restart_ctl.nc": "v50_4deg_rk3/mesh_mask.nc",
    "v50_4deg_rk3_altered/restart_in_alt.nc": "v50_4deg_rk3/mesh_mask.nc",
    "v50_1deg_rk3/DINO_00000960_restart.nc": "v50_1deg_rk3/mesh_mask.nc",
    "v50_4deg_leapfrog_2proc/DINO_00023072_restart_0000.nc": "v50_4deg_leapfrog_2proc/mesh_mask_0000.nc",
}
#: States of a simulation of Veros at 4 degrees.
MEMBER = Path(__file__).parents[3] / "data" / "dino-4deg" / "member_000.nc"
real_files = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real NEMO files are not here (../shared/data/nemo_dino)"
)


def pieces_of(path):
    return (
        sorted(path.parent.glob(path.name.replace("_0000.nc", "_*.nc"))) if "_0000" in path.name else [path]
    )


def everything_else(state):
    return state.assign(
        thetao=state.thetao + 0.5,
        so=state.so + 0.1,
        uo=1.1 * state.uo,
        vo=0.9 * state.vo,
        zos=state.zos + 0.5,
    )


@real_files
@pytest.mark.parametrize("name", REAL)
def test_a_real_restart_written_unchanged_is_the_same_file(name, tmp_path):
    grid = open_grid(DATA / REAL[name])
    written = write_restart(
        state_of(DATA / name, grid), tmp_path / "same.nc", template=DATA / name, grid=grid
    )
    for old, new in zip(pieces_of(DATA / name), written.paths, strict=True):
        assert filecmp.cmp(old, new, shallow=False)
    assert written.replaced == written.recomputed == ()
    assert "ln_1st_euler    = .false." in written.namelist


@real_files
@pytest.mark.parametrize("name", REAL)
def test_reading_what_was_written_gives_the_state_back(name, tmp_path):
    grid = open_grid(DATA / REAL[name])
    state = everything_else(state_of(DATA / name, grid))
    written = write_restart(state, tmp_path / "new.nc", template=DATA / name, grid=grid)
    back = state_of(written.paths[0], grid)
    for variable in ("thetao", "so", "uo", "vo"):
        assert np.array_equal(back[variable], state[variable], equal_nan=True)
    assert np.nanmax(np.abs(back.zos - state.zos + 0.5)) < 1e-12
    for old, new in zip(pieces_of(DATA / name), written.paths, strict=True):
        assert structure(old) == structure(new)
        assert differing(old, new) <= {*written.replaced, *written.recomputed}
    assert set(written.kept) & {*written.replaced, *written.recomputed} == set()


@real_files
@pytest.mark.parametrize("name", REAL)
def test_warmer_water_changes_temperature_and_what_depends_on_it_only(name, tmp_path):
    grid = open_grid(DATA / REAL[name])
    state = state_of(DATA / name, grid)
    written = write_restart(
        state.assign(thetao=state.thetao + 1), tmp_path / "warm.nc", template=DATA / name, grid=grid
    )
    changed = set().union(*(differing(*p) for p in zip(pieces_of(DATA / name), written.paths, strict=True)))
    assert changed == {"tn"} | ({"tb", "rhop"} & {*read(written.paths[0])})


@real_files
def test_density_by_the_package_is_that_of_nemo_within_the_step_that_nemo_lags(tmp_path):
    # NEMO writes the density of the step before: the Asselin-filtered tb is nearer to it than tn
    name = "v42_4deg_leapfrog/DINO_00005760_restart.nc"
    grid, old = open_grid(DATA / REAL[name]), read(DATA / name)
    state = state_of(DATA / name, grid)
    written = write_restart(
        state.assign(so=state.so + 1e-9), tmp_path / "a.nc", template=DATA / name, grid=grid
    )
    misfit = read(written.paths[0])["rhop"] - old["rhop"]
    assert np.abs(misfit).max() < 3e-3 and np.sqrt((misfit**2).mean()) < 1e-4


@pytest.fixture(params=CONTENT)
def template(request, tmp_path):
    return write_template(tmp_path / "template.nc", GRID, request.param)


def test_a_version_s_restart_is_kept_bit_for_bit_where_nothing_is_asked(template, tmp_path):
    written = write_restart(state_of(template, GRID), tmp_path / "same.nc", template=template, grid=GRID)
    assert filecmp.cmp(template, written.paths[0], shallow=False)
    assert written.kept == tuple(read(template))


def test_the_first_step_is_an_euler_step_unless_the_restart_is_unchanged(template, tmp_path):
    """Its before-fields are those of the step before; a new state's are its now-fields."""
    namelist = tmp_path / "namelist_cfg"
    namelist.write_text("&namrun\n   ln_1st_euler = .true.\n   nn_it000 = 7\n/\n")
    same = state_of(template, GRID)
    for state, source, euler in (
        (same, template, False), (same.assign(uo=1.1 * same.uo), template, True), (STATE, template, True),
        (STATE, None, True),
    ):  # fmt: skip
        written = write_restart(
            state, tmp_path / "new.nc", template=source, grid=GRID, namelist=namelist, overwrite=True
        )
        assert f"ln_1st_euler    = .{str(euler).lower()}." in written.namelist
        assert f"nn_euler = {0 if euler else 1})" in written.namelist
        assert (tmp_path / "new.namelist").read_text().startswith(written.namelist)
        assert f90nml.read(tmp_path / "new.namelist_cfg")["namrun"]["ln_1st_euler"] is euler


def test_a_file_that_repeats_the_columns_at_its_seam_gets_each_from_the_other_end(template, tmp_path):
    wide = ws.Grid(GRID.ds.pad(x=1, mode="wrap"))
    old = write_template(tmp_path / "wide.nc", wide, "4.2 MLF" if "rhop" in read(template) else "5.0 MLF")
    state = STATE * (1 + 0.01 * xr.DataArray(np.arange(8), dims="x"))
    narrow = read(write_restart(state, tmp_path / "narrow.nc", template=template, grid=GRID).paths[0])
    written = write_restart(state, tmp_path / "new.nc", template=old, grid=GRID)
    assert structure(old) == structure(written.paths[0])
    found = read(written.paths[0])
    for name in ("tn", "sn", "un", "vn", "sshn", "tb", "ub"):
        first, last = found[name][..., 1], found[name][..., -2]
        assert not np.array_equal(first, last), name
        assert np.array_equal(found[name][..., 0], last) and np.array_equal(found[name][..., -1], first), name
        if name in narrow:
            assert np.array_equal(found[name][..., 1:-1], narrow[name]), name
    back = state_of(written.paths[0], GRID)
    assert np.array_equal(back.uo, state.uo, equal_nan=True)


def test_a_new_state_obeys_every_rule_and_keeps_the_structure(template, tmp_path):
    written = write_restart(STATE, tmp_path / "new.nc", template=template, grid=GRID)
    assert structure(template) == structure(written.paths[0])
    assert broken_rules(written.paths[0], GRID) == []
    assert differing(template, written.paths[0]) == {*written.replaced, *written.recomputed}
    assert {*written.replaced, *written.recomputed, *written.kept} == set(read(template))


def test_the_rules_are_able_to_fail(template, tmp_path):
    path = write_restart(STATE, tmp_path / "new.nc", template=template, grid=GRID).paths[0]
    with netCDF4.Dataset(path, "r+") as ds:
        ds.set_auto_maskandscale(False)
        ds["un"][0, 0][GRID.umask.values[0] == 0] = 5.0
        ds["sshn"][0] = ds["sshn"][0] + 0.5
    broken = broken_rules(path, GRID)
    assert {"land is zero, velocities with their own masks", "the mean sea level is zero"} <= set(broken)
    assert len(broken) > 2


def test_without_a_template_the_five_fields_are_enough(tmp_path):
    written = write_restart(STATE, tmp_path / "bare.nc", grid=GRID)
    assert list(read(written.paths[0])) == ["tn", "sn", "un", "vn", "sshn"]
    assert broken_rules(written.paths[0], GRID) == []
    with netCDF4.Dataset(written.paths[0]) as ds:
        assert ds.data_model == "NETCDF3_64BIT_OFFSET"
        assert ds["tn"].dimensions == ("time_counter", "nav_lev", "y", "x")
        assert ds.dimensions["time_counter"].isunlimited() and len(ds.dimensions["time_counter"]) == 1


def test_velocities_that_a_state_lacks_are_the_template_s_or_zero(template, tmp_path):
    still = STATE[["thetao", "so"]]
    written = write_restart(still, tmp_path / "kept.nc", template=template, grid=GRID)
    assert not {"un", "vn", "sshn", "ub", "uu_n"} & differing(template, written.paths[0])
    bare = write_restart(still, tmp_path / "bare.nc", grid=GRID)
    assert bare.zeroed == ("un", "vn", "sshn")
    assert not np.any(read(bare.paths[0])["un"])


def test_single_precision_in_the_template_becomes_double_and_nothing_else_changes(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 RK3", single=("tn", "en"), form="NETCDF4")
    new = write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID).paths[0]
    assert broken_rules(new, GRID) == []
    before, after = structure(old), structure(new)
    assert before["dims"] == after["dims"] and before["attrs"] == after["attrs"]
    types = {v[0]: v[1] for v in after["variables"]}
    assert types["tn"] == "float64" and types["en"] == "float32"
    assert [v for v in before["variables"] if v[0] != "tn"] == [v for v in after["variables"] if v[0] != "tn"]
    assert "en" not in differing(old, new)


def test_packed_fields_that_are_kept_stay_bit_for_bit_where_the_file_is_written_anew(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF", unlimited=False)
    with netCDF4.Dataset(old, "a") as nc:
        packed = nc.createVariable("packed", "i2", nc["en"].dimensions)
        packed.set_auto_maskandscale(False)
        packed.setncatts({"scale_factor": 0.01, "add_offset": 5.0})
        packed[:] = 123
    write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID)
    assert read(tmp_path / "new.nc")["packed"].dtype == np.int16
    assert (read(tmp_path / "new.nc")["packed"] == 123).all()
    assert structure(tmp_path / "new.nc")["dims"] != structure(old)["dims"]  # it was written anew


def test_a_template_whose_time_is_not_unlimited_is_repaired(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF", unlimited=False)
    new = write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID).paths[0]
    assert broken_rules(new, GRID) == []
    assert "avt_k" not in differing(old, new)


def test_mean_surface_fields_are_those_of_the_state_over_the_steps_that_nemo_has_summed(tmp_path):
    names = ("ssu_m", "ssv_m", "sst_m", "sss_m", "ssh_m", "e3t_m")
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF", extra=names)
    with netCDF4.Dataset(old, "a") as ds:
        ds.createVariable("nn_fsbc", "f8", ())[...] = 5.0
    new = read(write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID).paths[0])
    for mean, now in (("ssu_m", "un"), ("ssv_m", "vn"), ("sst_m", "tn"), ("sss_m", "sn")):
        assert np.array_equal(new[mean][0], 4.0 * new[now][0, 0])
    assert np.array_equal(new["ssh_m"], 4.0 * new["sshn"])
    wet = GRID.tmask.values[0] > 0
    thickness = GRID.e3t_0.values[0] * (1 + new["sshn"][0] / np.maximum(GRID.bathymetry.values, 1e-9))
    assert np.allclose(new["e3t_m"][0][wet], 4 * thickness[wet], rtol=1e-14)


def test_what_the_time_splitting_keeps_is_that_of_the_new_flow(tmp_path):
    leapfrog = write_template(tmp_path / "lf.nc", GRID, "4.2 MLF", extra=("ub2_b", "vb2_b", "un_bf", "vn_bf"))
    names = ("sshb_e", "sshbb_e", "ub_e", "ubb_e", "vb_e", "vbb_e")
    for old in (leapfrog, write_template(tmp_path / "rk3.nc", GRID, "5.0 RK3", extra=names)):
        written = write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID, overwrite=True)
        assert broken_rules(written.paths[0], GRID) == []
        assert broken_rules(old, GRID) != []


def test_a_density_by_another_equation_of_state_is_left_to_nemo(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "4.2 MLF")
    with netCDF4.Dataset(old, "r+") as ds:
        ds["rhop"][:] = ds["rhop"][:] * 1.001
    written = write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID)
    assert written.dropped == ("rhop",) and "rhop" not in read(written.paths[0])
    assert broken_rules(written.paths[0], GRID) == []


def test_pieces_are_split_as_the_template_s_and_put_together_they_are_the_whole(tmp_path):
    for number, rows in enumerate((slice(0, 7), slice(7, 12))):
        write_template(tmp_path / f"old_{number:04d}.nc", GRID, "5.0 MLF", rows=rows)
    whole = write_template(tmp_path / "whole.nc", GRID, "5.0 MLF")
    written = write_restart(STATE, tmp_path / "new.nc", template=tmp_path / "old_0001.nc", grid=GRID)
    assert [path.name for path in written.paths] == ["new_0000.nc", "new_0001.nc"]
    expected = read(write_restart(STATE, tmp_path / "one.nc", template=whole, grid=GRID).paths[0])
    parts = [read(path) for path in written.paths]
    for name in ("tn", "un", "vb", "sshn"):
        assert np.array_equal(np.concatenate([part[name] for part in parts], axis=-2), expected[name])
    for old, new in zip(("old_0000.nc", "old_0001.nc"), written.paths, strict=True):
        assert structure(tmp_path / old) == structure(new)
    assert 'cn_ocerst_in    = "new"' in written.namelist


def refused(tmp_path, match, state=STATE, grid=GRID, **options):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=match):
        write_restart(state, tmp_path / "never.nc", grid=grid, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_state_that_nemo_would_stop_on_is_refused_and_nothing_is_left(tmp_path):
    j, i = np.argwhere(GRID.umask.values[0] > 0)[3]
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
    for name, value, match in (
        ("thetao", np.nan, "not finite at 1"), ("so", 0.0, "NEMO would stop"), ("uo", 11.0, "beyond -10 to 10"),
    ):  # fmt: skip
        state = STATE.copy(deep=True)
        state[name].values[0, j, i] = value
        refused(tmp_path, match, state, template=old)
        refused(tmp_path, match, state)
    refused(tmp_path, "convert its units", STATE.assign(thetao=STATE.thetao + 273.15), template=old)
    refused(tmp_path, "no so", STATE.drop_vars("so"), template=old)
    refused(tmp_path, "both velocities", STATE.drop_vars("vo"), template=old)
    refused(tmp_path, "select one", xr.concat([STATE, STATE], "sample"), template=old)


def test_templates_that_do_not_belong_are_refused_and_nothing_is_left(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
    larger, shifted = basin(nx=9, ny=12, nz=5)[1], GRID.ds.copy(deep=True)
    refused(tmp_path, "another grid", basin(nx=9, ny=12, nz=5)[0], larger, template=old)
    for name in ("tmask", "umask", "vmask", "fmask"):
        shifted[name] = shifted[name].roll(y=1)
    moved = STATE.fillna(1.0)
    refused(tmp_path, "another sea", moved, ws.Grid(shifted), template=old)
    (tmp_path / "short.nc").write_bytes(old.read_bytes()[:-4000])
    refused(tmp_path, "cut off", template=tmp_path / "short.nc")
    write_template(tmp_path / "piece_0000.nc", GRID, "5.0 MLF", rows=slice(0, 7))
    refused(tmp_path, "missing", template=tmp_path / "piece_0000.nc")
    refused(tmp_path, "no restart of NEMO", template=write_mesh(tmp_path / "mesh_mask.nc", GRID))
    refused(tmp_path, "does not exist", template=tmp_path / "nothing.nc")
    refused(tmp_path, "no mesh", grid=None)


def test_a_template_with_holes_is_refused_where_they_would_stay_and_repaired_where_they_are_replaced(
    tmp_path,
):
    def spoilt(name, where):
        path = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
        with netCDF4.Dataset(path, "r+") as ds:
            values = ds[name][:]
            values[0][where] = np.nan
            ds[name][:] = values
        return path

    land, sea = GRID.tmask.values == 0, GRID.tmask.values > 0
    refused(tmp_path, "en, which the restart would keep, is not finite", template=spoilt("en", land))
    refused(tmp_path, r"sn is not finite at \d+ of", template=spoilt("sn", sea))
    old = spoilt("tn", land)
    assert (
        broken_rules(write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID).paths[0], GRID) == []
    )


def test_a_template_in_which_a_field_that_is_written_anew_is_a_number_is_refused_and_nothing_is_left(
    tmp_path,
):
    path = write_template(tmp_path / "template.nc", GRID, "5.0 MLF")
    with xr.open_dataset(path, decode_times=False) as ds:
        odd = ds.load().assign(tb=((), 4.0))
    odd.to_netcdf(tmp_path / "odd.nc", unlimited_dims=["t"] if "t" in odd.dims else None)
    refused(tmp_path, "tb has the shape", everything_else(STATE), template=tmp_path / "odd.nc")


def test_a_template_whose_time_step_is_no_number_is_refused_and_nothing_is_left(tmp_path):
    path = write_template(tmp_path / "template.nc", GRID, "5.0 MLF")
    with xr.open_dataset(path, decode_times=False) as ds:
        odd = ds.load().assign(rdt=((), "w"))
    odd.to_netcdf(tmp_path / "odd.nc")
    refused(tmp_path, "rdt is w, expected a number", template=tmp_path / "odd.nc")


@pytest.mark.parametrize("date", [9.97e36, 10101.5, np.nan])
def test_a_template_whose_date_is_none_is_refused_and_nothing_is_left(tmp_path, date):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 RK3", scalars={"ndastp": date})
    refused(tmp_path, "ndastp is .*, expected a", template=old)


def test_an_existing_restart_is_kept_unless_asked(tmp_path):
    write_restart(STATE, tmp_path / "new.nc", grid=GRID)
    with pytest.raises(UserError, match="--overwrite"):
        write_restart(STATE, tmp_path / "new.nc", grid=GRID)
    write_restart(STATE, tmp_path / "new.nc", grid=GRID, overwrite=True)


def test_the_verb_writes_every_sample_through_the_template_and_says_what_it_did(tmp_path):
    states = files.write_dataset(tmp_path / "states.nc", xr.concat([STATE, STATE + 0.1], "sample"), GRID)
    old, mesh = (
        write_template(tmp_path / "old.nc", GRID, "5.0 RK3"),
        write_mesh(tmp_path / "mesh_mask.nc", GRID),
    )
    paths = restart(states, tmp_path / "restarts", engine="nemo", template=old, grid=mesh)
    assert [path.name for path in paths] == ["restart_000.nc", "restart_001.nc"]
    manifest = read_manifest(tmp_path / "restarts")
    assert manifest.engine == "nemo" and len(manifest.samples) == 2
    assert manifest.fields.derived == ("uu_n", "vv_n", "ssha") and "en" in manifest.fields.kept
    for path in paths:
        assert broken_rules(path, GRID) == []
        assert 'cn_ocerst_in    = "restart_00' in path.with_suffix(".namelist").read_text()


def test_the_verb_moves_states_between_grids_only_when_told_to(tmp_path):
    grid = basin(nx=14, ny=26, nz=9)[1]
    old, mesh = (
        write_template(tmp_path / "old.nc", grid, "4.2 MLF"),
        write_mesh(tmp_path / "mesh_mask.nc", grid),
    )
    with pytest.raises(UserError, match="--regrid"):
        restart(MEMBER, tmp_path / "restarts", engine="nemo", template=old, grid=mesh)
    assert not (tmp_path / "restarts").exists()
    paths = restart(MEMBER, tmp_path / "restarts", engine="nemo", template=old, grid=mesh, regrid=True)
    assert len(paths) == files.open_dataset(MEMBER).sizes["time"]
    for path in paths[-2:]:
        assert broken_rules(path, grid, stable=True) == []
        assert structure(path) == structure(old)


@pytest.fixture(scope="module")
def veros():
    """The last state of a simulation of Veros at 4 degrees, and its mesh."""
    with files.open_dataset(MEMBER) as ds:
        return ds.isel(time=-1).load(), files.open_grid(MEMBER)


@real_files
@pytest.mark.parametrize("name", [n for n in REAL if "altered" not in n])
def test_a_veros_state_through_the_restart_of_a_real_run_obeys_every_rule(name, veros, tmp_path):
    grid = open_grid(DATA / REAL[name])
    written = write_restart(regrid(*veros, grid), tmp_path / "veros.nc", template=DATA / name, grid=grid)
    for old, new in zip(pieces_of(DATA / name), written.paths, strict=True):
        assert structure(new) == structure(old)
        assert differing(old, new) <= {*written.replaced, *written.recomputed}
    # counters, forcing and turbulence of the run stay; the five fields and what NEMO would mix with them do not
    assert {"kt", "ndastp", "adatrj", "rdt", "time_counter", "en", "avt_k", "avm_k"} <= set(written.kept)
    assert not {*BEFORE, "uu_n", "vv_n", "ssha", "rhop"} & set(written.kept) and written.dropped == ()
    if len(written.paths) == 1:
        assert broken_rules(written.paths[0], grid, stable=True) == []
    year = float(veros[0].year)
    assert year == round(year), "the end of a year"
    assert f"nn_date0        = {int(year) + 1:04d}0101" in written.namelist
    assert "ln_1st_euler    = .true." in written.namelist and "nn_rstctl       = 0" in written.namelist


@real_files
@pytest.mark.parametrize(
    "mesh", ["v42_1deg/mesh_mask.nc.gz", "v50_1deg_rk3/mesh_mask.nc", "v50_2deg_rk3/mesh_mask.nc"]
)
def test_a_veros_state_without_a_template_obeys_every_rule_on_a_real_mesh(mesh, veros, tmp_path):
    grid = open_grid(DATA / mesh)
    written = write_restart(regrid(*veros, grid), tmp_path / "veros.nc", grid=grid)
    assert broken_rules(written.paths[0], grid, stable=True) == []


@real_files
@pytest.mark.parametrize("mesh", ["v50_4deg_rk3/mesh_mask.nc", "v50_1deg_rk3/mesh_mask.nc"])
def test_the_flow_that_nemo_gets_neither_piles_up_water_nor_leaves_the_channel(mesh, veros, tmp_path):
    grid = open_grid(DATA / mesh)
    new = read(write_restart(regrid(*veros, grid), tmp_path / "veros.nc", grid=grid).paths[0])
    east = (new["un"][0] * grid.e3u_0.values).sum(0) * grid.e2u.values
    north = (new["vn"][0] * grid.e3v_0.values).sum(0) * grid.e1v.values
    rise = (np.roll(east, 1, axis=1) - east + np.roll(north, 1, axis=0) - north) / (
        grid.e1t * grid.e2t
    ).values
    assert np.abs(rise).max() * 86400 < 1e-9, "metres a day"
    state, source = veros
    before = float((state.uo.fillna(0.0) * source.e3u_0 * source.e2u).isel(x=0).sum())
    assert east[:, 0].sum() == pytest.approx(before, rel=1e-3)


@real_files
def test_a_restart_of_4_2_is_refused_for_a_run_of_5_0(tmp_path):
    # the channel lies one row apart: NEMO would blow up at the first step
    old, grid = (
        DATA / "v42_4deg_leapfrog/DINO_00005760_restart.nc",
        open_grid(DATA / "v50_4deg_leapfrog/mesh_mask.nc"),
    )
    refused(tmp_path, "another sea", regrid(*basin(nx=8, ny=12, nz=5), grid), grid, template=old)


@pytest.mark.parametrize(
    "tool", [["ncdump", "-h"], ["ncks", "-m"], ["cdo", "-s", "sinfon"]], ids=lambda t: t[0]
)
def test_other_tools_open_what_was_written(tool, tmp_path):
    import shutil

    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    for kind in ("5.0 RK3", None):
        old = write_template(tmp_path / "old.nc", GRID, kind) if kind else None
        path = write_restart(STATE, tmp_path / f"{kind}.nc".replace(" ", "_"), template=old, grid=GRID).paths[
            0
        ]
        assert subprocess.run([*tool, path], capture_output=True, timeout=60).returncode == 0


def test_before_fields_follow_only_the_field_that_changed(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
    state = state_of(old, GRID)
    written = write_restart(state.assign(uo=2 * state.uo), tmp_path / "new.nc", template=old, grid=GRID)
    assert (written.replaced, written.recomputed) == (("un",), ("ub",))
    assert set(BEFORE) - {"ub"} <= set(written.kept)


@real_files
@pytest.mark.parametrize(
    ("states", "name"),
    [
        ("v42_4deg_leapfrog/DINO_00005760_restart.nc", "v50_4deg_rk3/DINO_00020160_restart.nc"),
        ("v50_1deg_rk3/DINO_00000960_restart.nc", "v42_4deg_leapfrog/DINO_00005760_restart.nc"),
        ("v50_4deg_leapfrog/DINO_00023040_restart.nc", "v50_1deg_rk3/DINO_00000960_restart.nc"),
    ],
    ids=["4.2 to 5.0", "1 degree to 4", "4 degrees to 1"],
)
def test_a_restart_of_one_run_of_nemo_starts_another(states, name, tmp_path):
    options = {"engine": "nemo", "template": DATA / name, "grid": DATA / REAL[name]}
    with pytest.raises(UserError, match="--regrid"):
        restart(DATA / states, tmp_path / "restarts", **options)
    path = restart(DATA / states, tmp_path / "restarts", regrid=True, **options)[0]
    assert broken_rules(path, open_grid(DATA / REAL[name])) == []
    assert structure(path) == structure(DATA / name)


def without(path, name, where, value=np.nan):
    """Spoil the columns `where` of a file, ``(y, x)``: of one variable, or of all fields."""
    with netCDF4.Dataset(path, "r+") as ds:
        for var in [ds[name]] if name else ds.variables.values():
            if var.dimensions[-2:] == ("y", "x") and var.name[:3] != "nav":
                var[...] = np.where(where, value, np.asarray(var[...]))
    return path


def test_land_of_processes_that_were_not_run_may_hold_nothing_in_a_rebuilt_template(tmp_path):
    old = write_template(tmp_path / "X_00005760_restart.nc", GRID, "5.0 MLF")
    dry = ~GRID.mask("T", three_d=False).values & (np.arange(GRID.shape[1]) > 8)[:, None]
    assert dry.any()
    without(old, None, dry)
    same = write_restart(state_of(old, GRID), tmp_path / "same.nc", template=old, grid=GRID)
    assert filecmp.cmp(old, same.paths[0], shallow=False)
    warm = write_restart(STATE, tmp_path / "warm.nc", template=old, grid=GRID)
    assert np.isfinite(read(warm.paths[0])["tn"]).all() and "tn" in warm.replaced
    without(old, "en", ~dry)
    with pytest.raises(UserError, match="en, which the restart would keep, is not finite"):
        write_restart(STATE, tmp_path / "never.nc", template=old, grid=GRID)


def test_a_state_may_have_the_dimensions_of_nemo_s_own_files(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
    written = read(write_restart(STATE, tmp_path / "plain.nc", template=old, grid=GRID).paths[0])
    for number, names in enumerate(
        (("deptht", "y", "x"), ("nav_lev", "y_grid_T", "x_grid_T"), ("olevel", "j", "i"))
    ):
        state = STATE.rename(dict(zip("zyx", names, strict=True))).expand_dims("time_counter")
        found = read(write_restart(state, tmp_path / f"{number}.nc", template=old, grid=GRID).paths[0])
        assert all(np.array_equal(found[n], written[n]) for n in ("tn", "sn", "un", "vn", "sshn"))


def test_the_sea_level_under_ice_shelves_stays(tmp_path):
    ds = GRID.ds.copy(deep=True)
    for name in ("tmask", "umask", "vmask", "fmask"):
        ds[name][0, 2, 3:6] = 0
    grid = Grid(ds)
    covered = covered_columns(grid).values
    assert covered.sum() == 3
    old = without(write_template(tmp_path / "old.nc", grid, "5.0 MLF"), "sshn", covered, -0.8)
    state = STATE.assign(
        {n: STATE[n].where(grid.mask(p)) for n, p in (("thetao", "T"), ("so", "T"), ("uo", "U"), ("vo", "V"))}
    )
    state["zos"] = STATE.zos - float((STATE.zos * grid.area).sum() / grid.area.sum())
    for number, level in enumerate((-0.8, np.nan)):  # a restart holds it, output does not
        given = state.assign(zos=state.zos.where(~xr.DataArray(covered, dims=("y", "x")), level))
        found = read(write_restart(given, tmp_path / f"{number}.nc", template=old, grid=grid).paths[0])
        assert found["sshn"][0][covered].tolist() == pytest.approx([-0.8] * 3, abs=1e-12)
    holed = state.assign(zos=state.zos.where(state.zos != state.zos.isel(y=4, x=4)))
    refused(tmp_path, "zos is not finite at 1", holed, grid, template=old)


def test_without_a_template_a_sea_level_that_is_unknown_under_ice_shelves_is_said_to_be_0(tmp_path, caplog):
    ds = GRID.ds.copy(deep=True)
    for name in ("tmask", "umask", "vmask", "fmask"):
        ds[name][0, 2, 3:6] = 0
    grid = Grid(ds)
    covered, masks = covered_columns(grid), {"thetao": "T", "so": "T", "uo": "U", "vo": "V"}
    state = STATE.assign({n: STATE[n].where(grid.mask(p)) for n, p in masks.items()})
    state["zos"] = STATE.zos - float((STATE.zos * grid.area).sum() / grid.area.sum())
    for name, given in (("known", state), ("unknown", state.assign(zos=state.zos.where(~covered)))):
        caplog.clear()
        write_restart(given, tmp_path / f"{name}.nc", grid=grid)
        assert ("no sea level under ice shelves" in caplog.text) == (name == "unknown")


def test_a_run_with_teos10_gets_conservative_temperature_and_its_own_restart_back_bit_for_bit(tmp_path):
    pytest.importorskip("gsw")
    import gsw

    old = write_template(tmp_path / "X_00005760_restart.nc", GRID, "5.0 MLF")
    cfg = tmp_path / "namelist_cfg"
    cfg.write_text("&nameos\n ln_teos10 = .true.\n/\n&namrun\n/\n")
    wet = GRID.tmask.values > 0
    state = ws.open_state(old, GRID).isel(time=0).load()
    tn, sn = (read(old)[n][0] for n in ("tn", "sn"))
    np.testing.assert_array_equal(state.thetao.values[wet], gsw.pt_from_CT(sn, tn)[wet])
    same = write_restart(state, tmp_path / "same.nc", template=old, grid=GRID)
    assert filecmp.cmp(old, same.paths[0], shallow=False)
    warm = read(
        write_restart(
            state.assign(thetao=state.thetao + 0.5), tmp_path / "warm.nc", template=old, grid=GRID
        ).paths[0]
    )
    expected = gsw.CT_from_pt(sn, gsw.pt_from_CT(sn, tn) + 0.5)
    np.testing.assert_allclose(warm["tn"][0][wet], expected[wet], atol=1e-9)
    summed = write_template(tmp_path / "Y_00005760_restart.nc", GRID, "5.0 MLF", extra=("sst_m",))
    with netCDF4.Dataset(summed, "a") as ds:
        ds.createVariable("nn_fsbc", "f8", ())[...] = 5.0
    for shift in (0.0, 0.5):  # the sum that NEMO gives the air is of potential temperature, over four steps
        new = state.assign(thetao=state.thetao + shift, so=state.so + 1e-3)
        found = read(
            write_restart(new, tmp_path / "summed.nc", template=summed, grid=GRID, overwrite=True).paths[0]
        )
        surface = gsw.pt_from_CT(found["sn"][0, 0], found["tn"][0, 0])
        np.testing.assert_allclose(found["sst_m"][0][wet[0]], 4 * surface[wet[0]], rtol=1e-12)
        assert abs(surface - found["tn"][0, 0])[wet[0]].max() > 1e-3
    cfg.unlink()
    refused(tmp_path, "nothing says the equation of state of the run", state, template=old)
    cfg.write_text("&nameos\n ln_eos80 = .true.\n/\n")
    refused(tmp_path, "absolute salinity .* and the run practical", state, template=old)


@pytest.mark.parametrize(("pivot", "beyond"), [("T", True), ("T", False), ("F", True), ("F", False)])
def test_what_a_restart_holds_twice_at_a_north_fold_is_the_same_twice(pivot, beyond, tmp_path):
    world = World(pivot, beyond)
    mesh = repeat_columns(world.variables()) if beyond else world.variables()
    facts = {"jperio": ((), np.int32({"T": 4, "F": 6}[pivot]))} if beyond else {}
    attrs = {"Iperio": 1} | ({} if beyond else {"NFold": 1, "NFtype": pivot})
    grid = open_grid(write(tmp_path / "mesh_mask.nc", mesh | facts, version="3.6", attrs=attrs))
    rng = np.random.default_rng(3)
    noise = {n: rng.normal(size=grid.shape) for n in ("thetao", "so", "uo", "vo")}
    state = xr.Dataset(
        {n: (("z", "y", "x"), {"so": 35.0, "thetao": 10.0}.get(n, 0.0) + 0.1 * v) for n, v in noise.items()}
    )
    written = write_restart(finish(state, grid), tmp_path / "new.nc", grid=grid)
    found = read(written.paths[0])
    assert found["tn"].shape[-1] == world.shape[2] + 2 * beyond
    for name, point in (("tn", "T"), ("sn", "T"), ("un", "U"), ("vn", "V")):
        values = found[name][0][..., 1:-1] if beyond else found[name][0]
        values = values * np.where(world.turned[point], -1.0, 1.0) if point != "T" else values
        for place in np.unique(world.place[point]):
            here = values[:, world.place[point] == place]
            assert (here == here[:, :1]).all()


def test_a_text_in_a_template_is_kept(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF", form="NETCDF4", unlimited=False)
    with netCDF4.Dataset(old, "a") as nc:
        nc.createVariable("made_by", str, ())[...] = "somebody"
    new = write_restart(STATE, tmp_path / "new.nc", template=old, grid=GRID).paths[0]
    with netCDF4.Dataset(new) as nc:
        assert nc["made_by"][...] == "somebody"


def test_a_packed_field_that_is_kept_has_no_holes_although_its_fill_value_is_a_number_that_it_holds(tmp_path):
    old = write_template(tmp_path / "old.nc", GRID, "5.0 MLF")
    with netCDF4.Dataset(old, "a") as nc:
        kept = nc.createVariable("kept", "f8", nc["en"].dimensions, fill_value=123.0)
        kept.set_auto_maskandscale(False)
        kept[:] = 123.0
    new = write_restart(everything_else(STATE), tmp_path / "new.nc", template=old, grid=GRID).paths[0]
    assert (read(new)["kept"] == 123.0).all()
