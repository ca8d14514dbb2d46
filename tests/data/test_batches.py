"""Examples of a training step: the covariance stays, single members do not."""

import numpy as np
import pytest

from warmstart.data.batches import mix, scaled
from warmstart.errors import UserError


def test_mixed_examples_keep_the_second_moment():
    latents = np.array([[3.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [0.0, -1.0]])
    examples, _ = mix(latents, np.random.default_rng(0), 40_000, 2)
    np.testing.assert_allclose(examples.T @ examples / len(examples), np.diag([4.5, 0.5]), atol=0.1)


def test_mixed_examples_are_no_member():
    latents = np.random.default_rng(1).standard_normal((5, 8))
    examples, _ = mix(latents, np.random.default_rng(0), 200, 2)
    distance = np.linalg.norm(examples[:, None] - latents[None], axis=-1).min(1)
    assert np.median(distance) > 0.3


def test_the_condition_is_that_of_the_largest_weight():
    latents = np.eye(6)
    examples, leading = mix(latents, np.random.default_rng(0), 100, 3)
    np.testing.assert_array_equal(
        np.abs(examples).argmax(1)[leading == np.abs(examples).argmax(1)],
        leading[leading == np.abs(examples).argmax(1)],
    )
    assert (leading == np.abs(examples).argmax(1)).mean() > 0.7  # the same snapshot may be drawn twice


def test_parameters_are_scaled_on_their_own_axis():
    ranges = {"vertical_diffusivity": (1e-5, 1e-3), "wind_stress_south": (0.1, 0.3)}
    values = {"vertical_diffusivity": np.array([1e-4, 1e-3]), "wind_stress_south": np.array([0.1, 0.2])}
    np.testing.assert_allclose(scaled(values, ranges), [[0.0, -0.5], [0.5, 0.0]], atol=1e-12)


def test_an_unknown_parameter_is_an_error():
    with pytest.raises(UserError, match="unknown parameter"):
        scaled({"wind": 1.0}, {"wind": (0.0, 1.0)})
