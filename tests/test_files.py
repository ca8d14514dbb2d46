"""Files: whole or not at all, never overwritten unasked, and they say where they came from."""

import os

import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.files import config_hash, open_dataset, provenance, write_dataset
from warmstart.outputs import replacing, require_room
from warmstart.testing import basin


def test_an_existing_output_is_refused_and_kept(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UserError, match="--overwrite"), replacing(target):
        pytest.fail("the block must not run")
    assert target.read_text() == "old"


def test_a_failure_half_way_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_named_and_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UserError, match="is full"), replacing(target, overwrite=True) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("more than fits")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_does_not_fit_is_not_begun(tmp_path):
    with pytest.raises(UserError, match="free some space"):
        require_room(tmp_path, size=2**70)
    require_room(tmp_path)


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("one", "two"):
        with replacing(target, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert os.listdir(target) == ["two"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_stays_where_nothing_was_written_to_take_its_place(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target, overwrite=True):
        pass  # the block forgot to write
    assert (target / "old").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"), replacing(tmp_path / "no" / "a.txt"):
        pytest.fail("the block must not run")


def test_a_state_survives_its_file_bit_for_bit(tmp_path):
    state, grid = basin()
    path = write_dataset(tmp_path / "state.nc", state.assign_attrs(provenance(seed=3)), grid)
    again = open_dataset(path)
    xr.testing.assert_identical(again.load().drop_attrs(deep=False), state.drop_attrs(deep=False))
    assert again.attrs["seed"] == 3 and again.attrs["warmstart_version"]


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_file_is_an_error_that_says_so(tmp_path, keep):
    state, grid = basin()
    path = write_dataset(tmp_path / "state.nc", state, grid)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="truncated"):
        open_dataset(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"gone\.nc does not exist"):
        open_dataset(tmp_path / "gone.nc")


def test_configuration_hashes_tell_content_apart():
    assert (
        config_hash({"a": 1, "b": [2]}) == config_hash({"b": [2], "a": 1}) != config_hash({"a": 1, "b": [3]})
    )


def test_text_is_stored_as_characters_and_comes_back_as_text(tmp_path):
    # variable-length strings make HDF5 crash once another handle of the same file has been closed
    import netCDF4

    ds = xr.Dataset(coords={"phase": ("time", ["transient", "equilibrium"])})
    path = write_dataset(tmp_path / "text.nc", ds)
    with netCDF4.Dataset(path) as raw:
        assert raw["phase"].dtype == "S1"
    with open_dataset(path) as back:
        assert list(back["phase"].values) == ["transient", "equilibrium"]
