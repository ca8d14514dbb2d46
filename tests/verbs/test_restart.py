"""Restarts: what goes in comes out, what cannot be restarted is refused before anything is written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from warmstart.engines import dino
from warmstart.engines.manifest import MANIFEST, content_hash, read_manifest
from warmstart.engines.veros.arrays import from_veros
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin, finish
from warmstart.verbs.restart import restart

GRID = dino.grid(10.0, 6)
#: States of a simulation at 4 degrees.
MEMBER = Path(__file__).parents[2] / "data" / "dino-4deg" / "member_000.nc"


def state(seed=0):
    """A stratified ocean with a little noise and a flow, on the engine's own mesh."""
    noise = xr.DataArray(np.random.default_rng(seed).normal(size=GRID.shape), dims=("z", "y", "x"))
    warm = 2.0 + 20.0 * np.cos(np.deg2rad(GRID.gphit)) * np.exp(-GRID.gdept_0 / 800.0)
    ds = xr.Dataset({"thetao": warm + 0.1 * noise, "so": 35.0 + 0.05 * warm})
    ds["uo"] = 0.05 * np.exp(-GRID.gdept_0 / 1500.0) * GRID.umask + 0.01 * noise
    ds["vo"] = 0.01 * noise * GRID.vmask
    return finish(ds.transpose("z", "y", "x"), GRID)


@pytest.fixture
def states(tmp_path):
    """Two generated states with all parameters."""
    ds = xr.concat([state(0), state(1)], "sample").assign_coords(seed=("sample", [4, 5]))
    values = parameters.defaults() | {"wind_stress_south": 0.3}
    ds = parameters.attach(ds, {name: [value] * 2 for name, value in values.items()}, "sample")
    return files.write_dataset(tmp_path / "states.nc", ds, GRID)


def refused(ds, tmp_path, match, grid=GRID):
    path = files.write_dataset(tmp_path / "wrong.nc", ds, grid, overwrite=True)
    with pytest.raises(UserError, match=match):
        restart(path, tmp_path / "restarts")
    assert not (tmp_path / "restarts").exists()


def test_temperature_and_salinity_come_back_exactly(states, tmp_path):
    paths = restart(states, tmp_path / "restarts")
    assert [path.name for path in paths] == ["000.h5", "001.h5"]
    for i, path in enumerate(paths):
        with h5py.File(path) as file, files.open_dataset(states) as ds:
            for engine, name in (("temp", "thetao"), ("salt", "so")):
                for level in range(3):
                    back = from_veros(file["core"][engine][..., level])
                    assert np.array_equal(back, ds[name].isel(sample=i).fillna(0.0).values)


def test_velocities_keep_their_shear_and_lose_their_divergent_mean_only(states, tmp_path):
    path = restart(states, tmp_path / "restarts")[0]
    with h5py.File(path) as file, files.open_dataset(states) as ds:
        change = from_veros(file["core"]["u"][..., 1]) - ds["uo"].isel(sample=0).fillna(0.0).values
    wet = GRID.umask.values > 0
    varying = np.where(wet, change, np.nan)
    deep = wet.sum(0) > 1
    assert np.nanmax(np.ptp(np.ma.masked_invalid(varying), axis=0)[deep]) < 1e-12
    assert np.nanmax(np.abs(varying)) > 1e-6


def test_the_manifest_round_trips(states, tmp_path):
    restart(states, tmp_path / "restarts")
    manifest = read_manifest(tmp_path / "restarts")
    assert manifest.engine == "veros"
    assert manifest.configuration == {"resolution": 10.0, "levels": 6}
    assert manifest.grid == GRID.fingerprint
    assert manifest.states.sha256 == content_hash(states)
    assert [sample.seed for sample in manifest.samples] == [4, 5]
    assert manifest.samples[1].parameters == parameters.defaults() | {"wind_stress_south": 0.3}


def test_every_prognostic_field_is_accounted_for_once(states, tmp_path):
    restart(states, tmp_path / "restarts")
    fields = read_manifest(tmp_path / "restarts").fields
    assert fields.given == ("thetao", "so", "uo", "vo")
    assert set(fields.derived) == {"psi", "rho", "Nsqr", "w"}
    assert set(fields.zeroed) == {"tendencies", "tke"}


def test_a_state_without_velocities_starts_without_motion_and_says_so(tmp_path):
    path = files.write_dataset(tmp_path / "still.nc", state()[["thetao", "so"]], GRID)
    made = restart(path, tmp_path / "restarts")[0]
    fields = read_manifest(tmp_path / "restarts").fields
    assert fields.given == ("thetao", "so")
    assert {"uo", "vo", "psi"} <= set(fields.zeroed)
    with h5py.File(made) as file:
        assert not np.any(file["core"]["u"][()])


def test_each_time_of_a_run_becomes_a_restart(tmp_path):
    ds = xr.concat([state(0), state(1)], "time").assign_coords(year=("time", [10.0, 20.0]))
    ds = parameters.attach(ds, parameters.defaults())
    path = files.write_dataset(tmp_path / "run.nc", ds, GRID)
    assert len(restart(path, tmp_path / "restarts")) == 2
    samples = read_manifest(tmp_path / "restarts").samples
    assert [sample.year for sample in samples] == [10.0, 20.0]
    assert samples[1].parameters == parameters.defaults()


def test_another_grid_is_refused(tmp_path):
    ds, grid = basin(nx=6, ny=19, nz=6)
    refused(ds, tmp_path, "mesh 'analytic basin'", grid)
    grid.ds.attrs.update(configuration="DINO", resolution=10.0)
    refused(ds, tmp_path, "another grid", grid)


def test_a_mesh_that_does_not_say_its_resolution_is_refused(tmp_path):
    unnamed = type(GRID)(GRID.ds.assign_attrs(resolution=10.0))
    del unnamed.ds.attrs["resolution"]
    refused(state(), tmp_path, "says its resolution", unnamed)


def test_a_state_without_salinity_is_refused(tmp_path):
    refused(state().drop_vars("so"), tmp_path, "holds no so")


def test_a_hole_in_the_sea_is_refused_and_located(tmp_path):
    ds = xr.concat([state(0), state(1)], "sample")
    y, x = np.argwhere(GRID.tmask.values[0] > 0)[5]
    ds["thetao"][1, 0, y, x] = np.nan
    refused(ds, tmp_path, "sample 1: thetao is not finite at 1 wet points")


def test_kelvin_are_refused(tmp_path):
    ds = state()
    ds["thetao"] = ds["thetao"] + 273.15
    refused(ds, tmp_path, "convert its units")


def test_what_no_engine_or_another_one_needs_is_refused(states, tmp_path):
    with pytest.raises(UserError, match="--engine nemo"):
        restart(states, tmp_path / "restarts", namelist=states)
    with pytest.raises(UserError, match="unknown engine"):
        restart(states, tmp_path / "restarts", engine="mitgcm")
    with pytest.raises(UserError, match="template"):
        restart(states, tmp_path / "restarts", template=states)
    assert not (tmp_path / "restarts").exists()


@pytest.mark.parametrize("method", [True, "conservative"])
def test_states_on_another_grid_are_moved_to_the_mesh_of_the_engine_only_when_told_to(
    method, states, tmp_path
):
    with pytest.raises(UserError, match="--regrid"):
        restart(MEMBER, tmp_path / "restarts", grid=states)
    assert not (tmp_path / "restarts").exists()
    paths = restart(MEMBER, tmp_path / "restarts", grid=states, regrid=method)
    with files.open_dataset(MEMBER) as ds:
        assert len(paths) == ds.sizes["time"]
    assert read_manifest(tmp_path / "restarts").grid == GRID.fingerprint
    with h5py.File(paths[-1]) as file, files.open_dataset(MEMBER) as ds:
        moved = xr.DataArray(from_veros(file["core"]["temp"][..., 1]), dims=("z", "y", "x"))
        assert float(GRID.mean(moved)) == pytest.approx(
            float(files.open_grid(MEMBER).mean(ds.thetao.isel(time=-1))), abs=0.5
        )


@pytest.mark.parametrize("engine", ["veros", "nemo"])
def test_moving_states_needs_a_mesh_to_move_them_to(engine, states, tmp_path):
    with pytest.raises(UserError, match="to the mesh of --grid"):
        restart(states, tmp_path / "restarts", engine=engine, regrid=True)
    assert not (tmp_path / "restarts").exists()


def test_an_existing_folder_is_kept_unless_asked(states, tmp_path):
    (tmp_path / "restarts").mkdir()
    (tmp_path / "restarts" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"[Cc]hoose another output"):
            restart(states, tmp_path / "restarts", overwrite=overwrite)
    assert [p.name for p in (tmp_path / "restarts").iterdir()] == ["mine.txt"]
    (tmp_path / "restarts" / "mine.txt").unlink()
    restart(states, tmp_path / "restarts", overwrite=True)
    with pytest.raises(UserError, match="--overwrite"):
        restart(states, tmp_path / "restarts")
    restart(states, tmp_path / "restarts", overwrite=True)
    made = sorted(p.name for p in (tmp_path / "restarts").iterdir())
    assert made == [outputs.CONTENTS, "000.h5", "001.h5", MANIFEST]


def test_a_folder_that_lost_a_restart_is_refused(states, tmp_path):
    restart(states, tmp_path / "restarts")[1].unlink()
    with pytest.raises(UserError, match=r"lacks 001\.h5"):
        read_manifest(tmp_path / "restarts")


def test_the_hash_of_a_store_follows_its_content(tmp_path):
    state().to_zarr(tmp_path / "a.zarr", consolidated=False)
    state().to_zarr(tmp_path / "b.zarr", consolidated=False)
    state(1).to_zarr(tmp_path / "c.zarr", consolidated=False)
    a, b, c = (content_hash(tmp_path / f"{name}.zarr") for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("dim", ["sample", "time"])
def test_a_file_without_states_makes_no_restart(tmp_path, dim):
    refused(
        state().expand_dims(dim).isel({dim: slice(0, 0)}), tmp_path, f"holds no state: {dim} has length 0"
    )
