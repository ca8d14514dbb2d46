"""One door for every file: what it is shows in its content."""

import resource
import subprocess
import sys

import netCDF4
import numpy as np
import pytest
from typer.testing import CliRunner

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
from warmstart.cli import app
from warmstart.engines.recognition import recognise
from warmstart.errors import UserError
from warmstart.io.files import write_dataset
from warmstart.verbs.info import info

STATE, GRID = ocean()


@pytest.fixture
def run(tmp_path):
    """A folder with a mesh and a restart."""
    write(tmp_path / "mesh_mask.nc", mesh_variables(GRID))
    write(tmp_path / "DINO_00005760_restart.nc", restart_variables(STATE))
    return tmp_path


def test_own_states_and_restarts_of_nemo_come_through_the_same_door(run):
    own = write_dataset(run / "own_states.nc", STATE, GRID)
    for path in (own, run / "DINO_00005760_restart.nc"):
        assert ws.open_grid(path).fingerprint == GRID.fingerprint
        state = ws.open_state(path)
        assert state.thetao.max().item() == STATE.thetao.max().item()
    assert ws.open_grid(run).fingerprint == GRID.fingerprint
    assert ws.open_state(run / "DINO_00005760_restart.nc", run / "mesh_mask.nc").sizes["time"] == 1
    store = run / "own.zarr"
    STATE.to_zarr(store, consolidated=False)
    GRID.ds.to_zarr(store, group="grid", mode="a", consolidated=False)
    assert ws.open_grid(store).fingerprint == GRID.fingerprint
    assert ws.open_state(store).thetao.dims == ("z", "y", "x")


def test_any_piece_opens_with_the_mesh_in_pieces_beside_it(tmp_path):
    write_pieces(tmp_path, "mesh_mask", mesh_variables(GRID), (2, 2))
    paths = write_pieces(tmp_path, "DINO_00005760_restart", restart_variables(STATE), (2, 2))
    assert ws.open_state(paths[3]).thetao.max().item() == STATE.thetao.max().item()


def test_what_is_missing_or_wrong_is_said(run):
    with pytest.raises(ws.UserError, match=r"is a mesh .* no state"):
        ws.open_state(run / "mesh_mask.nc")
    (run / "mesh_mask.nc").unlink()
    with pytest.raises(ws.UserError, match=r"restart.nc needs its mesh, and .* holds no mesh_mask.nc"):
        ws.open_state(run / "DINO_00005760_restart.nc")
    with pytest.raises(ws.UserError, match="no file given"):
        ws.open_state([])
    (run / "text.nc").write_text("no NetCDF")
    with pytest.raises(ws.UserError, match="no NetCDF file"):
        ws.open_state(run / "text.nc")


def test_check_looks_at_a_restart_of_nemo_as_at_any_state(run):
    table = ws.check(run / "DINO_00005760_restart.nc", only=["thetao_mean"])
    assert table.value.item() == pytest.approx(float(GRID.mean(STATE.thetao)), rel=1e-12)
    assert (
        ws.check(
            run / "DINO_00005760_restart.nc", grid=run / "mesh_mask.nc", only=["thetao_mean"]
        ).value.item()
        == table.value.item()
    )


def test_info_names_kind_version_and_pieces(run):
    assert "NEMO restart (version: 5.0), leapfrog time stepping" in info(run / "DINO_00005760_restart.nc")
    assert "NEMO mesh_mask (version: 5.0)" in info(run / "mesh_mask.nc")
    assert f"{int(GRID.tmask.sum())} wet cells" in info(run / "mesh_mask.nc")
    (run / "namelist_cfg").write_text("&namusr_def rn_trp = -40. /")
    text = info(run)
    assert "1 run of NEMO" in text and "heat_restoring" in text and "&namusr_def lacks rn_srp" in text
    piece = write_pieces(run, "cut_restart", restart_variables(STATE), (2, 1))[1]
    assert "piece 1 of 2" in info(piece)


#: What every real file is: kind and version as far as the file shows it.
REAL_KINDS = {
    "nemo_dino/v42_4deg_leapfrog/DINO_00005760_restart.nc": "NEMO restart (version: 4.2.0), leapfrog",
    "nemo_dino/v50_4deg_leapfrog/DINO_00023040_restart.nc": "NEMO restart (version: 5.0), leapfrog",
    "nemo_dino/v50_4deg_rk3/DINO_00020160_restart.nc": "NEMO restart (version: 5.0), Runge-Kutta",
    "nemo_dino/v50_4deg_rk3_altered/restart_in_alt.nc": "NEMO restart (version: the file does not show it), 5 prognostic",
    "nemo_dino/v42_1deg/mesh_mask.nc.gz": "NEMO mesh_mask (version: 4.2.0)",
    "nemo_dino/v50_4deg_leapfrog/output.init.nc": "NEMO snapshot",
    "nemo_dino/v50_1deg_rk3/DINO_5d_00010301_00010305_grid_U_0000.nc": "NEMO IOIPSL output (version: 5.0), means",
    "nemo_dino/v50_1deg_rk3/DINO_5d_00010301_00010305_grid_T_0000.nc": "NEMO IOIPSL output (version: 5.0), means",
    "nemo_dino/v42_4deg_leapfrog/DINO_1m_00010101_00011230_grid_T_0000.nc": "NEMO IOIPSL output (version: 3.6 to 4.2)",
    "nemo_dino/v42_4deg_leapfrog/DINO_1m_00010101_00011230_grid_V_0000.nc": "NEMO IOIPSL output (version: 3.6 to 4.2)",
    "cmip6/msftmz_Omon_MPI-ESM1-2-HR_historical_r1i1p1f1_gn_191001.nc": "CMIP6 output, msftmz MPI-ESM1-2-HR historical",
    "global_4deg/forcing_4deg.nc": "other",
    "nemo_gyre/3.6/mesh_mask.nc": "NEMO mesh_mask (version: 3.6)",
    "nemo_gyre/4.0/domain_cfg_out.nc": "NEMO domain_cfg (version: 4.0)",
    "nemo_gyre/3.6/GYRE_1y_00010101_00011230_grid_T.nc": "NEMO XIOS output (version: 3.6), means",
    "nemo_gyre/5.0/GYRE_1y_00010101_00011230_grid_U.nc": "NEMO XIOS output (version: 5.0), means",
}


@needs_real_files
@pytest.mark.parametrize("name", REAL_KINDS)
def test_real_files_are_recognised(name):
    assert str(recognise(REAL / name).kind).startswith(REAL_KINDS[name])


@needs_real_files
def test_what_a_file_does_not_show_the_mesh_beside_it_does():
    gyre = REAL / "nemo_gyre" / "4.0" / "GYRE_1y_00010101_00011230_grid_T.nc"
    assert "; 4.0, by mesh_mask.nc beside it" in info(gyre).splitlines()[0]


def test_a_folder_says_what_lies_in_it(tmp_path):
    with pytest.raises(ws.UserError, match="a folder without runs"):
        info(tmp_path)
    write_dataset(tmp_path / "states.nc", STATE, GRID)
    assert "states.nc" in info(tmp_path) and "warmstart" in info(tmp_path)


@needs_real_files
def test_every_real_file_opens_as_what_it_is():
    for path in sorted(REAL.glob("nemo_*/*/*.nc*")):
        kind = recognise(path).kind
        assert kind.name not in ("other", "warmstart"), path
        if kind.name in ("mesh_mask", "domain_cfg"):
            assert ws.open_grid(path).tmask.values.any(), path
        elif "surface" not in path.name and "grid_W" not in path.name:
            mesh = REAL / "nemo_dino" / "v50_4deg_rk3" if "altered" in str(path) else path.parent
            with ws.open_state(
                path, ws.open_grid(mesh / "mesh_mask.nc") if (mesh / "mesh_mask.nc").exists() else None
            ) as state:
                assert state.sizes["time"] >= 1, path


def test_info_loads_neither_torch_nor_jax(run):
    program = (
        "import sys; from warmstart.verbs.info import info as describe; "
        f"describe({str(run / 'DINO_00005760_restart.nc')!r}); "
        "print([m for m in ('torch', 'jax', 'veros') if m in sys.modules])"
    )
    begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin < 2


def test_a_mesh_in_three_files_is_found_by_its_folder_by_one_of_them_and_beside_the_states(tmp_path):
    state, grid = ocean()
    whole = mesh_variables(grid, "3.6")
    parts = {
        "mesh_hgr": {n: v for n, v in whole.items() if n[:2] in ("gl", "gp", "e1", "e2", "ff")},
        "mesh_zgr": {n: v for n, v in whole.items() if n[:2] == "e3" or n[:4] in ("gdep", "mbat")},
        "mask": {n: v for n, v in whole.items() if n.endswith("mask")},
    }
    paths = [write(tmp_path / f"{n}.nc", v, "3.6") for n, v in parts.items()]
    write(tmp_path / "basins.nc", {"atlmask": whole["glamt"]}, "3.6")
    expected = ws.open_grid(paths).fingerprint
    restart = write(tmp_path / "X_00005760_restart.nc", restart_variables(state), "3.6")
    for path in (tmp_path, paths[1], str(paths[2]), restart, [tmp_path]):
        assert ws.open_grid(path).fingerprint == expected
    options = [o for p in paths for o in ("--grid", str(p))]
    alone = tmp_path / "alone"
    alone.mkdir()
    moved = restart.rename(alone / restart.name)
    done = CliRunner().invoke(app, ["check", str(moved), "--only", "thetao_mean", *options])
    assert done.exit_code == 0, done.output
    paths[2].unlink()
    with pytest.raises(UserError, match=r"holds no mesh_mask.nc"):
        ws.open_grid(tmp_path)


@pytest.mark.parametrize(
    ("operation", "cell_methods", "width", "said"),
    [
        ("average", "", 30.0, "means over time"),
        ("", "area: mean where sea time: mean", 30.0, "means over time"),
        ("", "time_counter: mean (interval: 5760 s)", 30.0, "means over time"),
        ("", "", 30.0, "means over time"),
        ("instant", "", 0.0, "instants"),
        ("", "area: mean time: point", 0.0, "instants"),
        ("", "", 0.0, "instants"),
    ],
)
def test_info_says_whether_records_are_means_and_their_dates(tmp_path, operation, cell_methods, width, said):
    _, grid = ocean()
    path = tmp_path / "T.nc"
    write_output(
        path,
        {"votemper": grid.tmask.values[None] * 5.0},
        np.array([60.0]),
        width,
        calendar="noleap",
        operation=operation,
    )
    with netCDF4.Dataset(path, "r+") as ds:
        ds["votemper"].cell_methods = cell_methods
    lines = info(path).splitlines()
    assert said in lines[0]
    times = lines[lines.index("times") + 1]
    assert times.endswith(said) and "calendar noleap" in times
    assert ("0001-02-15 00:00:00" if width else "0001-03-02 00:00:00") in times
