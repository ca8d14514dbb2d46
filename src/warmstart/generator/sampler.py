"""The sampler: from noise to a latent in 16 to 32 evaluations, the same bits whatever the batch and the threads.

Noise levels are spaced evenly in the logarithm. The solvers are the exponential Adams-Bashforth scheme of third order
(azula) and DPM-Solver++ 2M (Lu et al. 2022).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from azula.denoise import DiracPosterior
from azula.noise import VESchedule
from azula.sample import xEABSampler
from torch import Tensor

from warmstart.generator.config import SamplingConfig

Denoise = Callable[[Tensor, Tensor], Tensor]


class _Posterior(torch.nn.Module):
    """A denoising function in the form that azula's samplers call."""

    def __init__(self, denoise: Denoise, schedule: VESchedule) -> None:
        super().__init__()
        self.denoise, self.schedule = denoise, schedule

    def forward(self, z: Tensor, t: Tensor) -> DiracPosterior:
        """Expected clean latent at time `t` of the schedule."""
        return DiracPosterior(mean=self.denoise(z, self.schedule.sigma(t).expand(len(z))))


def draw(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of one sample, float64, from its own generator.

    Examples
    --------
    >>> bool(torch.equal(draw(3, (2,)), draw(3, (2,))))
    True
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def solve(denoise: Denoise, noise: Tensor, config: SamplingConfig) -> Tensor:
    """Follow the probability flow from noise to data.

    Parameters
    ----------
    denoise : expected clean latent from noisy latents ``(batch, *shape)`` and noise levels ``(batch,)``.
    noise : standard normal ``(batch, *shape)``.
    config : method, number of evaluations, noise levels.

    Returns
    -------
    Latents ``(batch, *shape)``.

    Examples
    --------
    >>> normal = lambda z, sigma: z / (1 + sigma[:, None] ** 2)
    >>> z = solve(normal, torch.ones(1, 1, dtype=torch.float64), SamplingConfig())
    >>> round(float(z), 2)
    1.0
    """
    schedule = VESchedule(config.sigma_min, config.sigma_max)
    start = config.sigma_max * noise
    if config.method == "adams-bashforth":
        sampler = xEABSampler(
            _Posterior(denoise, schedule), order=3, steps=config.steps, silent=True, dtype=noise.dtype
        )
        return sampler(start)
    return _dpm_solver(denoise, start, config)


def _dpm_solver(denoise: Denoise, z: Tensor, config: SamplingConfig) -> Tensor:
    """DPM-Solver++ 2M (Lu et al. 2022, algorithm 2) on evenly spaced log noise levels."""
    levels = torch.linspace(
        math.log(config.sigma_max), math.log(config.sigma_min), config.steps + 1, dtype=z.dtype
    )
    step, former = levels[0] - levels[1], None
    for now, after in itertools.pairwise(levels):
        clean = denoise(z, now.exp().expand(len(z)))
        ahead = clean if former is None else 1.5 * clean - 0.5 * former
        z = (after - now).exp() * z - torch.expm1(-step) * ahead
        former = clean
    return z


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the block: sums then have one order, whatever the machine offers.

    Examples
    --------
    >>> with single_thread():
    ...     torch.get_num_threads()
    1
    """
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
