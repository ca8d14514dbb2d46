"""Collections of member files, alone and beside folders of runs."""

import shutil

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.store import members
from warmstart.store.members import BLOW_UPS, find_members
from warmstart.store.writer import describe
from warmstart.verbs.dataset import dataset


def write_file(folder, index, *, name=None, older=False, nz=4, **attrs):
    """A member file of an analytic basin: one snapshot on the way, two at equilibrium."""
    folder.mkdir(exist_ok=True)
    basic, grid = basin(nx=6, ny=8, nz=nz)
    ds = xr.concat([basic + 0.01 * index + 0.001 * year for year in (10.0, 600.0, 605.0)], "time")
    ds = ds.assign_coords(
        year=("time", [10.0, 600.0, 605.0]), phase=("time", ["transient", "equilibrium", "equilibrium"])
    )
    ds.attrs = {"member": index, "verdict": "near", "drift_K_per_century": 0.02, "warmstart_version": "0"}
    ds.attrs |= ({} if older else {"member_format": 2}) | attrs
    values = parameters.defaults() | {"bottom_drag": 1e-6 * (index + 1)}
    path = folder / (name or f"member_{index:03d}.nc")
    files.write_dataset(path, parameters.attach(ds, values), grid)
    return path


@pytest.fixture
def collection(tmp_path):
    for index in (0, 3, 7):
        write_file(tmp_path / "members", index)
    return tmp_path / "members"


def test_a_collection_becomes_a_store_split_by_sobol_index(collection, tmp_path):
    table = dataset(collection, tmp_path / "states.zarr")
    assert table.set_index("member")["split"].to_dict() == {0: "train", 3: "validation", 7: "test"}
    assert (table["snapshots"] == 3).all()
    assert (table["verdict"] == "near").all()
    assert describe(table) == (
        "3 members: 0 equilibrium, 3 near, 0 drifting, 0 blew up; splits: 1 train, 1 validation, 1 test"
    )
    store = files.open_dataset(tmp_path / "states.zarr")
    with files.open_dataset(collection / "member_003.nc") as member:
        assert np.array_equal(
            store.thetao.values[store.member.values == 3], member.thetao.values, equal_nan=True
        )


def test_members_that_blew_up_have_a_row_and_no_states(collection, tmp_path):
    write_file(collection, 1)
    dump_yaml(
        {"members": [{"member": 5, "year": 3.0, "parameters": {"bottom_drag": 9e-6}}]}, collection / BLOW_UPS
    )
    folder = collection / "member_012"
    folder.mkdir()
    blown = {"state": "failed", "blow_ups": [{"year": 8.5, "parameters": {"bottom_drag": 1e-6}}]}
    dump_yaml(blown, folder / "status.yaml")
    table = dataset(collection, tmp_path / "states.zarr").set_index("member")
    assert table.loc[[5, 12], "verdict"].tolist() == ["blew up", "blew up"]
    assert table.loc[[5, 12], "snapshots"].tolist() == [0, 0]
    assert table.loc[[5, 12], "last_year"].tolist() == [3.0, 8.5]
    assert table.loc[5, "bottom_drag"] == 9e-6
    assert "2 blew up (5, 12)" in describe(table.reset_index())
    assert files.open_dataset(tmp_path / "states.zarr").attrs["blown_up_members"] == "5 12"


def test_older_files_among_newer_ones_are_taken_and_named(collection, tmp_path, caplog):
    write_file(collection, 1, older=True)
    assert len(dataset(collection, tmp_path / "states.zarr")) == 4
    assert "1 of 4 members are files of the older format" in caplog.text
    assert "member_001.nc" in caplog.text


def test_a_collection_of_older_files_only_needs_no_warning(tmp_path, caplog):
    write_file(tmp_path / "members", 1, older=True)
    dataset(tmp_path / "members", tmp_path / "states.zarr")
    assert "older" not in caplog.text


def test_a_second_run_of_a_member_is_left_out_and_named(collection, caplog):
    write_file(collection, 3, name="member_003_cold.nc")
    members, _ = find_members(collection)
    assert [m.index for m in members] == [0, 3, 7]
    assert "member_003_cold.nc left out: a second run of that member" in caplog.text


def test_a_file_whose_name_says_nothing_is_not_called_a_second_run(collection, caplog):
    shutil.copy(collection / "member_003.nc", collection / "member_003 copy.nc")
    members, _ = find_members(collection)
    assert [m.index for m in members] == [0, 3, 7]
    assert "member_003 copy.nc left out: the name is not understood" in caplog.text


def changed(path, change):
    """A file with its Dataset changed."""
    with files.open_dataset(path) as opened:
        ds, grid = change(opened.load()), files.open_grid(path)
    files.write_dataset(path, ds, grid, overwrite=True)


def test_a_parameter_that_one_member_lacks_is_named_with_the_member(collection, tmp_path, caplog):
    changed(collection / "member_003.nc", lambda ds: ds.drop_vars("wind_stress_south"))
    dataset(collection, tmp_path / "states.zarr")
    assert "wind_stress_south is not in the store: the files of these members lack it: 3" in caplog.text
    assert "wind_stress_south" not in files.open_dataset(tmp_path / "states.zarr")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.assign(bottom_drag=np.nan), "bottom_drag: 'nan' is not a finite number"),
        (lambda ds: ds.assign(bottom_drag=-1e-6), "bottom_drag: '-1e-06' is not positive"),
        (lambda ds: ds.assign(bottom_drag=("m", [1e-6, 2e-6])), "bottom_drag has 2 values; expected one"),
        (lambda ds: ds.assign(thetao=ds.thetao.assign_attrs(units="K")), "thetao is in K; expected degC: convert it"),
        (lambda ds: ds.assign_attrs(drift_K_per_century="abc"), "drift_K_per_century is 'abc'; expected a number"),
        (lambda ds: ds.assign_attrs(member="three"), "member is 'three'; expected a number"),
    ],
)  # fmt: skip
def test_a_member_that_says_what_cannot_be_is_refused_by_name(collection, tmp_path, change, says):
    changed(collection / "member_003.nc", change)
    with pytest.raises(UserError) as error:
        dataset(collection, tmp_path / "states.zarr")
    assert "member_003.nc" in str(error.value) and says in str(error.value)
    assert not list(tmp_path.glob("*.zarr")) + list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: write_file(c, 9, nz=5), "another grid"),
        (lambda c: write_file(c, 9, name="member_010.nc"), "holds member 9; name it member_009.nc"),
        (lambda c: shutil.copy(c / "member_003.nc", c / "member_3.nc"), "member 3 is there twice"),
        (lambda c: (c / "member_009.nc").write_bytes(b"no netcdf"), "member_009.nc"),
        (lambda c: (c / "member_009.nc").write_bytes(b""), "member_009.nc"),
        (lambda c: files.write_dataset(c / "member_009.nc", *basin(nx=6, ny=8, nz=4)), "does not say its member"),
        (lambda c: dump_yaml({"members": [{"year": 1}]}, c / BLOW_UPS), "blow_ups.yaml: expected"),
        (lambda c: shutil.rmtree(c) or c.write_bytes(b""), "members is no folder; give"),
        (lambda c: shutil.rmtree(c) or c.mkdir(), "holds no member_* folder and no member_*.nc"),
    ],
)  # fmt: skip
def test_a_bad_collection_is_refused_by_the_name_of_the_file(collection, tmp_path, spoil, says):
    spoil(collection)
    with pytest.raises(UserError) as error:
        dataset(collection, tmp_path / "states.zarr")
    assert says in str(error.value)
    assert not list(tmp_path.glob("*.zarr")) + list(tmp_path.glob(".*"))


def test_an_ensemble_of_which_all_blew_up_says_so(tmp_path):
    folder = tmp_path / "runs" / "member_000"
    folder.mkdir(parents=True)
    dump_yaml({"state": "failed", "blow_ups": [{"year": 2.0, "parameters": {}}]}, folder / "status.yaml")
    with pytest.raises(UserError, match="no finished member"):
        dataset(tmp_path / "runs", tmp_path / "states.zarr")


def test_a_number_of_a_member_beyond_any_ensemble_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="at most 9 digits"):
        members._index(tmp_path / "member_99999999999999999999")


def test_a_split_is_one_of_three_words_or_none(tmp_path):
    folder = tmp_path / "member_000"
    folder.mkdir()
    for split, expected in (("test", "test"), (None, ""), ("", "")):
        dump_yaml({"name": "calm", "split": split}, folder / "job.yaml")
        assert members.labels_of(folder) == ("calm", expected)
    dump_yaml({"split": "learn"}, folder / "job.yaml")
    with pytest.raises(
        UserError, match=r"job\.yaml: split is 'learn'; expected one of train, validation, test"
    ):
        members.labels_of(folder)
