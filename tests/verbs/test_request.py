"""What is asked for on the command line: parameters from any source, a state to start from."""

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import warmstart as ws
from nemo_files import write_mesh
from warmstart.cli import app
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.ocean.places import bare
from warmstart.physics.regrid import regrid
from warmstart.verbs.generate import initial_state, wanted


@pytest.fixture
def states(tmp_path):
    """A file with one young state and its parameters."""
    state, grid = basin(nx=9, ny=14, nz=5)
    path = tmp_path / "young.nc"
    files.write_dataset(path, parameters.attach(state, {"wind_stress_south": 0.11}), grid)
    return path


def test_a_states_file_gives_the_parameters_that_it_carries(states):
    assert wanted([], states, print) == {"wind_stress_south": 0.11}
    assert wanted(["wind_stress_south=0.3 Pa"], states, print) == {"wind_stress_south": "0.3 Pa"}


def test_states_of_several_simulations_name_no_parameters(states, tmp_path):
    ds, grid = files.open_dataset(states).load(), files.open_grid(states)
    two = xr.concat([ds, ds.assign(wind_stress_south=0.2)], "sample", data_vars="all")
    files.write_dataset(tmp_path / "two.nc", two, grid)
    with pytest.raises(UserError, match="differ in wind_stress_south"):
        wanted([], tmp_path / "two.nc", print)
    files.write_dataset(tmp_path / "none.nc", ds.drop_vars("wind_stress_south"), grid)
    with pytest.raises(UserError, match="carries no parameters"):
        wanted([], tmp_path / "none.nc", print)


@pytest.mark.parametrize(
    "options, given",
    [([], "state"), (["--set", "wind_stress_south=0.2"], "both"), (["--parameters", "FILE"], "both")],
)
def test_generate_from_a_state_with_and_without_parameters(trained, states, tmp_path, options, given):
    output = tmp_path / "out.nc"
    options = [str(states) if option == "FILE" else option for option in options]
    arguments = ["generate", str(trained), "--from", str(states), "--age", "30", "-o", str(output), *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    ds = files.open_dataset(output)
    assert ds.attrs["given"] == given
    assert ds.attrs["initial_state_age"] == 30
    assert np.isfinite(ds.thetao).sum() > 0


@pytest.mark.parametrize("origin", ["own", "nemo"])
def test_a_state_of_another_mesh_is_moved_to_the_generator_s_by_regrid_and_refused_without(
    trained, tmp_path, origin
):
    state, grid = basin(nx=11, ny=17, nz=6)
    path = tmp_path / "young_restart.nc"
    if origin == "own":
        files.write_dataset(path, state, grid)
    else:
        write_mesh(tmp_path / "mesh_mask.nc", grid)
        write_restart(state, path, grid=grid)
    arguments = [
        "generate",
        str(trained),
        "--from",
        str(path),
        "--age",
        "30",
        "-o",
        str(tmp_path / "out.nc"),
        "--extrapolate",
    ]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, UserError)
    if origin == "nemo":
        assert "add --regrid (generate --from)" in str(refused.exception)
    done = CliRunner().invoke(app, [*arguments, "--regrid"])
    assert done.exit_code == 0, done.output
    target = files.open_grid(tmp_path / "out.nc")
    moved = initial_state(path, trained)
    expected = bare(regrid(ws.open_state(path, grid), grid, target))
    xr.testing.assert_allclose(moved.thetao.squeeze(), expected.thetao.squeeze(), atol=1e-6)
    assert files.open_dataset(tmp_path / "out.nc").thetao.shape[-3:] == target.shape != grid.shape
