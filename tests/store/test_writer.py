import json
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.verbs.dataset import dataset

MEMBERS = (0, 3, 7, 11)  #: train, validation, test, validation


def write_member(runs, index, *, state="finished", years=(10.0, 20.0), nz=4, forcing=True, **changes):
    """A finished run of an analytic basin: one snapshot on the way, the others at equilibrium."""
    folder = runs / f"member_{index:03d}"
    folder.mkdir(parents=True)
    values = parameters.defaults() | {"bottom_drag": 1e-6 * (index + 1)}
    dump_yaml(
        {"state": state, "years": years[-1], "drift_K_per_century": 0.001 * index, "verdict": "equilibrium"},
        folder / "status.yaml",
    )
    basic, grid = basin(nx=6, ny=8, nz=nz)
    ds = xr.concat([basic + 0.01 * index + 0.001 * year for year in years], "time")
    phases = ["transient"] + ["equilibrium"] * (len(years) - 1)
    ds = ds.assign_coords(year=("time", list(years)), phase=("time", phases)).assign(changes)
    if forcing:
        for name in ("forcing_wind_stress", "forcing_restoring_temperature", "forcing_restoring_salinity"):
            ds[name] = ("y", np.full(8, float(index)), {"units": "Pa"})
    files.write_dataset(folder / "states.nc", parameters.attach(ds, values), grid)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    runs = tmp_path_factory.mktemp("original") / "runs"
    for index in MEMBERS:
        write_member(runs, index)
    return runs


@pytest.fixture
def runs(original, tmp_path):
    shutil.copytree(original, tmp_path / "runs")
    return tmp_path / "runs"


def test_every_value_comes_back_bit_for_bit(tiny_runs, tmp_path):
    """From a real ensemble through the store and back."""
    table = dataset(tiny_runs, tmp_path / "states.zarr")
    store = xr.open_zarr(tmp_path / "states.zarr", chunks=None)
    assert table["snapshots"].tolist() == [5] * 4
    assert table["equilibrium"].tolist() == [4] * 4
    for i in range(4):
        part = store.isel(sample=store["member"].values == i)
        with xr.open_dataset(tiny_runs / f"member_{i:03d}" / "states.nc") as run:
            for name in (*STATE_VARIABLES, "year"):
                assert np.array_equal(part[name].values, run[name].values, equal_nan=True), name
            assert part["phase"].values.tolist() == run["phase"].values.tolist()
            for name in parameters.PARAMETERS:
                assert (part[name].values == float(run[name])).all(), name
            for name in (
                "forcing_wind_stress",
                "forcing_restoring_temperature",
                "forcing_restoring_salinity",
            ):
                assert (part[name].values == run[name].values).all(), name
    assert store["thetao"].attrs["units"] == "degC"
    with xr.open_dataset(tiny_runs / "member_000" / "states.nc", group="grid") as mesh:
        assert files.open_grid(tmp_path / "states.zarr").ds.identical(mesh.load())


def test_the_store_knows_the_ranges_of_the_plan(tiny_runs, tmp_path):
    dataset(tiny_runs, tmp_path / "states.zarr")
    attrs = files.open_dataset(tmp_path / "states.zarr").attrs
    assert json.loads(attrs["parameter_ranges"]) == {
        "vertical_diffusivity": [1e-5, 1e-4],
        "wind_stress_south": [0.05, 0.4],
    }
    assert {"warmstart_version", "command", "config_hash"} <= set(attrs)


def test_ranges_of_a_plan_written_by_hand_may_have_units(runs, tmp_path):
    dump_yaml({"ranges": {"wind_stress_south": ["50 mPa", "0.4 Pa"]}}, runs / "plan.yaml")
    dataset(runs, tmp_path / "states.zarr")
    attrs = files.open_dataset(tmp_path / "states.zarr").attrs
    assert json.loads(attrs["parameter_ranges"]) == {"wind_stress_south": [0.05, 0.4]}


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({5: [0.1, 0.4]}, "ranges: 5: expected the name of a parameter"),
        ({"wind_stress_south": 0.4}, "ranges: wind_stress_south: expected [lowest, highest]"),
        ({"wind_stress_south": ["0.05 m", "0.4 m"]}, "cannot convert 'm' to Pa"),
        ({"wind_stress_south": [0.4, 0.05]}, "empty or not positive"),
        ({"wind": [0.05, 0.4]}, "unknown parameter 'wind'"),
        ([0.05, 0.4], "expected parameter names with [lowest, highest]"),
    ],
)
def test_ranges_of_a_plan_that_cannot_be_are_refused(runs, tmp_path, ranges, says):
    dump_yaml({"ranges": ranges}, runs / "plan.yaml")
    refused(runs, tmp_path, "plan.yaml", says)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"state": "finished", "drift_K_per_century": "abc"}, "drift_K_per_century is 'abc'; expected a number"),
        ({"state": "failed", "blow_ups": [{"parameters": {}}]}, "expected 'blow_ups', a list of year"),
        ({"state": "failed", "blow_ups": "often"}, "expected 'blow_ups', a list of year"),
    ],
)  # fmt: skip
def test_a_status_that_cannot_be_is_refused_by_name(runs, tmp_path, status, says):
    dump_yaml(status, runs / "member_003" / "status.yaml")
    refused(runs, tmp_path, "member_003/status.yaml", says)


def test_one_snapshot_is_one_chunk_in_zarr_3(runs, tmp_path):
    dataset(runs, tmp_path / "states.zarr")
    group = zarr.open_group(tmp_path / "states.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    for name in STATE_VARIABLES:
        assert group[name].chunks == (1, *group[name].shape[1:]), name


def test_xarray_opens_the_store_without_a_warning(runs, tmp_path, recwarn):
    dataset(runs, tmp_path / "states.zarr")
    with (
        xr.open_zarr(tmp_path / "states.zarr", chunks=None) as ds,
        xr.open_zarr(tmp_path / "states.zarr", group="grid", chunks=None),
    ):
        assert ds.sizes["sample"] == 8
    assert [str(w.message) for w in recwarn] == []


def test_splits_are_by_member_never_by_snapshot(runs, tmp_path):
    table = dataset(runs, tmp_path / "states.zarr")
    assert table.set_index("member")["split"].to_dict() == {
        0: "train",
        3: "validation",
        7: "test",
        11: "validation",
    }
    ds = files.open_dataset(tmp_path / "states.zarr")
    for member in MEMBERS:
        assert set(ds["split"].values[ds["member"].values == member]) == {parameters.split_of(member)}
    assert ds.attrs["validation_members"] == 2


def test_a_store_written_in_batches_is_the_store_written_at_once(runs, tmp_path, monkeypatch):
    dataset(runs, tmp_path / "whole.zarr")
    monkeypatch.setattr("warmstart.store.writer.BATCH_BYTES", 0)
    dataset(runs, tmp_path / "parts.zarr")
    whole, parts = (
        xr.open_zarr(tmp_path / name, chunks=None).load() for name in ("whole.zarr", "parts.zarr")
    )
    assert parts.assign_attrs(created="").identical(whole.assign_attrs(created=""))
    for name in ("thetao", "bottom_drag"):
        assert parts[name].encoding["chunks"] == whole[name].encoding["chunks"]


def test_drift_and_verdict_of_a_run_label_each_of_its_snapshots(runs, tmp_path):
    dataset(runs, tmp_path / "states.zarr")
    ds = files.open_dataset(tmp_path / "states.zarr")
    assert np.allclose(ds["drift"], 0.001 * ds["member"])
    assert set(ds["verdict"].values) == {"equilibrium"}


def test_the_snapshots_on_the_way_can_be_left_out(runs, tmp_path):
    table = dataset(runs, tmp_path / "states.zarr", transient=False)
    assert table["snapshots"].tolist() == [1] * 4
    assert set(files.open_dataset(tmp_path / "states.zarr")["phase"].values) == {"equilibrium"}


def test_members_that_are_not_finished_are_left_out_and_named(runs, tmp_path, caplog):
    write_member(runs, 9, state="running")
    (runs / "member_010").mkdir()
    table = dataset(runs, tmp_path / "states.zarr")
    assert table["member"].tolist() == list(MEMBERS)
    assert "member_009 left out: running" in caplog.text
    assert "member_010 left out: not started" in caplog.text


def test_runs_without_forcing_profiles_make_a_store_without_them(runs, tmp_path, caplog):
    write_member(runs, 9, forcing=False)
    dataset(runs, tmp_path / "states.zarr")
    assert "forcing_wind_stress" not in files.open_dataset(tmp_path / "states.zarr")
    assert "no forcing profiles" in caplog.text


def refused(runs, tmp_path, *says):
    """Nothing is written, and the message says all of `says`."""
    with pytest.raises(UserError) as error:
        dataset(runs, tmp_path / "states.zarr")
    for words in says:
        assert words in str(error.value)
    assert not list(tmp_path.glob("*.zarr")) + list(tmp_path.glob(".*"))


def test_a_member_on_another_grid_is_refused_with_both_fingerprints(runs, tmp_path):
    folder = write_member(runs, 9, nz=5)
    grids = [files.open_grid(f / "states.nc") for f in (runs / "member_000", folder)]
    refused(runs, tmp_path, "member_009", *(g.fingerprint for g in grids))


def test_a_truncated_states_file_is_refused_by_name(runs, tmp_path):
    path = runs / "member_003" / "states.nc"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(runs, tmp_path, "member_003/states.nc", "truncated")


def test_a_damaged_chunk_is_refused_by_name(runs, tmp_path):
    """The header is whole, the values are not: found while the store is being written."""
    path = runs / "member_003" / "states.nc"
    import h5py

    with h5py.File(path) as file:
        chunk = file["so"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    refused(runs, tmp_path, "member_003/states.nc")


def test_a_missing_states_file_is_refused_by_name(runs, tmp_path):
    (runs / "member_003" / "states.nc").unlink()
    refused(runs, tmp_path, "member_003/states.nc does not exist")


def test_a_state_that_blew_up_is_refused(runs, tmp_path):
    shutil.rmtree(runs / "member_003")
    bad = basin(nx=6, ny=8, nz=4)[0]["thetao"].expand_dims(time=2).copy(deep=True)
    bad[1, 0, 4, 3] = np.inf
    write_member(runs, 3, thetao=bad)
    refused(runs, tmp_path, "member_003/states.nc", "thetao is not finite")


def test_a_file_without_a_state_is_refused(runs, tmp_path):
    path = runs / "member_003" / "states.nc"
    ds, grid = files.open_dataset(path).load(), files.open_grid(path)
    files.write_dataset(path, ds.drop_vars("so"), grid, overwrite=True)
    refused(runs, tmp_path, "member_003/states.nc", "so")


def test_an_ensemble_without_a_finished_member_is_refused(tmp_path):
    write_member(tmp_path / "runs", 0, state="running")
    refused(tmp_path / "runs", tmp_path, "no finished member", "member_000 running")


def test_a_folder_without_runs_is_refused(tmp_path):
    refused(tmp_path / "nothing", tmp_path, "does not exist")


def test_an_existing_store_is_kept_unless_overwritten(runs, tmp_path):
    dataset(runs, tmp_path / "states.zarr", transient=False)
    with pytest.raises(UserError, match="overwrite"):
        dataset(runs, tmp_path / "states.zarr")
    assert files.open_dataset(tmp_path / "states.zarr").sizes["sample"] == 4
    dataset(runs, tmp_path / "states.zarr", overwrite=True)
    assert files.open_dataset(tmp_path / "states.zarr").sizes["sample"] == 8
