"""The denoiser: preconditioning of Karras et al. (2022) around the U-Net, in the coordinates of the residual.

With data of standard deviation 1 the denoised latent is

    D(z; sigma) = z / (1 + sigma^2) + sigma / sqrt(1 + sigma^2) F(z / sqrt(1 + sigma^2); log(sigma) / 4)

so that a network F that answers 0 is the exact denoiser of a standard normal law: training starts from the Gaussian
residual and can only add to it what the data show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.generator.network.unet import UNet
from warmstart.generator.space import Coordinates

#: Numbers that the network is told beside the scaled parameters: whether it is told parameters and forcing ...
FLAGS = 2
#: ... state and age, the age, and what the mean was given.
STATE_FLAGS = FLAGS + 5


@dataclass(frozen=True)
class Condition:
    """What the network is told about each example.

    Attributes
    ----------
    parameters : scaled parameters, ``(batch, parameter)``.
    forcing : standardised forcing profiles, ``(batch, forcing, y)``.
    told : 1 where it is told parameters, forcing, state and age, 0 where not, ``(batch, 4)``.
    given : 1 where the mean was given parameters and state: which residual this is, ``(batch, 2)``.
    state : initial state, standardised, ``(batch, channel, y, x)``; None for a network that takes none.
    age : its scaled age, ``(batch,)``.
    """

    parameters: Tensor
    forcing: Tensor
    told: Tensor
    given: Tensor
    state: Tensor | None = None
    age: Tensor | None = None

    def dropped(self) -> Condition:
        """The same residual, of which the network is told nothing."""
        return replace(self, told=torch.zeros_like(self.told))

    def features(self) -> Tensor:
        """What enters the embedding, ``(batch, feature)``."""
        parts = [self.parameters * self.told[:, :1], self.told[:, :2]]
        if self.age is not None:
            parts += [self.told[:, 2:], (self.age * self.told[:, 3])[:, None], self.given]
        return torch.cat(parts, 1)

    def maps(self, columns: int) -> Tensor:
        """What enters as maps, ``(batch, map, y, columns)``: profiles drawn out over x, and the initial state."""
        profiles = (self.forcing * self.told[:, 1, None, None])[..., None].expand(-1, -1, -1, columns)
        if self.state is None:
            return profiles
        return torch.cat([profiles, self.state * self.told[:, 2, None, None, None]], 1)


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
        self.layout = layout = coordinates.layout
        self.register_buffer("mask", torch.as_tensor(coordinates.mask, dtype=torch.float32), persistent=False)
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
        answer = self.answer((z * scale).float(), torch.log(sigma).float() / 4, condition)
        return skip * z + out * answer.to(z.dtype)

    def answer(self, z: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """The network in the coordinates of the latent; land is 0 on the way in and on the way out."""
        maps = torch.einsum("bk,kcyx->bcyx", z, self.basis) if self.modes else z
        answer = self.net(maps * self.mask, noise, condition.features(), condition.maps(maps.shape[-1]))
        answer = answer * self.mask
        return torch.einsum("bcyx,kcyx->bk", answer, self.analysis) if self.modes else answer


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
    """Standardised forcing profiles ``(forcing, y)`` of one set of parameters.

    Parameters
    ----------
    parameters : scaled, ``(parameter,)``.
    coefficients : linear map found in training, ``(1 + parameter, forcing, y)``.
    """
    return np.einsum("p,pfy->fy", np.concatenate([[1.0], parameters]), coefficients)
