"""Noise: one stream a sample, from which everything is drawn that is drawn for it."""

from __future__ import annotations

import torch
from torch import Tensor


class Stream:
    """Endless random numbers of one sample, the same whatever the batch and the device.

    Latent, sampler and quantities draw from it one after the other, so that a sample is one draw of their joint law. Two
    generators with one seed would be two answers to one question.

    Parameters
    ----------
    seed : of the sample.

    Examples
    --------
    >>> first, again = Stream(3), Stream(3)
    >>> bool(torch.equal(first.normal((2,)), again.normal((2,))))
    True
    >>> bool(torch.equal(first.normal((2,)), Stream(3).normal((2,))))
    False
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """The next standard normal numbers, float64, ``(1, *shape)``."""
        return torch.randn((1, *shape), generator=self._generator, dtype=torch.float64)

    def integer(self, count: int) -> int:
        """The next of 0 to `count` - 1, all equally likely."""
        return int(torch.randint(count, (), generator=self._generator))
