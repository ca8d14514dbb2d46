"""The namelist entries that start NEMO from a restart: complete, dated, patched without touching anything else."""

import f90nml
import pytest
import xarray as xr

from nemo_files import write_template
from warmstart.engines.nemo.clock import (
    Clock,
    clock_of,
    date_of,
    day_after,
    first_step,
    namelist_lines,
    patch_start,
    start_entries,
)
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.ocean.parameters import attach

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
    entries = start_entries("somewhere/restart_in.nc", date=40701, clock=Clock(10800.0))
    lines = namelist_lines(entries, {"namzdf": {"rn_avt0": 2e-5}}, ["a remark"])
    parsed = f90nml.reads(lines)
    assert dict(parsed["namrun"]) == {
        "ln_rstart": True, "nn_rstctl": 0, "ln_1st_euler": True, "nn_it000": 1441, "nn_date0": 40701,
        "cn_ocerst_in": "restart_in", "cn_ocerst_indir": ".",
    }  # fmt: skip
    assert parsed["namzdf"]["rn_avt0"] == 2e-5 and lines.startswith("! a remark\n")
    assert "nn_euler = 0" in namelist_lines(entries)


def forcing_day(first, step, date, length=360.0):
    """Day of the year that DINO's forcing is of at the first step: kt * rn_Dt - (nyear - 1) years."""
    return ((first * step - (date // 10000 - 1) * length * 86400.0) / 86400.0) % length


@pytest.mark.parametrize("step", [5400.0, 10800.0, 43200.0, 86400.0])
@pytest.mark.parametrize(("date", "day"), [(10101, 0), (10701, 180), (6210315, 74), (91230, 359)])
def test_the_forcing_of_the_first_step_is_that_of_the_date(step, date, day):
    found = forcing_day(first_step(date, Clock(step)), step, date)
    assert found == pytest.approx((day + step / 86400.0) % 360.0), "the end of the first step of that day"


def test_the_first_step_counts_in_the_calendar_of_the_run():
    assert (
        first_step(10301, Clock(86400.0, "noleap")) == 60
        and first_step(40301, Clock(86400.0, "standard")) == 61
    )
    assert first_step(10301, Clock(86400.0, "360_day")) == 61
    with pytest.raises(UserError, match=r"needs rn_Dt.*--date 00010101"):
        first_step(10701, Clock())
    with pytest.raises(UserError, match="does not divide a day"):
        first_step(10701, Clock(7000.0))
    for date, calendar in (
        (10731, "360_day"),
        (10229, "noleap"),
        (11330, "noleap"),
        (0, "noleap"),
        (10100, "noleap"),
    ):
        with pytest.raises(UserError, match="yyyymmdd"):
            first_step(date, Clock(86400.0, calendar))


def test_a_patched_namelist_changes_the_entries_and_keeps_every_other_line(tmp_path):
    (tmp_path / "namelist_cfg").write_text(USER)
    patch_start(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    new = (tmp_path / "copy").read_text()
    groups = f90nml.reads(new)
    assert groups["namrun"]["ln_rstart"] is True and groups["namrun"]["nn_it000"] == 1
    assert groups["namrun"]["cn_exp"] == "DINO" and groups["namdom"]["rn_dt"] == 5400.0
    assert (tmp_path / "namelist_cfg").read_text() == USER
    untouched = [line for line in USER.splitlines() if "nn_it000" not in line and "ln_rstart" not in line]
    assert [line for line in untouched if line not in new.splitlines()] == []


def test_nemo_up_to_4_0_gets_the_name_that_it_knows(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&namrun\n   nn_euler = 1\n/\n")
    patch_start(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    entries = f90nml.read(tmp_path / "copy")["namrun"]
    assert entries["nn_euler"] == 0 and "ln_1st_euler" not in entries


def test_the_season_of_the_state_is_the_date_of_the_first_step():
    assert date_of(xr.Dataset(coords={"year": 620.0})) == (6210101, "")
    assert date_of(xr.Dataset(coords={"year": 3.25})) == (40401, "")
    assert date_of(xr.Dataset(coords={"year": 3.9999})) == (50101, ""), "rounded to the next day"
    assert date_of(xr.Dataset(coords={"year": 3.0 + 31 / 365}), "noleap") == (40201, "")
    assert date_of(xr.Dataset(attrs={"season": "07-01"}, coords={"seed": 7})) == (10701, "")
    assert date_of(xr.Dataset()) == (None, "") == date_of(xr.Dataset(coords={"year": float("nan")}))
    assert [day_after(d) for d in (11230, 50102, 20130, 20229)] == [20101, 50103, 20201, 20230]


def test_a_state_of_no_season_is_not_given_one_without_a_word():
    annual = xr.Dataset(coords={"year": ((), 620.5, {"mean_years": 1.0})})
    monthly = xr.Dataset(coords={"year": ((), 620.5, {"mean_years": 1 / 12})})
    date, remark = date_of(annual)
    assert (
        date == 6210101
        and "means over 1 year" in remark
        and "started on 1 January" in remark
        and "--date" in remark
    )
    assert date_of(monthly) == (6210701, "")
    date, remark = date_of(xr.Dataset(attrs={"season": "none: of 12 times of the year"}, coords={"seed": 7}))
    assert date == 10101 and "of 12 times of the year" in remark
    assert "does not say of which season" in date_of(xr.Dataset(coords={"seed": 7}))[1]


def test_a_patched_namelist_says_how_many_steps_keep_the_length_of_the_run(tmp_path, caplog):
    (tmp_path / "namelist_cfg").write_text("&namrun\n   nn_it000 = 17281\n   nn_itend = 23040\n/\n")
    patch_start(tmp_path / "namelist_cfg", tmp_path / "copy", start_entries("restart_in.nc"))
    assert f90nml.read(tmp_path / "copy")["namrun"]["nn_itend"] == 23040, "the length of a run is the user's"
    assert "ran 5760 steps" in caplog.text and "needs nn_itend = 5760" in caplog.text


def test_the_state_says_the_season_before_the_template_does(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    old = write_template(tmp_path / "old.nc", grid, "5.0 RK3", scalars={"ndastp": 10230.0, "rdt": 10800.0})
    july = state.assign_attrs(season="07-01").assign_coords(seed=3)
    mean = state.assign_attrs(season="none: of 12 times of the year").assign_coords(seed=3)
    for one, date, first, remarks in (
        (state, 10301, 481, 0), (july, 10701, 1441, 0), (state.assign_coords(year=2.5), 30701, 1441, 0), (mean, 10101, 1, 1),
    ):  # fmt: skip
        written = write_restart(one, tmp_path / "new.nc", template=old, grid=grid, overwrite=True)
        parsed = f90nml.reads(written.namelist)["namrun"]
        assert (parsed["nn_date0"], parsed["nn_it000"], written.date) == (date, first, date)
        assert len(written.remarks) == remarks == written.namelist.count("no season")


def test_a_season_that_needs_a_time_step_is_refused_without_one(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    with pytest.raises(UserError, match="needs rn_Dt"):
        write_restart(state, tmp_path / "a.nc", grid=grid, date=10701)
    written = write_restart(state, tmp_path / "a.nc", grid=grid)
    assert written.date == 10101 and "neither the state nor a template has a date" in written.remarks[0]


def test_the_patched_copy_has_the_physics_of_the_state_and_says_what_differs(tmp_path, caplog):
    state, grid = basin(nx=6, ny=8, nz=4)
    user = tmp_path / "namelist_cfg"
    user.write_text(USER + "&namzdf\n rn_avt0 = 1.2e-5 ! mine\n rn_avm0 = 2e-4\n/\n")
    one = attach(state, {"vertical_diffusivity": 3e-5, "vertical_viscosity": 2e-4, "bottom_drag": 1e-6})
    written = write_restart(one, tmp_path / "a.nc", grid=grid, namelist=user, date=10101)
    assert f90nml.read(tmp_path / "a.namelist_cfg")["namzdf"] == {"rn_avt0": 3e-5, "rn_avm0": 2e-4}
    assert "! mine" in (tmp_path / "a.namelist_cfg").read_text()
    assert f90nml.reads(written.namelist)["namzdf"]["rn_avt0"] == 3e-5
    assert [r.split(":")[0] for r in written.remarks] == ["vertical_diffusivity", "bottom_drag"]
    assert "the state has 3e-05, the namelist has 1.2e-05" in caplog.text
    assert f90nml.read(user)["namzdf"]["rn_avt0"] == 1.2e-5, "the user's own file stays as it is"


def test_a_patched_copy_lies_beside_the_restart_or_nothing_does(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    user = tmp_path / "namelist_cfg"
    user.write_text(USER)
    write_restart(state, tmp_path / "a.nc", grid=grid, namelist=user, date=40701)
    assert {p.name for p in tmp_path.iterdir()} == {"namelist_cfg", "a.nc", "a.namelist", "a.namelist_cfg"}
    assert f90nml.read(tmp_path / "a.namelist_cfg")["namrun"]["nn_date0"] == 40701
    assert f90nml.read(tmp_path / "a.namelist_cfg")["namrun"]["nn_it000"] == 180 * 16 + 1
    user.write_text("no namelist at all")
    for options, match in (
        ({"namelist": user}, "no &group"), ({"namelist": tmp_path / "nothing"}, "does not exist"), ({"date": 11330}, "yyyymmdd"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=match):
            write_restart(state, tmp_path / "b.nc", grid=grid, **options)
    assert not list(tmp_path.glob("b*"))
    with pytest.raises(UserError, match=r"end in \.nc"):
        write_restart(state, tmp_path / "b", grid=grid)


def test_time_step_and_calendar_are_those_that_nemo_runs_with():
    assert clock_of({"namdom": {"rn_rdt": 7200}}).step == 7200 and clock_of({}).step is None
    calendars = [clock_of({"namrun": {"nn_leapy": n}}).calendar for n in (0, 1, 30)]
    assert calendars == ["noleap", "standard", "360_day"] and clock_of({}).calendar == "360_day"
    for step in (7000.0, -1.0):
        with pytest.raises(UserError, match="does not divide a day"):
            clock_of({"namdom": {"rn_dt": step}})
    with pytest.raises(UserError, match="nn_leapy = 2"):
        clock_of({"namrun": {"nn_leapy": 2}})
