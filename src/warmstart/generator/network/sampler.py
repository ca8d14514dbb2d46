"""The sampler: from noise to a latent, the same bits whatever the batch and the threads.

All methods follow noise that falls from sigma_max to (nearly) 0 in data of standard deviation 1, z = x + sigma n, with one
denoiser D(z; sigma): the checkpoint is the same. The exponential Adams-Bashforth scheme is azula's; the others are written
here because azula draws its noise from torch's global generator, whose numbers depend on the batch.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import Schedule
from azula.sample import xEABSampler
from torch import Tensor

from warmstart.errors import UserError
from warmstart.generator.settings import SamplingConfig

#: Expected clean latents of noisy latents ``(batch, *shape)`` and their noise levels ``(batch,)``.
Denoise = Callable[[Tensor, Tensor], Tensor]
#: Fresh standard normal noise, ``(batch, *shape)``.
Source = Callable[[], Tensor]
#: What is done to the latents after a step, given the noise level (a number) that they have then.
After = Callable[[Tensor, float], Tensor]


def guided(denoise: Denoise, free: Denoise, weight: float) -> Denoise:
    """Classifier-free guidance (Ho and Salimans 2022): extrapolate from the unconditional to the conditional answer.

    Parameters
    ----------
    denoise, free : with and without the condition.
    weight : 1 gives `denoise`, 0 `free`, more than 1 stresses the condition.

    Examples
    --------
    >>> near = guided(lambda z, s: z, lambda z, s: 0 * z, 1.5)
    >>> float(near(torch.ones(1), torch.ones(1)))
    1.5
    """
    if weight == 1:
        return denoise

    def stressed(z: Tensor, sigma: Tensor) -> Tensor:
        without = free(z, sigma)
        return without + weight * (denoise(z, sigma) - without)

    return stressed


@torch.no_grad()
def solve(
    denoise: Denoise,
    noise: Tensor,
    config: SamplingConfig,
    source: Source | None = None,
    after: After | None = None,
) -> Tensor:
    """Go from noise to data.

    Parameters
    ----------
    denoise : expected clean latent from noisy latents ``(batch, *shape)`` and noise levels ``(batch,)``.
    noise : standard normal ``(batch, *shape)``.
    config : method, number of evaluations, noise levels.
    source : more noise like `noise`, one call for each that is needed; only for ``ddpm`` and methods with churn.
    after : what is done to the latents after every step; only for ``ddpm``.

    Returns
    -------
    Latents ``(batch, *shape)``.

    Raises
    ------
    UserError
        If the method needs more noise and there is no `source`, or something is to be done after its steps.

    Examples
    --------
    >>> normal = lambda z, sigma: z / (1 + sigma[:, None] ** 2)
    >>> z = solve(normal, torch.ones(1, 1, dtype=torch.float64), SamplingConfig())
    >>> round(float(z), 2)
    1.0
    """
    if source is None and (config.method == "ddpm" or config.churn):
        raise UserError(f"{config.method} adds noise in every step; give a source of it")
    z, sigma = config.sigma_max * noise, levels(config).to(noise)
    if config.method == "ddpm":
        return _ancestral(denoise, z, sigma, source or _silence, after)
    if after is not None:
        raise UserError(f"{config.method} takes nothing between its steps; ddpm does")
    return SOLVERS[config.method](denoise, z, sigma, config, source or _silence)


def levels(config: SamplingConfig) -> Tensor:
    """Noise levels, from the highest to the last.

    Parameters
    ----------
    config : method, number of evaluations, range.

    Returns
    -------
    float64 ``(steps + 1,)``; ``heun``, ``dpm-solver-2s`` and ``ddpm`` end with 0.

    Examples
    --------
    >>> levels(SamplingConfig(method="dpm-solver", steps=2, sigma_min=0.25, sigma_max=4)).tolist()
    [4.0, 1.0, 0.25]
    """
    if config.method == "ddpm":
        return _cosine(config.steps, config.sigma_max)
    two_stage = config.method in ("heun", "dpm-solver-2s")
    count = (config.steps + 1) // 2 if two_stage else config.steps + 1
    ends = torch.tensor([config.sigma_max, config.sigma_min], dtype=torch.float64)
    share = torch.linspace(0, 1, count, dtype=torch.float64)
    if config.rho is None:
        found = torch.exp(torch.lerp(ends[0].log(), ends[1].log(), share))
    else:
        root = ends ** (1 / config.rho)
        found = torch.lerp(root[0], root[1], share) ** config.rho
    return torch.cat([found, torch.zeros(1, dtype=torch.float64)]) if two_stage else found


#: Offset of the cosine schedule, and the cosine at its start.
OFFSET = 0.008
START = math.cos(OFFSET / (1 + OFFSET) * math.pi / 2)


def cosine_time(sigma: float) -> float:
    """Time, 0 to 1, at which the cosine schedule (Nichol and Dhariwal 2021, eq. 17) has a noise level.

    Examples
    --------
    >>> cosine_time(0.0)
    0.0
    """
    # sigma^2 = 1 / alpha_bar - 1 with alpha_bar = (cos(angle) / START)^2
    angle = math.acos(START / math.sqrt(1 + sigma**2))
    return max(angle / (math.pi / 2) * (1 + OFFSET) - OFFSET, 0.0)


def _cosine(steps: int, highest: float) -> Tensor:
    """Noise levels of the cosine schedule, evenly spaced in time, below `highest`."""
    time = torch.linspace(cosine_time(highest), 0, steps + 1, dtype=torch.float64)
    alpha = (torch.cos((time + OFFSET) / (1 + OFFSET) * math.pi / 2) / START).clamp(max=1) ** 2
    return torch.sqrt(1 / alpha - 1)


def _silence() -> Tensor:
    """No noise, for methods that take none."""
    return torch.zeros(())


def _multistep(denoise: Denoise, z: Tensor, sigma: Tensor, config: SamplingConfig, source: Source) -> Tensor:
    """DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2), for any spacing of the noise levels."""
    former, former_step = z, sigma.new_tensor(torch.inf)
    for now, after in itertools.pairwise(sigma):
        clean, step = denoise(z, now.expand(len(z))), torch.log(now / after)
        ahead = clean + 0.5 * step / former_step * (clean - former)
        z = after / now * z + (1 - after / now) * ahead
        former, former_step = clean, step
    return z


def _heun(denoise: Denoise, z: Tensor, sigma: Tensor, config: SamplingConfig, source: Source) -> Tensor:
    """Heun's method with churn (Karras et al. 2022, algorithm 2)."""
    for now, after in itertools.pairwise(sigma):
        z, now = _churn(z, now, len(sigma) - 1, config, source)
        slope = (z - denoise(z, now.expand(len(z)))) / now
        ahead = z + (after - now) * slope
        if after > 0:
            slope = 0.5 * (slope + (ahead - denoise(ahead, after.expand(len(z)))) / after)
            ahead = z + (after - now) * slope
        z = ahead
    return z


def _two_stage(denoise: Denoise, z: Tensor, sigma: Tensor, config: SamplingConfig, source: Source) -> Tensor:
    """DPM-Solver++ 2S (Lu et al. 2022b, algorithm 1) with the middle in the logarithm and churn, as GenCast's."""
    for now, after in itertools.pairwise(sigma):
        z, now = _churn(z, now, len(sigma) - 1, config, source)
        clean = denoise(z, now.expand(len(z)))
        if after > 0:
            middle = torch.sqrt(now * after)
            halfway = middle / now * z + (1 - middle / now) * clean
            clean = denoise(halfway, middle.expand(len(z)))
        z = after / now * z + (1 - after / now) * clean
    return z


def _churn(
    z: Tensor, now: Tensor, steps: int, config: SamplingConfig, source: Source
) -> tuple[Tensor, Tensor]:
    """Add noise and go back to the noise level that this makes."""
    if not config.churn or not config.churn_min <= now <= config.churn_max:
        return z, now
    higher = now * (1 + min(config.churn / steps, math.sqrt(2) - 1))
    return z + torch.sqrt(higher**2 - now**2) * config.churn_noise * source().to(z), higher


def _ancestral(denoise: Denoise, z: Tensor, sigma: Tensor, source: Source, then: After | None) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, eq. 6-7) in terms of sigma: draw z at the next level given z and the clean latent."""
    for now, after in itertools.pairwise(sigma):
        clean, share = denoise(z, now.expand(len(z))), (after / now) ** 2
        z = clean + share * (z - clean)
        if after > 0:
            z = z + after * torch.sqrt(1 - share) * source().to(z)
        z = z if then is None else then(z, float(after))
    return z


def _adams_bashforth(
    denoise: Denoise, z: Tensor, sigma: Tensor, config: SamplingConfig, source: Source
) -> Tensor:
    """The exponential Adams-Bashforth scheme of third order, by azula, whose time is here the number of the level."""
    last = len(sigma) - 1

    class Levels(Schedule):
        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones_like(t), sigma[torch.round(last * (1 - t)).long()]

    class Posterior(Denoiser):
        schedule = Levels()

        def forward(self, z: Tensor, t: Tensor) -> DiracPosterior:
            return DiracPosterior(mean=denoise(z, self.schedule(t)[1].expand(len(z))))

    return xEABSampler(Posterior(), order=3, steps=last, silent=True, dtype=z.dtype)(z)


#: Solver of each method but ``ddpm``.
SOLVERS: dict[str, Callable[[Denoise, Tensor, Tensor, SamplingConfig, Source], Tensor]] = {
    "adams-bashforth": _adams_bashforth,
    "dpm-solver": _multistep,
    "heun": _heun,
    "dpm-solver-2s": _two_stage,
}


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
