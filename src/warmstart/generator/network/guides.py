"""Guides that others steer their samples with, to compare our constraints with: neither makes anything exact.

* DINO-Fusion (Meunier et al. 2025, arXiv 2502.02499) pulls the horizontal mean of every level towards that of its training
  data after every step of DDPM: a gradient step on C(x) = sum_k (mu_k - mean_k(x))^2. Here mu is the mean state for the
  parameters, as the latents are residuals about it.
* Gorce et al. (2025, NeurIPS workshop on climate change) guide their samples by the stratification. Only their abstract
  could be read; what is here is the plainest form of the idea: a gradient step of the denoised state towards columns in
  which no cell is denser than the one below.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from warmstart.generator.constraints.contents import adjoint
from warmstart.generator.network.sampler import After, Denoise, cosine_time
from warmstart.generator.space import Coordinates
from warmstart.ocean.eos import density_anomaly
from warmstart.regression.normalizer import Normalizer


def zero_mean(coordinates: Coordinates) -> After:
    """DINO-Fusion's gradient: x - beta(t) mean(x) for every level, beta(t) = 0.001 + 0.04 exp(-t / 50), t = 0 ... 1000.

    Parameters
    ----------
    coordinates : of the residual; means are over the wet cells of each level.

    Returns
    -------
    What :func:`warmstart.generator.network.sampler.solve` does after every step.
    """
    layout = coordinates.layout
    count = np.maximum(layout.mask.sum((1, 2)), 1)

    def pull(z: Tensor, sigma: float) -> Tensor:
        beta = 0.001 + 0.04 * math.exp(-1000 * cosine_time(sigma) / 50)
        maps = layout.from_wet(coordinates.decode(z.cpu().numpy()))
        profile = np.where(layout.mask, (maps.sum((-2, -1)) / count)[..., None, None], 0.0)
        return z - beta * torch.as_tensor(coordinates.encode(layout.to_wet(profile))).to(z)

    return pull


def stratification(
    denoise: Denoise, coordinates: Coordinates, normalizer: Normalizer, mean: np.ndarray, factor: float
) -> Denoise:
    """Move what the denoiser expects towards stable columns, down the gradient of C = sum V max(drho, 0)^2 / 2.

    drho is the density of a cell over that of the one below, both at the depth of their common face. The step is the one
    that would make C zero were it linear (Polyak 1969), but no longer than the denoised latent is uncertain: sigma /
    sqrt(1 + sigma^2) in every direction.

    Parameters
    ----------
    denoise : the denoiser.
    coordinates, normalizer : of the residual, and its units.
    mean : about which the residual is, ``(wet,)``, standardised units.
    factor : on the residual.
    """
    layout = coordinates.layout
    wet = layout.mask[layout.slices["thetao"]]
    pair = torch.as_tensor(wet[:-1] & wet[1:])
    depth = torch.as_tensor(layout.grid.gdepw_0.values[1:])
    volume = layout.grid.volume.values
    weight = torch.as_tensor(volume[:-1] / volume.sum())

    def excess(fields: Tensor) -> Tensor:
        t, s = (fields[:, layout.slices[n]] for n in ("thetao", "so"))
        above = density_anomaly(t[:, :-1], s[:, :-1], depth) - density_anomaly(t[:, 1:], s[:, 1:], depth)
        return 0.5 * (weight * torch.where(pair, above, 0.0).clamp(min=0) ** 2).sum((1, 2, 3))

    def guided(z: Tensor, sigma: Tensor) -> Tensor:
        clean = denoise(z, sigma)
        state = mean + factor * coordinates.decode(clean.double().cpu().numpy())
        fields = torch.as_tensor(np.nan_to_num(normalizer.restore(layout.from_wet(state)))).requires_grad_()
        with torch.enable_grad():
            penalty = excess(fields)
            (slope,) = torch.autograd.grad(penalty.sum(), fields)
        physical = layout.to_wet(slope.numpy() * normalizer.std[:, None, None])
        gradient = torch.as_tensor(factor * adjoint(coordinates, physical)).flatten(1)
        length = gradient.norm(dim=1)
        reach = (sigma / torch.sqrt(1 + sigma**2)).double().cpu() * math.sqrt(gradient.shape[1])
        step = torch.minimum(penalty.detach() / length.clamp(min=1e-300), reach)
        moved = -gradient * (step / length.clamp(min=1e-300))[:, None]
        return clean + moved.reshape(clean.shape).to(clean)

    return guided
