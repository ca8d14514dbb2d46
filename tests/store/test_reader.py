"""What a store says of itself."""

import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.store.reader import declared_ranges


@pytest.mark.parametrize("ranges", ["{", "[1]", '{"bottom_drag": 1}', '{"bottom_drag": ["a", 2]}', 5])
def test_ranges_of_a_store_that_are_none_are_refused_in_a_sentence(ranges):
    with pytest.raises(UserError, match=r"parameter names with \[lowest, highest\]"):
        declared_ranges(xr.Dataset(attrs={"parameter_ranges": ranges}))
    assert declared_ranges(xr.Dataset(attrs={"parameter_ranges": '{"a": [1, 2]}'})) == {"a": (1.0, 2.0)}
