"""Series of NEMO's runs: numbers of a state on the mesh of the run, thin cells at the bottom included."""

import numpy as np
import pytest
import xarray as xr

from nemo_files import write_template
from nemo_layouts import mesh_variables, ocean, restart_variables, write, write_pieces
from warmstart.engines.nemo import folders, launch
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin
from warmstart.ocean.grid import Grid
from warmstart.scores.metrics import METRICS


@pytest.fixture(scope="module")
def partial():
    """A mesh whose lowest cells are thin in every other column, and faces as thin as the thinner neighbour."""
    _, grid = basin(nx=8, ny=12, nz=5)
    ds = grid.ds.copy(deep=True)
    lowest = ds.tmask.values.sum(0).astype(int) - 1
    rows, columns = np.nonzero((lowest >= 0) & (np.arange(grid.shape[2]) % 2 == 0))
    ds.e3t_0.values[lowest[rows, columns], rows, columns] *= 0.3
    thick = ds.e3t_0.values
    ds.e3u_0.values[:] = np.minimum(thick, np.roll(thick, -1, axis=2))
    ds.e3v_0.values[:, :-1] = np.minimum(thick[:, :-1], thick[:, 1:])
    return Grid(ds)


def test_a_flow_without_divergence_does_not_rise_where_the_bottom_cells_are_thin(partial):
    """Each level turns round its own streamfunction: what enters a cell leaves it through the sides."""
    psi = 1e6 * np.random.default_rng(0).normal(size=partial.shape) * (partial.ds.fmask.values > 0)
    south = np.concatenate([np.zeros_like(psi[:, :1]), psi[:, :-1]], axis=1)
    uo = (south - psi) / (partial.e2u.values * partial.e3u_0.values)
    vo = (psi - np.roll(psi, 1, axis=2)) / (partial.e1v.values * partial.e3v_0.values)
    zero = np.zeros(partial.shape)
    row = launch._row({"thetao": zero, "so": zero, "uo": uo, "vo": vo}, partial)
    assert row["speed_max"] > 0.01
    assert row["vertical_velocity_rms"] < 1e-12 * row["speed_max"]
    assert row["vertical_velocity_max"] < 1e-12 * row["speed_max"]


def test_the_overturning_of_the_series_is_that_of_check_and_labelled_so(tmp_path):
    """No file of NEMO is asked for the eddy-induced velocity, so the overturning is not the residual one."""
    state, grid = basin(nx=8, ny=12, nz=5)
    old = write_template(tmp_path / "old.nc", grid, "5.0 RK3")
    (tmp_path / "run").mkdir()
    write_restart(state, tmp_path / "run" / "DINO_00002880_restart.nc", template=old, grid=grid)
    launch.gather(tmp_path / "run", grid, tmp_path / "read")
    with files.open_dataset(tmp_path / "read" / "series.nc") as series:
        for name in ("overturning_north", "overturning_abyssal"):
            checked = METRICS[name].function(state, grid)
            assert series[name].values == pytest.approx(float(checked))
            for label in (series[name].attrs["long_name"], checked.attrs["long_name"]):
                assert "Eulerian" in label and "residual" not in label


def test_runs_are_the_folders_that_hold_a_namelist_or_files_of_nemo(tmp_path):
    _, grid = basin(nx=8, ny=12, nz=5)
    for name in ("b_run", "a_run", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "a_run" / "namelist_cfg").write_text("&namrun\n/\n")
    write_template(tmp_path / "b_run" / "DINO_00002880_restart.nc", grid, "5.0 RK3")
    (tmp_path / "notes" / "read.me").write_text("no run")
    (tmp_path / "namelist_cfg").write_text("&namrun\n/\n")  # beside the runs, it serves all of them
    assert folders.find(tmp_path) == [tmp_path / "a_run", tmp_path / "b_run"]
    assert folders.find(tmp_path / "a_run") == [tmp_path / "a_run"]
    assert folders.find(tmp_path / "notes") == []


@pytest.fixture
def run(tmp_path):
    """A run with its mesh, two restarts, one of them in pieces, an initial state without a date, and monthly output of one variable."""
    state, grid = ocean(nx=6, ny=8, nz=4)
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder / "mesh_mask.nc", mesh_variables(grid))
    write(folder / "X_00005760_restart.nc", restart_variables(state, "RK3"))
    write_pieces(folder, "X_00011520_restart", restart_variables(state, "RK3", kt=11520), (2, 1))
    bare = {n: v for n, v in restart_variables(state, "RK3").items() if n in ("tn", "sn", "un", "vn", "sshn")}
    write(folder / "initial_restart.nc", bare)
    xr.Dataset(
        {
            "toce": (
                ("time_counter", "deptht", "y", "x"),
                np.ones((1, *grid.shape)),
                {"units": "degC", "online_operation": "average"},
            )
        },
        {"time_counter": ("time_counter", [15.0], {"units": "days since 0001-01-01", "calendar": "360_day"})},
    ).to_netcdf(folder / "X_1m_grid_T.nc")
    return folder


def test_of_what_a_run_holds_the_states_that_hold_most_are_taken_and_what_is_not_is_said(run):
    found = folders.read_run(run)
    assert [path.name for path in found.paths] == ["X_00005760_restart.nc", "X_00011520_restart_0000.nc"]
    assert (found.source, found.version, found.mean_years) == ("restart", "5.0", 0.0)
    assert found.years.tolist() == [1.0, 2.0]
    assert set(found.variables) == {"thetao", "so", "uo", "vo", "zos"}
    assert any("XIOS output, every 1m: no so, no uo" in note for note in found.notes), found.notes
    results = folders.states_of(run)
    assert results.paths == found.paths and results.mesh is None
    (run / "mesh_mask.nc").rename(run.parent / "mesh_mask.nc")
    assert folders.states_of(run).mesh == run.parent
    assert folders.read_run(run).grid.fingerprint == found.grid.fingerprint


def test_among_files_of_the_same_variables_those_of_more_states_are_taken(run):
    for path in run.glob("*restart*.nc"):
        path.unlink()
    with xr.open_dataset(run / "X_1m_grid_T.nc", decode_times=False) as ds:
        once = ds.load()
    twelve = xr.concat([once.assign_coords(time_counter=[15.0 + 30 * m]) for m in range(12)], "time_counter")
    twelve["time_counter"].attrs = once["time_counter"].attrs
    (run / "X_1m_grid_T.nc").unlink()
    once.to_netcdf(run / "X_1y_grid_T.nc")
    twelve.to_netcdf(run / "X_1m_grid_T.nc")
    assert [path.name for path in folders.states_of(run).paths] == ["X_1m_grid_T.nc"]
    with pytest.raises(UserError, match="no so"):
        folders.read_run(run)


def test_output_that_ends_more_than_an_interval_before_the_run_should_is_cut_off(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&namdom\n rn_Dt = 10800.\n/\n&namrun\n nn_leapy = 30\n/\n")
    groups = {"namdom": {"rn_dt": 10800.0}, "namrun": {"nn_leapy": 30}}
    days = [15.0 + 30.0 * m for m in range(12)]
    assert launch._too_short(tmp_path, groups, days, 2880) is None
    said = launch._too_short(tmp_path, groups, days[:9], 2880)
    assert said == "still going or cut off: output until day 270 of 360"
    assert launch._too_short(tmp_path, groups, days[:1], 2880) is None
