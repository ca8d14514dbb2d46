"""The namelist entries that start NEMO from a restart: complete, dated, patched without touching anything else."""

import f90nml
import pytest
import xarray as xr

from nemo_files import write_template
from warmstart.engine.nemo.restart import write_restart
from warmstart.engine.nemo.start import date_of, day_after, namelist_lines, patch_namelist, start_entries
from warmstart.errors import UserError
from warmstart.testing import basin

USER = """!! My configuration
&namrun        !   parameters of the run
   cn_exp      =  "DINO"    ! experience name
   nn_it000    =   17281    ! first time step
   ln_rstart   = .false.    ! not yet
/
&namdom
   rn_Dt = 5400.            ! step
/
"""


def test_the_lines_are_a_namelist_with_the_entries_that_an_altered_restart_needs():
    entries = start_entries("somewhere/restart_in.nc", date=40701)
    parsed = f90nml.reads(namelist_lines(entries))["namrun"]
    assert dict(parsed) == {
        "ln_rstart": True, "nn_rstctl": 0, "ln_1st_euler": True, "nn_it000": 1, "nn_date0": 40701,
        "cn_ocerst_in": "restart_in", "cn_ocerst_indir": ".",
    }  # fmt: skip
    assert "nn_euler = 0" in namelist_lines(entries)


def test_a_patched_namelist_changes_the_entries_and_keeps_every_other_line(tmp_path):
    (tmp_path / "namelist_cfg").write_text(USER)
    patch_namelist(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    new = (tmp_path / "copy").read_text()
    groups = f90nml.reads(new)
    assert groups["namrun"]["ln_rstart"] is True and groups["namrun"]["nn_it000"] == 1
    assert groups["namrun"]["cn_exp"] == "DINO" and groups["namdom"]["rn_dt"] == 5400.0
    assert (tmp_path / "namelist_cfg").read_text() == USER
    untouched = [line for line in USER.splitlines() if "nn_it000" not in line and "ln_rstart" not in line]
    assert [line for line in untouched if line not in new.splitlines()] == []


def test_nemo_up_to_4_0_gets_the_name_that_it_knows(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&namrun\n   nn_euler = 1\n/\n")
    patch_namelist(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    entries = f90nml.read(tmp_path / "copy")["namrun"]
    assert entries["nn_euler"] == 0 and "ln_1st_euler" not in entries


def test_the_season_of_the_state_is_the_date_of_the_first_step():
    assert date_of(xr.Dataset(coords={"year": 620.0})) == 6210101
    assert date_of(xr.Dataset(coords={"year": 3.25})) == 40401
    assert date_of(xr.Dataset(coords={"year": 3.9999})) == 50101, "rounded to the next day"
    assert date_of(xr.Dataset(coords={"seed": 7})) == 10101, "a generated state is one of 1 January"
    assert date_of(xr.Dataset()) is None and date_of(xr.Dataset(coords={"year": float("nan")})) is None
    assert [day_after(d) for d in (11230, 50102, 20130, 20229)] == [20101, 50103, 20201, 20230]


def test_a_patched_namelist_says_how_many_steps_keep_the_length_of_the_run(tmp_path, caplog):
    (tmp_path / "namelist_cfg").write_text("&namrun\n   nn_it000 = 17281\n   nn_itend = 23040\n/\n")
    patch_namelist(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    assert f90nml.read(tmp_path / "copy")["namrun"]["nn_itend"] == 23040, "the length of a run is the user's"
    assert "ran 5760 steps" in caplog.text and "needs nn_itend = 5760" in caplog.text


def test_a_generated_state_starts_on_1_january_whatever_the_date_of_the_template(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    old = write_template(tmp_path / "old.nc", grid, "5.0 RK3", scalars={"ndastp": 10230.0})
    for one, date in (
        (state, "00010301"), (state.assign_coords(seed=3), "00010101"), (state.assign_coords(year=2.5), "00030701"),
    ):  # fmt: skip
        written = write_restart(one, tmp_path / "new.nc", template=old, grid=grid, overwrite=True)
        assert f"nn_date0        = {date}" in written.namelist


def test_a_patched_copy_lies_beside_the_restart_or_nothing_does(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    user = tmp_path / "namelist_cfg"
    user.write_text(USER)
    write_restart(state, tmp_path / "a.nc", grid=grid, namelist=user, date=40701)
    assert {p.name for p in tmp_path.iterdir()} == {"namelist_cfg", "a.nc", "a.namelist", "a.namelist_cfg"}
    assert f90nml.read(tmp_path / "a.namelist_cfg")["namrun"]["nn_date0"] == 40701
    user.write_text("no namelist at all")
    for options, match in (
        ({"namelist": user}, "no &group"), ({"namelist": tmp_path / "nothing"}, "does not exist"), ({"date": 11330}, "yyyymmdd"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=match):
            write_restart(state, tmp_path / "b.nc", grid=grid, **options)
    assert not list(tmp_path.glob("b*"))
    with pytest.raises(UserError, match=r"end in \.nc"):
        write_restart(state, tmp_path / "b", grid=grid)
