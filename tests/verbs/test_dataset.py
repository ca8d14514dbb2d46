"""A folder of NEMO runs becomes the same store as an ensemble of Veros."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import warmstart as ws
from nemo_layouts import (
    REAL,
    mesh_variables,
    needs_real_files,
    ocean,
    restart_variables,
    write,
    write_output,
    write_pieces,
)
from warmstart.store.writer import summary

STATE, GRID = ocean()
NAMELIST = "&namusr_def rn_trp = {trp}, rn_srp = -3.858e-3 /\n&namzdf rn_avt0 = 1.2e-5 /\n"


def add_run(folder, trp=-40.0, years=(1, 2, 3), warming=0.0, mesh=True):
    folder.mkdir(parents=True)
    if mesh:
        write(folder / "mesh_mask.nc", mesh_variables(GRID))
    (folder / "namelist_cfg").write_text(NAMELIST.format(trp=trp))
    for year in years:
        state = STATE.assign(thetao=STATE.thetao + warming * year / 100)
        write(folder / f"DINO_{5760 * year:08d}_restart.nc", restart_variables(state, kt=5760 * year))
    return folder


@pytest.fixture
def runs(tmp_path):
    """Three usable runs, and four that are not."""
    add_run(tmp_path / "RUNS" / "a", trp=-40.0, years=range(10, 101, 10))
    add_run(tmp_path / "RUNS" / "b", trp=-50.0, years=range(10, 101, 10), warming=0.03)
    write_pieces(
        add_run(tmp_path / "RUNS" / "c", trp=-60.0, years=()),
        "DINO_00005760_restart",
        restart_variables(STATE),
        (2, 1),
    )
    (tmp_path / "RUNS" / "empty").mkdir()
    add_run(tmp_path / "RUNS" / "mesh_only", years=())
    add_run(tmp_path / "RUNS" / "other_grid", years=(1,), mesh=False)
    state, grid = ocean(nx=10)
    write(tmp_path / "RUNS" / "other_grid" / "mesh_mask.nc", mesh_variables(grid))
    write(tmp_path / "RUNS" / "other_grid" / "DINO_00005760_restart.nc", restart_variables(state))
    broken = restart_variables(STATE)
    broken["tn"][1][0, 0, 5, 4] = np.nan
    write(add_run(tmp_path / "RUNS" / "with_nan", years=()) / "DINO_00005760_restart.nc", broken)
    return tmp_path / "RUNS"


def test_the_table_says_years_drift_verdict_and_what_was_skipped_and_why(runs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        table = ws.dataset(runs, tmp_path / "states.zarr").set_index("run")
    assert list(table.index) == ["a", "b", "c", "mesh_only", "other_grid", "with_nan"]
    assert table.loc["a", ["snapshots", "first_year", "last_year", "verdict"]].tolist() == [
        10,
        10.0,
        100.0,
        "near",  # still, but for one century only
    ]
    assert table.loc["a", "drift"] == pytest.approx(0.0, abs=1e-9)
    assert table.loc["b", "drift"] == pytest.approx(0.03, rel=1e-6) and table.loc["b", "verdict"] == "near"
    assert table.loc["c", "verdict"] == "drifting" and table.loc["c", "snapshots"] == 1
    assert table.loc[["a", "b", "c"], "heat_restoring"].tolist() == [40.0, 50.0, 60.0]
    assert "no restart and no output" in table.loc["mesh_only", "skipped"]
    assert "on another grid than most runs" in table.loc["other_grid", "skipped"]
    assert "thetao is not finite at 1 wet points" in table.loc["with_nan", "skipped"]
    assert "with_nan skipped" in caplog.text


def test_the_table_lies_beside_the_store_with_every_parameter(runs, tmp_path):
    table = ws.dataset(runs, tmp_path / "states.zarr")
    written = pd.read_csv(tmp_path / "states.csv", comment="#")
    assert list(written) == list(table) and written["heat_restoring"].tolist()[:3] == [40.0, 50.0, 60.0]
    assert set(written["vertical_diffusivity"].dropna()) == {1.2e-5}, "also those that do not vary"
    with pytest.raises(ws.UserError, match="--overwrite"):
        ws.dataset(runs, tmp_path / "states.zarr")


def test_runs_may_be_given_one_by_one_and_the_engine_named(runs, tmp_path):
    whole = ws.dataset(runs, tmp_path / "whole.zarr")
    single = ws.dataset([runs / name for name in whole.run], tmp_path / "single.zarr", engine="nemo")
    pd.testing.assert_frame_equal(whole, single)
    with pytest.raises(ws.UserError, match="no runs of NEMO"):
        ws.dataset(runs / "empty", tmp_path / "none.zarr", engine="nemo")


def test_runs_of_one_name_in_two_places_are_two_members(tmp_path):
    for place, trp in (("first", -40.0), ("second", -50.0)):
        add_run(tmp_path / place / "member_001", trp=trp)
        add_run(tmp_path / place / "z", trp=trp)
    table = ws.dataset([tmp_path / "first", tmp_path / "second"], tmp_path / "states.zarr")
    assert table.member.tolist() == [0, 1, 2, 3] and table.heat_restoring.tolist() == [40.0, 40.0, 50.0, 50.0]
    assert table.run.nunique() == 4 and table.snapshots.tolist() == [3] * 4


def test_the_store_has_the_states_the_parameters_and_the_layout_of_any_other(runs, tmp_path):
    ws.dataset(runs, tmp_path / "states.zarr")
    store = ws.open_state(tmp_path / "states.zarr").load()
    assert ws.open_grid(tmp_path / "states.zarr").fingerprint == GRID.fingerprint
    assert store.thetao.dims == ("sample", "z", "y", "x") and store.sizes["sample"] == 21
    np.testing.assert_array_equal(store.thetao[0].values, STATE.thetao.values.astype("float32"))
    assert store.member.values[[0, 10, 20]].tolist() == [0, 1, 2]
    assert store.heat_restoring.values[[0, 10, 20]].tolist() == [40.0, 50.0, 60.0]
    assert store.vertical_diffusivity.attrs["units"] == "m2 s-1" and set(store.split.values) == {"train"}
    assert set(store.phase.values[:20]) == {"equilibrium"} and store.phase.values[20] == "transient"
    assert len(summary(store)) == 3


def test_only_the_settled_states_are_taken_on_request(runs, tmp_path):
    table = ws.dataset(runs, tmp_path / "states.zarr", transient=False).set_index("run")
    assert table.loc[["a", "b", "c"], "snapshots"].tolist() == [10, 10, 0]


def test_a_parameter_that_one_run_lacks_is_not_in_the_store(runs, tmp_path, caplog):
    (runs / "b" / "namelist_cfg").write_text("&namusr_def rn_trp = -50. /")
    with caplog.at_level(logging.WARNING):
        ws.dataset(runs, tmp_path / "states.zarr")
    store = ws.open_state(tmp_path / "states.zarr")
    assert "heat_restoring" in store and "salt_restoring" not in store
    assert "salt_restoring is not in the store: unknown for b" in caplog.text


def test_one_run_with_more_output_than_restarts_is_taken_from_the_output(tmp_path):
    run = add_run(tmp_path / "run", years=(1,))
    days = np.arange(1, 13) * 30.0
    t, s, u, v, ssh = (np.repeat(np.nan_to_num(STATE[n].values)[None], 12, axis=0) for n in STATE.data_vars)
    write_output(run / "DINO_1m_00010101_00011230_grid_T.nc", {"toce": t, "soce": s, "ssh": ssh}, days, 30.0)
    write_output(run / "DINO_1m_00010101_00011230_grid_U.nc", {"uoce": u}, days, 30.0, "u")
    write_output(run / "DINO_1m_00010101_00011230_grid_V.nc", {"voce": v}, days, 30.0, "v")
    write_output(
        run / "DINO_5d_00010101_00010130_grid_T.nc",
        {"toce": np.tile(t, (6, 1, 1, 1))},
        np.arange(1, 73) * 5.0,
        5.0,
    )
    table = ws.dataset(run, tmp_path / "states.zarr")
    assert table.source.tolist() == ["XIOS output, every 1m"] and table.snapshots.tolist() == [12]


def test_a_mesh_beside_the_runs_serves_all_of_them(tmp_path):
    add_run(tmp_path / "RUNS" / "a", mesh=False)
    write(tmp_path / "RUNS" / "mesh_mask.nc", mesh_variables(GRID))
    assert ws.dataset(tmp_path / "RUNS", tmp_path / "states.zarr").snapshots.tolist() == [3]


def test_nothing_to_take_is_an_error_with_all_reasons_and_leaves_nothing_behind(tmp_path):
    add_run(tmp_path / "RUNS" / "a", years=())
    run = add_run(tmp_path / "RUNS" / "b", years=(1,))
    path = run / "DINO_00005760_restart.nc"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ws.UserError, match=r"nothing to take: a: .*no restart.*; b: .*cut off"):
        ws.dataset(tmp_path / "RUNS", tmp_path / "states.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["RUNS"]


def test_a_folder_without_runs_of_any_engine_is_named(tmp_path):
    with pytest.raises(ws.UserError, match="holds no member_"):
        ws.dataset(tmp_path, tmp_path / "states.zarr")


@needs_real_files
def test_a_real_run_of_nemo_becomes_a_store_with_the_means_of_its_files(tmp_path):
    run = tmp_path / "leapfrog"
    run.mkdir()
    for path in (REAL / "nemo_dino" / "v50_4deg_leapfrog").glob("*.nc"):
        (run / path.name).symlink_to(path)
    (run / "namelist_cfg").write_text(NAMELIST.format(trp=-40.0))
    table = ws.dataset(run, tmp_path / "states.zarr")
    assert table.snapshots.tolist() == [12] and table.verdict.tolist() == ["drifting"]
    store: xr.Dataset = ws.open_state(tmp_path / "states.zarr")
    grid = ws.open_grid(tmp_path / "states.zarr")
    assert float(grid.mean(store.thetao.astype("float64"))[0]) == pytest.approx(5.8842, abs=1e-4)


def test_a_file_in_place_of_a_folder_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "base.txt").write_text("mine")
    with pytest.raises(ws.UserError, match=r"base\.txt is no folder; give the folder"):
        ws.dataset(tmp_path / "base.txt", tmp_path / "states.zarr")


def test_a_run_without_a_namelist_has_the_parameters_that_it_says_itself(tmp_path, caplog):
    for name, level in (("a", 1.0), ("b", 2.0)):
        run = add_run(tmp_path / "RUNS" / name)
        run.joinpath("namelist_cfg").unlink()
        (run / "parameters.yaml").write_text(f"level: {level} kg\nheat_restoring: 50\n")
    table = ws.dataset(tmp_path / "RUNS", tmp_path / "states.zarr")
    store = ws.open_state(tmp_path / "states.zarr")
    assert table.level.tolist() == [1.0, 2.0] and store.level.attrs["units"] == "kg"
    assert store.level.values.tolist() == [1.0] * 3 + [2.0] * 3 and set(store.heat_restoring.values) == {50.0}
    assert (
        store.attrs["equation_of_state_detail"].startswith("unknown")
        and "computed here by S-EOS" in caplog.text
    )
    (tmp_path / "RUNS" / "b" / "parameters.yaml").write_text("level: 2 m\n")
    with pytest.raises(ws.UserError, match="level is in m, in other runs in kg"):
        ws.dataset(tmp_path / "RUNS", tmp_path / "other.zarr")
    for name in "ab":
        (tmp_path / "RUNS" / name / "parameters.yaml").unlink()
    assert ws.dataset(tmp_path / "RUNS", tmp_path / "none.zarr").snapshots.tolist() == [3, 3]


def test_any_entry_of_the_namelists_can_be_a_parameter(runs, tmp_path):
    table = ws.dataset(runs, tmp_path / "states.zarr", parameter=["damping=namusr_def/rn_trp:W m-2 K-1"])
    assert table.damping.tolist()[:3] == [-40.0, -50.0, -60.0] and "heat_restoring" not in table
    store = ws.open_state(tmp_path / "states.zarr")
    assert store.damping.attrs["namelist"] == "namusr_def/rn_trp" and json.loads(
        store.attrs["parameter_ranges"]
    ) == {"damping": [-60.0, -40.0]}
    with pytest.raises(ws.UserError, match=r"a: .*&namzdf has no rn_nothing, which parameter x names"):
        ws.dataset(runs, tmp_path / "none.zarr", parameter=["x=namzdf/rn_nothing"])


def test_which_records_are_equilibrium_may_be_told_and_is_written_down(runs, tmp_path, caplog):
    table = ws.dataset(runs, tmp_path / "all.zarr", equilibrium="all").set_index("run")
    assert table.loc[["a", "b", "c"], "equilibrium"].tolist() == [10, 10, 1]
    assert table.loc["c", "verdict"] == "drifting", "what was judged stays said"
    assert ws.open_state(tmp_path / "all.zarr").attrs["equilibrium_records"] == "told: all records"
    table = ws.dataset(runs, tmp_path / "from.zarr", equilibrium_from="50y").set_index("run")
    assert table.loc[["a", "b", "c"], "equilibrium"].tolist() == [6, 6, 0], "the years 50, 60 … 100"
    assert "c has no record from model year 50 on" in caplog.text
    assert (
        ws.open_state(tmp_path / "from.zarr").attrs["equilibrium_records"]
        == "told: records from model year 50 on"
    )
    for options in (
        {"equilibrium": "some"},
        {"equilibrium_from": "soon"},
        {"equilibrium": "all", "equilibrium_from": 3},
    ):
        with pytest.raises(ws.UserError, match="expected"):
            ws.dataset(runs, tmp_path / "none.zarr", **options)


def test_runs_without_a_sea_level_are_a_store_without_one(tmp_path):
    run = add_run(tmp_path / "run", years=())
    days = np.arange(1, 13) * 30.0
    t, s, u, v, _ = (np.repeat(np.nan_to_num(STATE[n].values)[None], 12, axis=0) for n in STATE.data_vars)
    write_output(run / "GYRE_1m_grid_T.nc", {"toce": t, "soce": s}, days, 30.0)
    write_output(run / "GYRE_1m_grid_U.nc", {"uoce": u}, days, 30.0, "u")
    write_output(run / "GYRE_1m_grid_V.nc", {"voce": v}, days, 30.0, "v")
    assert ws.dataset(run, tmp_path / "states.zarr").snapshots.tolist() == [12]
    store = ws.open_state(tmp_path / "states.zarr")
    assert "zos" not in store and store.attrs["mean_years"] == pytest.approx(1 / 12, rel=1e-4)


@needs_real_files
@pytest.mark.parametrize("version", ["3.6", "4.0", "4.2.0", "5.0"])
def test_a_real_run_of_gyre_becomes_a_store_with_no_dino_in_it(tmp_path, version):
    table = ws.dataset(REAL / "nemo_gyre" / version, tmp_path / "states.zarr", equilibrium="all")
    assert table.snapshots.tolist() == [1] == table.equilibrium.tolist()
    store = ws.open_state(tmp_path / "states.zarr")
    assert "zos" not in store and store.attrs["mean_years"] == pytest.approx(1.0)
    assert np.isfinite(store.thetao.values).any() and "heat_restoring" not in store


@needs_real_files
def test_the_real_runs_of_dino_have_the_parameters_in_which_they_differ(tmp_path):
    table = ws.dataset(REAL / "nemo_dino_runs_8deg", tmp_path / "states.zarr", equilibrium_from="1y")
    assert table.wind_stress_south.tolist() == [0.1, 0.2, 0.3] and table.snapshots.tolist() == [24] * 3
    assert table.equilibrium.tolist() == [12] * 3
    assert (
        ws.open_state(tmp_path / "states.zarr")
        .attrs["equation_of_state_detail"]
        .startswith("S-EOS: rn_t0 10")
    )
