"""Files: whole or not at all, never overwritten unasked, and they say where they came from."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io.files import config_hash, open_dataset, provenance, write_dataset
from warmstart.ocean.basin import basin


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


def test_a_store_whose_metadata_name_no_dimension_is_refused_in_a_sentence(tmp_path):
    ds = xr.Dataset({"thetao": (("z", "y", "x"), np.zeros((2, 3, 4)))})
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    path = tmp_path / "a.zarr" / "thetao" / "zarr.json"
    path.write_text(path.read_text().replace('"z"', "null"))
    with pytest.raises(UserError, match="a dimension of thetao has no name"):
        open_dataset(tmp_path / "a.zarr")
