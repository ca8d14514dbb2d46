"""Fields that metrics share: computed once inside the block, never kept outside it, never mixed up."""

import numpy as np
import pytest

from warmstart.physics import column, overturning
from warmstart.physics.cache import shared, sharing


def test_a_field_is_computed_once_inside_the_block_and_every_time_outside():
    calls = []

    @shared
    def field(state, grid, factor=1.0):
        calls.append(factor)
        return [factor]

    with sharing():
        state, grid = object(), object()
        assert field(state, grid) is field(state, grid)
        assert field(state, grid, factor=2.0) == [2.0] and field(object(), grid) == [1.0]
    assert calls == [1.0, 2.0, 1.0]
    field(state, grid), field(state, grid)
    assert len(calls) == 5


def test_states_that_are_gone_are_not_mistaken_for_new_ones(ocean, ocean_grid):
    with sharing():
        for shift in range(5):  # each state is collected before the next is made, unless it is kept
            state = ocean.assign(so=ocean.so + 0.1 * shift * ocean_grid.gdept_0 / 1000)
            expected = column.density_step.__wrapped__(state, ocean_grid)
            np.testing.assert_array_equal(column.density_step(state, ocean_grid), expected)
            del state


def test_an_error_ends_the_block_and_arrays_as_arguments_are_no_obstacle(ocean, ocean_grid):
    with pytest.raises(RuntimeError), sharing():
        raise RuntimeError
    with sharing():
        edges = np.array([20.0, 25.0, 30.0])
        found = overturning.overturning_density(ocean, ocean_grid, edges)
    np.testing.assert_array_equal(found, overturning.overturning_density(ocean, ocean_grid, edges))
