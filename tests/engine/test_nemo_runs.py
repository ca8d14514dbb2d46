"""Series of NEMO's runs: numbers of a state on the mesh of the run, thin cells at the bottom included."""

import numpy as np
import pytest

from nemo_files import write_template
from warmstart import files
from warmstart.check import METRICS
from warmstart.engine.nemo import folders, runs
from warmstart.engine.nemo.restart import write_restart
from warmstart.grid import Grid
from warmstart.testing import basin


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
    row = runs.row({"thetao": zero, "so": zero, "uo": uo, "vo": vo}, partial)
    assert row["speed_max"] > 0.01
    assert row["vertical_velocity_rms"] < 1e-12 * row["speed_max"]
    assert row["vertical_velocity_max"] < 1e-12 * row["speed_max"]


def test_the_overturning_of_the_series_is_that_of_check_and_labelled_so(tmp_path):
    """No file of NEMO is asked for the eddy-induced velocity, so the overturning is not the residual one."""
    state, grid = basin(nx=8, ny=12, nz=5)
    old = write_template(tmp_path / "old.nc", grid, "5.0 RK3")
    (tmp_path / "run").mkdir()
    write_restart(state, tmp_path / "run" / "DINO_00002880_restart.nc", template=old, grid=grid)
    runs.gather(tmp_path / "run", grid, tmp_path / "read")
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
