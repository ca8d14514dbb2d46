"""Verification on NEMO: finished runs are read, commands are run; no test pretends to be the ocean model."""

import shutil
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr

from nemo_files import DATA, differing, write_mesh, write_template
from warmstart.engines.nemo import trial_runs
from warmstart.engines.nemo.launch import LARGE
from warmstart.engines.nemo.mesh import open_grid
from warmstart.engines.nemo.namelist import read_namelist
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.engines.nemo.state import open_state
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin
from warmstart.scores.metrics import METRICS
from warmstart.verbs.restart import restart
from warmstart.verbs.verify import verify

STATE, GRID = basin(nx=8, ny=12, nz=5)
CONFIGURATION = """&namrun ! of the user
   cn_exp = "DINO"
   nn_it000 = 1
   nn_itend = 99
   nn_leapy = 30
/
&namdom
   rn_Dt = 10800.0
/
"""


def value(table, start, metric):
    return float(table.query("start == @start and metric == @metric")["value"].iloc[0])


def finished_run(folder, state, years, warming):
    """A run folder with a restart at the end of each year, so much warmer every year."""
    folder.mkdir(parents=True)
    for year in years:
        date = {"kt": 2880.0 * year, "ndastp": 10000.0 * year + 1230.0, "adatrj": 360.0 * year}
        old = write_template(folder / "template", GRID, "5.0 RK3", scalars=date)
        warm = state.assign(thetao=state.thetao + warming * year)
        write_restart(warm, folder / f"DINO_{2880 * year:08d}_restart.nc", template=old, grid=GRID)
        old.unlink()


def test_finished_runs_become_the_same_tables(tmp_path):
    finished_run(tmp_path / "runs" / "control", STATE, range(1, 7), 0.0)
    finished_run(tmp_path / "runs" / "generated", STATE + 0.2, range(1, 7), 0.01)
    mesh = write_mesh(tmp_path / "mesh_mask.nc", GRID)
    ds, table = verify(tmp_path / "runs", tmp_path / "verify.nc", engine="nemo", mesh=mesh)
    assert ds["start"].values.tolist() == ["control", "generated"]
    assert ds["day"].values.tolist() == [360.0 * year for year in range(1, 7)]
    assert value(table, "generated", "drift_thetao_mean") == pytest.approx(1.0, rel=1e-6)
    assert value(table, "control", "drift_thetao_mean") == pytest.approx(0.0, abs=1e-9)
    assert value(table, "control", "distance_final") < 1e-9 < value(table, "generated", "distance_final")
    assert (ds["finished"] == 1).all() and np.isnan(value(table, "generated", "shock_kinetic_energy"))
    with files.open_dataset(tmp_path / "verify.nc") as back:
        assert back.attrs["engine"] == "nemo"


def test_a_run_that_nemo_stopped_is_a_result_and_says_why(tmp_path):
    finished_run(tmp_path / "runs" / "control", STATE, (1, 2), 0.0)
    finished_run(tmp_path / "runs" / "noisy", STATE, (1,), 0.0)
    (tmp_path / "runs" / "noisy" / "ocean.output").write_text(
        "  ===>>> : E R R O R\n\n  stp_ctl: |ssh| > 20 m\n"
    )
    ds, table = verify(
        tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=write_mesh(tmp_path / "m.nc", GRID)
    )
    assert ds["finished"].sel(start="noisy") == 0 and ds["blow_up_day"].sel(start="noisy") == 360.0
    note = table.query("start == 'noisy' and metric == 'finished'")["note"].iloc[0]
    assert "blew up by day 360" in note


@pytest.fixture
def prepared(tmp_path):
    """Restarts, a run folder to take as a template, and a program in it that only copies files."""
    template = tmp_path / "EXP"
    template.mkdir()
    (template / "namelist_cfg").write_text(CONFIGURATION)
    (template / "old_restart.nc").write_text("of another run")
    write_mesh(template / "mesh_mask.nc", GRID)
    old = write_template(tmp_path / "old.nc", GRID, "5.0 RK3")
    later = write_template(
        tmp_path / "later.nc", GRID, "5.0 RK3", scalars={"ndastp": 21230.0, "adatrj": 720.0}
    )
    (template / "copy.py").write_text(
        "import pathlib, shutil, sys\n"
        f"shutil.copy({str(later)!r}, 'DINO_00002880_restart.nc')\n"
        "pathlib.Path('ran').write_text(' '.join(sys.argv[1:]))\n"
    )
    states = files.write_dataset(tmp_path / "states.nc", STATE, GRID)
    restart(states, tmp_path / "restarts", engine="nemo", template=old, grid=template / "mesh_mask.nc")
    return tmp_path


def run(prepared, command, **options):
    return verify(
        prepared / "restarts", prepared / "verify.nc", years=1, engine="nemo", run=command, template=prepared / "EXP",
        rest=False, **options,
    )  # fmt: skip


def test_the_command_runs_in_a_folder_of_its_own_and_the_template_stays_as_it_is(prepared):
    before = {path.name: path.read_bytes() for path in (prepared / "EXP").iterdir()}
    ds, _ = run(prepared, f"{sys.executable} copy.py 'two words'", control=prepared / "old.nc")
    assert ds["start"].values.tolist() == ["state 0", "control"]
    assert {path.name: path.read_bytes() for path in (prepared / "EXP").iterdir()} == before
    place = prepared / "verify_runs" / "state_0"
    assert (place / "ran").read_text() == "two words"
    assert differing(place / "restart_000.nc", prepared / "restarts" / "restart_000.nc") == set()
    assert not (place / "old_restart.nc").exists()
    entries = read_namelist(place / "namelist_cfg")["namrun"]
    assert entries["cn_exp"] == "DINO" and entries["cn_ocerst_in"] == "restart_000"
    assert entries["ln_rstart"] is True and entries["nn_rstctl"] == 0 and entries["ln_1st_euler"] is True
    # the first step is on the day after the template, where the states say no date
    assert (entries["nn_itend"], entries["nn_stock"], entries["nn_date0"]) == (
        2880,
        2880,
        20101,
    )
    assert "! of the user" in (place / "namelist_cfg").read_text()
    assert ds["day"].values.tolist() == [0.0, 360.0]
    assert (
        read_namelist(prepared / "verify_runs" / "control" / "namelist_cfg")["namrun"]["cn_ocerst_in"]
        == "old"
    )


def test_the_same_command_runs_nothing_twice(prepared):
    command = f"{sys.executable} copy.py"
    run(prepared, command)
    (prepared / "EXP" / "copy.py").write_text("raise SystemExit(1)")
    run(prepared, command, overwrite=True)
    with pytest.raises(UserError, match="another run"):
        run(prepared, command + " otherwise", overwrite=True)


def test_a_folder_of_the_user_is_neither_removed_nor_written_to(prepared):
    """Runs go to folders named after their starts; one of that name may hold something else."""
    own = prepared / "own" / "control"
    own.mkdir(parents=True)
    (own / "DINO_00002880_restart.nc").write_text("years of work")
    command = f"{sys.executable} copy.py"
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"holds DINO_00002880_restart\.nc, which .* did not put there"):
            run(prepared, command, folder=own.parent, control=prepared / "old.nc", overwrite=overwrite)
    assert [path.name for path in own.iterdir()] == ["DINO_00002880_restart.nc"]
    assert [path.name for path in own.parent.iterdir()] == ["control"], "nothing was run before the refusal"


@pytest.mark.parametrize("name", ["thesis.log", "my_restart.nc", "runoff_grid_T.nc", "OUT/thesis.txt"])
def test_what_a_user_puts_into_a_run_that_was_begun_is_kept_whatever_it_is_called(prepared, name):
    (prepared / "EXP" / "file_def.xml").write_text('<file name="OUT/DINO_1m" />')
    (prepared / "EXP" / "OUT").mkdir()
    fails = f"{sys.executable} -c 'raise SystemExit(3)'"
    with pytest.raises(UserError, match="exit code 3"):
        run(prepared, fails)
    mine = prepared / "verify_runs" / "state_0" / name
    mine.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="did not put there"):
            run(prepared, fails, overwrite=overwrite)
    assert mine.read_text() == "mine"


def test_a_run_that_was_only_begun_is_made_anew(prepared):
    (prepared / "verify_runs" / "state_0").mkdir(parents=True)  # empty: nobody's
    with pytest.raises(UserError, match="exit code 3"):
        run(prepared, f"{sys.executable} -c 'raise SystemExit(3)'")
    left = prepared / "verify_runs" / "state_0" / "DINO_1m_grid_T.nc"
    left.write_text("of the run that failed")
    mine = left.with_name("notes.nc")
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"holds notes\.nc"):
        run(prepared, f"{sys.executable} copy.py")
    assert mine.read_text() == "mine" and left.exists()
    mine.unlink()
    run(prepared, f"{sys.executable} copy.py")
    assert not left.exists()


def test_a_command_that_fails_says_where_to_look_and_leaves_no_result(prepared):
    for command, match in (
        (f"{sys.executable} -c 'raise SystemExit(3)'", "exit code 3"), ("no-such-program", "cannot run"),
        ("true", "left no restart and no output"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=match):
            run(prepared, command)
        assert not (prepared / "verify.nc").exists() and not (prepared / "verify.csv").exists()


def test_inputs_that_do_not_fit_are_refused_before_anything_runs(prepared, tmp_path):
    with pytest.raises(UserError, match="give --run"):
        verify(prepared / "restarts", prepared / "v.nc", engine="nemo")
    with pytest.raises(UserError, match="--engine nemo"):
        verify(prepared / "restarts", prepared / "v.nc")
    with pytest.raises(UserError, match="at most 69 years"):
        verify(
            prepared / "restarts",
            prepared / "v.nc",
            years=70,
            engine="nemo",
            run="true",
            template=prepared / "EXP",
        )
    (prepared / "empty").mkdir()
    with pytest.raises(UserError, match="neither"):
        verify(prepared / "empty", prepared / "v.nc", engine="nemo", mesh=prepared / "EXP" / "mesh_mask.nc")
    with pytest.raises(UserError, match=r"no mesh_mask\.nc"):
        finished_run(prepared / "other" / "a", STATE, (1,), 0.0)
        verify(prepared / "other", prepared / "v.nc", engine="nemo")
    with pytest.raises(UserError, match="leave --run out"):
        verify(prepared / "other", prepared / "v.nc", engine="nemo", run="true", template=prepared / "EXP")
    with pytest.raises(UserError, match="unknown engine"):
        verify(prepared / "restarts", prepared / "v.nc", engine="mom6")
    with pytest.raises(UserError, match="for the engine 'nemo' only"):
        verify(prepared / "restarts", prepared / "v.nc", run="./nemo")


def test_a_namelist_without_a_time_step_is_refused(prepared):
    (prepared / "EXP" / "namelist_cfg").write_text("&namrun\n/\n")
    with pytest.raises(UserError, match="rn_Dt"):
        run(prepared, "true")


def monthly(folder, state, months, day=None, season=0.5):
    """Means of months as XIOS writes them, with a season in temperature; only those of `months`, counted from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = (np.asarray(months) * 30.0 + 15.0) * 86400.0
    warm = [state.thetao + season * np.sin(2 * np.pi * (m + 0.5) / 12.0) for m in months]
    attrs = {"online_operation": "average", "units": "degC"}
    mean = xr.Dataset(
        {
            "votemper": (
                ("time_counter", "deptht", "y", "x"),
                np.stack([w.fillna(0.0).values for w in warm]),
                attrs,
            ),
            "vosaline": (
                ("time_counter", "deptht", "y", "x"),
                np.stack([state.so.fillna(0.0).values for _ in months]),
                {"online_operation": "average", "units": "1e-3"},
            ),
        },
        {
            "time_counter": (
                "time_counter",
                seconds,
                {"units": "seconds since 0001-01-01", "calendar": "360_day"},
            )
        },
    )
    mean.to_netcdf(folder / "DINO_1m_grid_T.nc")


def namelist(folder, steps, first=1):
    text = CONFIGURATION.replace("nn_itend = 99", f"nn_itend = {steps}").replace(
        "nn_it000 = 1", f"nn_it000 = {first}"
    )
    (folder / "namelist_cfg").write_text(text)


def distances(table, start):
    return table[(table["start"] == start) & table["metric"].isin(["distance_initial", "distance_final"])]


def test_the_restart_at_the_end_is_the_end_however_many_monthly_means_there_are(tmp_path):
    for name, offset in (("control", 0.0), ("generated", 0.3)):
        finished_run(tmp_path / "runs" / name, STATE + offset, (1,), 0.0)
        monthly(tmp_path / "runs" / name, STATE + offset, range(12))
        namelist(tmp_path / "runs" / name, 2880)
    ds, table = verify(
        tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=write_mesh(tmp_path / "m.nc", GRID)
    )
    assert ds["finished"].values.tolist() == [1, 1]
    assert ds["snapshot_year"].values.tolist() == pytest.approx([15 / 360, 1.0])
    first, last = distances(table, "generated")["note"]
    assert first.startswith("year 0.04167, mean over 30 days, the equilibrium is of instants")
    assert last.startswith("year 1; in units")
    final = table.query("start == 'generated' and metric == 'distance_thetao_final, all'")["value"].iloc[0]
    assert final == pytest.approx(0.3, rel=1e-5), "not that of a month of another season"


def test_without_restarts_the_years_are_means_over_whole_years(tmp_path):
    """28 months: two whole years; the third has no end, and its months would be compared with whole years."""
    for name, offset in (("control", 0.0), ("generated", 0.3)):
        monthly(tmp_path / "runs" / name, STATE + offset, range(28), season=5.0)
    ds, table = verify(
        tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=write_mesh(tmp_path / "m.nc", GRID)
    )
    assert ds["snapshot_year"].values.tolist() == pytest.approx([15 / 360, 0.5, 1.5])
    last = table.query("start == 'generated' and metric == 'distance_thetao_final, all'").iloc[0]
    assert last["value"] == pytest.approx(0.3, rel=1e-5)
    assert last["note"].startswith("year 1.5, mean over 360 days; root")


def test_a_run_that_goes_on_or_was_cut_off_does_not_count_as_finished_and_says_how_far(tmp_path):
    mesh = write_mesh(tmp_path / "m.nc", GRID)
    said = {
        "by time.step": "step 6065 of 72000 (8 %, by time.step)",
        "by run.stat": "step 5000 of 72000 (7 %, by run.stat)",
        "by the restarts": "step 5760 of 72000 (8 %, by the restarts)",
        "without its last restart": "left no restart of it: the last is of step 5760",
        "of output only": "output until day 360 of 9000",
    }
    for name in said:
        folder = tmp_path / "runs" / name
        if name == "of output only":
            monthly(folder, STATE, range(12))
        else:
            finished_run(folder, STATE, (1, 2), 0.0)
        namelist(folder, 72000)
    (tmp_path / "runs" / "by time.step" / "time.step").write_text("   6065\n")
    (tmp_path / "runs" / "by run.stat" / "run.stat").write_text(
        " it :   4999  |ssh| 1\n it :   5000  |ssh| 1\n"
    )
    (tmp_path / "runs" / "without its last restart" / "time.step").write_text("72000")
    finished_run(tmp_path / "runs" / "whole", STATE, (1, 2), 0.0)
    namelist(tmp_path / "runs" / "whole", 5760)
    (tmp_path / "runs" / "whole" / "time.step").write_text("5760")
    ds, table = verify(tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=mesh)
    assert ds["finished"].sel(start="whole") == 1
    for name, words in said.items():
        row = table.query("start == @name and metric == 'finished'").iloc[0]
        assert row["value"] == 0.0 and words in row["note"], name
        assert np.isnan(ds["blow_up_day"].sel(start=name))


def test_a_run_of_later_steps_is_counted_from_its_first_step(tmp_path):
    finished_run(tmp_path / "runs" / "second", STATE, (2,), 0.0)
    namelist(tmp_path / "runs" / "second", 5760, first=2881)
    (tmp_path / "runs" / "second" / "time.step").write_text("3600")
    _, table = verify(
        tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=write_mesh(tmp_path / "m.nc", GRID)
    )
    assert "step 3600 of 5760 (25 %" in table.query("metric == 'finished'")["note"].iloc[0]


def test_a_control_that_nemo_stopped_is_no_equilibrium(tmp_path):
    finished_run(tmp_path / "runs" / "control", STATE, (1, 2), 0.0)
    finished_run(tmp_path / "runs" / "a", STATE, (1, 2), 0.0)
    (tmp_path / "runs" / "control" / "ocean.output").write_text(
        " ===>>> : E R R O R\n\n stp_ctl: |ssh| > 20 m\n"
    )
    with pytest.raises(UserError, match=r"stopped the control itself .*stp_ctl"):
        verify(tmp_path / "runs", tmp_path / "v.nc", engine="nemo", mesh=write_mesh(tmp_path / "m.nc", GRID))


def test_a_command_that_ends_early_without_an_error_is_no_result(prepared):
    command = "import runpy; runpy.run_path('copy.py'); open('time.step', 'w').write('12')"
    with pytest.raises(UserError, match=r"the run is still going or cut off at step 12 of 2880"):
        run(prepared, f'{sys.executable} -c "{command}"')
    assert not (prepared / "verify.nc").exists()


def test_a_program_is_linked_small_input_copied_and_what_a_run_might_overwrite_not_brought(prepared):
    template = prepared / "EXP"
    (template / "nemo").write_bytes(b"\x7fELF" + bytes(100))
    (template / "nemo").chmod(0o755)
    (template / "file_def.xml").write_text("<xml/>")
    (template / "DINO_1d_ptr_T.nc").write_text("of a former run: 20 years of work")
    (template / "DINO_forcing.nc").write_bytes(bytes(LARGE + 1))  # named in the namelist: input
    (template / "DINO_1y_old.nc").write_bytes(bytes(LARGE + 1))
    text = CONFIGURATION.replace(
        "nn_it000 = 1", 'nn_it000 = 1\n   cn_forcing = "DINO_forcing.nc"\n   cn_ocerst_outdir = "./OUT"'
    )
    (template / "namelist_cfg").write_text(text)
    (template / "OUT").mkdir()
    run(prepared, f"{sys.executable} copy.py")
    place = prepared / "verify_runs" / "state_0"
    assert (place / "nemo").is_symlink() and (place / "nemo").samefile(template / "nemo")
    assert not (place / "file_def.xml").is_symlink() and (place / "file_def.xml").read_text() == "<xml/>"
    assert not (place / "DINO_1d_ptr_T.nc").exists(), "it would pass for output of this run"
    assert not (place / "DINO_forcing.nc").is_symlink(), "a link would be written through"
    assert (place / "DINO_forcing.nc").read_bytes() == (template / "DINO_forcing.nc").read_bytes()
    assert not (place / "DINO_1y_old.nc").exists()
    assert read_namelist(place / "namelist_cfg")["namrun"]["cn_ocerst_outdir"] == "."
    assert (template / "DINO_1d_ptr_T.nc").read_text() == "of a former run: 20 years of work"


RUNS_8 = DATA.parent / "nemo_dino_runs_8deg"


@pytest.mark.skipif(
    not RUNS_8.is_dir(), reason="the real NEMO runs are not here (../shared/data/nemo_dino_runs_8deg)"
)
def test_real_runs_end_with_their_last_restart_and_their_transport_is_that_of_check_and_of_hand(tmp_path):
    ds, table = verify(RUNS_8, tmp_path / "v.nc", engine="nemo", control=RUNS_8 / "run_a")
    assert (ds["finished"] == 1).all()
    for start in ("run_b", "run_c"):
        assert distances(table, start)["note"].iloc[-1].startswith("year 2; in units")
        assert 0.0 < value(table, start, "distance_final") < 1.0, "not in units of nearly nothing"
        assert 0.0 < value(table, start, "distance_thetao_final, below 2000 m") < 0.1
    grid = open_grid(RUNS_8 / "run_b" / "mesh_mask.nc")
    state = open_state(RUNS_8 / "run_b" / "DINO_00005760_restart.nc", grid).isel(time=0).load()
    last = ds.sel(start="run_b").isel(time=-1)
    for name in ("channel_transport", "throughflow"):
        assert float(last[name]) == pytest.approx(float(METRICS[name].function(state, grid)), rel=1e-12)
    with (
        netCDF4.Dataset(RUNS_8 / "run_b" / "DINO_00005760_restart.nc") as raw,
        netCDF4.Dataset(RUNS_8 / "run_b" / "mesh_mask.nc") as mesh,
    ):
        face = mesh["e2u"][0][None] * mesh["e3u_0"][0] * mesh["umask"][0]
        sections = (raw["un"][0] * face).sum(axis=(0, 1)) / 1e6
        width = mesh["umask"][0, 0].sum(axis=0)
    # by hand: through the columns that are land but for the channel
    assert float(last["channel_transport"]) == pytest.approx(
        float(sections[width == width.min()].mean()), rel=1e-9
    )


@pytest.mark.skipif(
    not RUNS_8.is_dir(), reason="the real NEMO runs are not here (../shared/data/nemo_dino_runs_8deg)"
)
def test_a_year_of_real_monthly_means_is_no_drift(tmp_path):
    for name in ("control", "run_b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in (RUNS_8 / ("run_a" if name == "control" else name)).iterdir():
            if "restart" not in file.name and not file.name.startswith("namelist"):
                (tmp_path / "runs" / name / file.name).symlink_to(file)
    ds, table = verify(tmp_path / "runs", tmp_path / "v.nc", engine="nemo")
    assert ds["snapshot_year"].values.tolist() == pytest.approx([15 / 360, 0.5, 1.5])
    drift = table.query("start == 'run_b' and metric == 'drift_channel_transport'").iloc[0]
    assert np.isnan(drift["value"]) and "the record is too short, 0.917 years" in drift["note"]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real NEMO runs are not here (../shared/data/nemo_dino)")
def test_a_real_altered_run_against_its_control_after_a_year(tmp_path):
    source = DATA / "v50_4deg_rk3_altered"
    for name, held in {
        "altered": ("restart_in_alt.nc", "DINO_00002880_restart_alt.nc"), "control": ("DINO_00002880_restart_ctl.nc",),
    }.items():  # fmt: skip
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in held:
            shutil.copy(source / file, tmp_path / "runs" / name)
    mesh = DATA / "v50_4deg_rk3" / "mesh_mask.nc"
    ds, table = verify(tmp_path / "runs", tmp_path / "verify.nc", engine="nemo", mesh=mesh)
    altered, control = ds.sel(start="altered"), ds.sel(start="control")
    assert ds["day"].values.tolist() == [0.0, 360.0]
    # the offset a year later and the start without motion, as the runs were documented
    assert float(altered["thetao_mean"][1] - control["thetao_mean"][1]) == pytest.approx(0.103, abs=0.01)
    assert float(altered["kinetic_energy"][0]) == 0.0
    assert float(altered["kinetic_energy"][1] / control["kinetic_energy"][1]) == pytest.approx(1.06, abs=0.04)
    assert 60 < float(control["channel_transport"][1]) < 100
    assert value(table, "altered", "distance_final") < 0.5 * value(table, "altered", "distance_initial")


def test_a_start_from_rest_is_run_beside_the_others_without_a_restart(prepared):
    ds, table = verify(
        prepared / "restarts", prepared / "verify.nc", years=1, engine="nemo", template=prepared / "EXP",
        run=f"{sys.executable} copy.py",
    )  # fmt: skip
    assert ds["start"].values.tolist() == ["state 0", "rest"] and set(table["start"]) == {"state 0", "rest"}
    entries = read_namelist(prepared / "verify_runs" / "rest" / "namelist_cfg")["namrun"]
    assert entries["ln_rstart"] is False and entries["nn_date0"] == 20101


def test_one_record_without_a_length_is_a_mean_over_a_year_and_two_over_the_time_between(tmp_path):
    mean = xr.DataArray(np.zeros(2), dims="time", attrs={"cell_methods": "time: mean"})
    two = xr.Dataset({"thetao": mean}, {"year": ("time", [0.5, 0.75])})
    assert trial_runs._averaged(two, 1) == pytest.approx(90.0)
    assert trial_runs._averaged(two.isel(time=[0]), 0) == 360.0
    assert trial_runs._averaged(two.assign(thetao=mean.assign_attrs(cell_methods="time: point")), 1) == 0.0
    assert trial_runs._averaged(two.drop_vars("year"), 1) == 360.0
