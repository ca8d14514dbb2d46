"""One stream of noise a sample: what is drawn first tells nothing of what is drawn next, and all of it follows from the seed."""

import numpy as np

from warmstart.generator import draw
from warmstart.generator.draw import expect
from warmstart.generator.noise import Stream
from warmstart.generator.request import Request
from warmstart.ocean import parameters
from warmstart.verbs.generate import generate

ASKED = {"wind_stress_south": 0.2}


def test_whole_numbers_are_all_equally_likely_and_follow_what_was_drawn_before():
    drawn = np.bincount([Stream(seed).integer(5) for seed in range(2000)], minlength=5)
    assert drawn.min() > 320 and drawn.max() < 480
    first, second = Stream(3), Stream(3)
    second.normal((4,))
    assert [first.integer(10**6) for _ in range(3)] != [second.integer(10**6) for _ in range(3)]


def test_what_is_drawn_next_does_not_depend_on_what_was_drawn_first():
    """The joint law: the choice of the residual is as likely for every sign of the first number of the latent."""
    table = np.zeros((2, 4))
    for seed in range(4000):
        noise = Stream(seed)
        positive = bool(noise.normal((20,))[0, 0] > 0)
        table[int(positive), noise.integer(4)] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    assert ((table - expected) ** 2 / expected).sum() < 11.3, (
        "chi square of 3 degrees of freedom, one in a hundred"
    )


def test_a_sample_takes_all_its_noise_from_one_stream(generator, monkeypatch):
    """One is made for each sample, and the transports are drawn with it after the latent."""
    made, order = [], []

    class Watched(Stream):
        def __init__(self, seed):
            made.append(seed)
            super().__init__(seed)

        def normal(self, shape):
            order.append("latent")
            return super().normal(shape)

        def integer(self, count):
            order.append("quantity")
            return super().integer(count)

    monkeypatch.setattr(draw, "Stream", Watched)
    monkeypatch.setattr(np.random, "default_rng", None)
    generate(generator, ASKED, n=3, seed=5)
    assert made == [5, 6, 7]
    assert order == ["latent", "quantity"] * 3


def test_targets_differ_between_samples_and_are_those_of_the_seed(generator):
    known = expect(generator, Request(parameters.resolve(ASKED)))

    def drawn(seed):
        noise = Stream(seed)
        known.field(noise)
        return known.targets(noise)["transports"]

    assert np.array_equal(drawn(1), drawn(1))
    assert len({drawn(seed).tobytes() for seed in range(8)}) > 2
    certain = expect(generator, Request(parameters.resolve(ASKED)), "none")
    assert not certain.predicted and set(certain.fixed) == {"mixed_layer", "transports"}
    expected = generator.quantities["transports"].target(known.predicted["transports"])
    np.testing.assert_array_equal(certain.targets(Stream(1))["transports"], expected)
