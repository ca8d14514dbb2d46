"""Examples of a training step: the covariance stays, single members do not."""

import numpy as np

from warmstart.generator.examples import Examples, rows


def snapshots(states):
    """Residuals about a mean of zero, one snapshot a member."""
    count, size = states.shape
    none, zero, one = np.zeros((count, 0)), np.zeros((1, count, size)), np.ones((1, count))
    return Examples(
        states, np.arange(count), none, np.zeros((count, 0, 1)), np.zeros(0), np.zeros((0, count, size)),
        {"parameters": zero}, {"parameters": one},
    )  # fmt: skip


def combined(examples, chosen):
    return np.stack(
        [
            sum(w * examples.residual(i, r.given, r.age) for i, w in zip(r.samples, r.weights, strict=True))
            for r in chosen
        ]
    )


def test_mixed_examples_keep_the_second_moment():
    examples = snapshots(np.array([[3.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [0.0, -1.0]]))
    mixed = combined(examples, rows(examples, np.random.default_rng(0), 20_000, 2))
    np.testing.assert_allclose(mixed.T @ mixed / len(mixed), np.diag([4.5, 0.5]), atol=0.1)


def test_mixed_examples_are_no_member():
    examples = snapshots(np.random.default_rng(1).standard_normal((5, 8)))
    mixed = combined(examples, rows(examples, np.random.default_rng(0), 200, 2))
    distance = np.linalg.norm(mixed[:, None] - examples.states[None], axis=-1).min(1)
    assert np.median(distance) > 0.3


def test_the_condition_is_that_of_the_largest_weight():
    drawn = rows(snapshots(np.eye(6)), np.random.default_rng(0), 100, 3)
    assert len(drawn) == 100 and len({row.samples[0] for row in drawn}) > 1
    for row in drawn:
        assert np.abs(row.weights).argmax() == 0
        assert abs(np.linalg.norm(row.weights) - 1) < 1e-12
