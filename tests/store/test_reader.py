"""Parameters of an example: scaled on their own axis."""

import numpy as np
import pytest

from warmstart.errors import UserError
from warmstart.store.reader import scaled


def test_parameters_are_scaled_on_their_own_axis():
    ranges = {"vertical_diffusivity": (1e-5, 1e-3), "wind_stress_south": (0.1, 0.3)}
    values = {"vertical_diffusivity": np.array([1e-4, 1e-3]), "wind_stress_south": np.array([0.1, 0.2])}
    np.testing.assert_allclose(scaled(values, ranges), [[0.0, -0.5], [0.5, 0.0]], atol=1e-12)


def test_a_parameter_of_the_users_own_is_scaled_linearly_and_an_empty_range_is_an_error():
    assert scaled({"wind": 1.0}, {"wind": (0.0, 4.0)}).tolist() == [-0.25]
    with pytest.raises(UserError, match="is empty"):
        scaled({"wind": 1.0}, {"wind": (1.0, 1.0)})
