"""The denoiser: preconditioning of Karras et al. (2022) around the U-Net, in the coordinates of the residual.

With data of standard deviation 1 the denoised latent is

    D(z; sigma) = z / (1 + sigma^2) + sigma / sqrt(1 + sigma^2) F(z / sqrt(1 + sigma^2); log(sigma) / 4)

so that a network F that answers 0 is the exact denoiser of a standard normal law: training starts from the Gaussian
residual and can only add to it what the data show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.generator.backbone import UNet
from warmstart.generator.residual import Coordinates


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told about each example.

    Attributes
    ----------
    parameters : scaled parameters, ``(batch, parameter)``.
    forcing : standardised forcing profiles, ``(batch, forcing, y)``.
    given : 1 where they count, 0 where they are dropped, ``(batch,)``.
    """

    parameters: Tensor
    forcing: Tensor
    given: Tensor

    def dropped(self) -> Condition:
        """The same without a condition."""
        return Condition(self.parameters, self.forcing, torch.zeros_like(self.given))


class Denoiser(nn.Module):
    """Denoise latents of the residual.

    Parameters
    ----------
    net : the network on maps.
    coordinates : of the residual; modes enter the network as the map they span, and its answer is projected on them.
    """

    mask: Tensor
    basis: Tensor
    analysis: Tensor

    def __init__(self, net: UNet, coordinates: Coordinates) -> None:
        super().__init__()
        self.net = net
        layout = coordinates.layout
        self.register_buffer("mask", torch.as_tensor(layout.mask, dtype=torch.float32), persistent=False)
        modes = len(coordinates.basis)
        basis = layout.from_wet(coordinates.basis / math.sqrt(max(modes, 1)))
        analysis = basis * layout.weights * max(modes, 1)
        self.modes = modes
        self.register_buffer("basis", torch.as_tensor(basis, dtype=torch.float32), persistent=False)
        self.register_buffer("analysis", torch.as_tensor(analysis, dtype=torch.float32), persistent=False)

    def forward(self, z: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Expected clean latent.

        Parameters
        ----------
        z : noisy latents, ``(batch, *shape)``.
        sigma : noise level, ``(batch,)``.
        condition : of the same batch.

        Returns
        -------
        Same shape and dtype as `z`.
        """
        skip, out, scale = preconditioning(sigma.reshape(-1, *[1] * (z.ndim - 1)))
        answer = self._network((z * scale).float(), torch.log(sigma).float() / 4, condition)
        return skip * z + out * answer.to(z.dtype)

    def _network(self, z: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """The network in the coordinates of the latent; land is 0 on the way in and on the way out."""
        maps = torch.einsum("bk,kcyx->bcyx", z, self.basis) if self.modes else z
        answer = (
            self.net(maps * self.mask, noise, condition.parameters, condition.forcing, condition.given)
            * self.mask
        )
        return torch.einsum("bcyx,kcyx->bk", answer, self.analysis) if self.modes else answer

    def loss(self, z: Tensor, sigma: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Weighted denoising loss of each example (Karras et al. 2022, eq. 8): mean square error of F, ``(batch,)``.

        Parameters
        ----------
        z : clean latents, ``(batch, *shape)``.
        sigma : noise level, ``(batch,)``.
        noise : standard normal, shape of `z`.
        condition : of the same batch.
        """
        level = sigma.reshape(-1, *[1] * (z.ndim - 1))
        error = (self(z + level * noise, sigma, condition) - z) * torch.sqrt(1 + level**2) / level
        if self.modes:
            return error.square().mean(1)
        return (error.square() * self.mask).sum((1, 2, 3)) / self.mask.sum()


def preconditioning(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Skip, output and input scaling for data of standard deviation 1 (Karras et al. 2022, table 1).

    Examples
    --------
    >>> [float(c) for c in preconditioning(torch.tensor(0.0))]
    [1.0, 0.0, 1.0]
    """
    total = 1 + sigma**2
    return 1 / total, sigma / torch.sqrt(total), 1 / torch.sqrt(total)


def forcing_profiles(parameters: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Standardised forcing profiles of one set of parameters.

    Parameters
    ----------
    parameters : scaled, ``(parameter,)``.
    coefficients : linear map found in training, ``(1 + parameter, forcing, y)``.

    Returns
    -------
    ``(forcing, y)``.
    """
    return np.einsum("p,pfy->fy", np.concatenate([[1.0], parameters]), coefficients)
