"""What a network is trained to: denoise, draw in one pass, or answer the expected residual."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from warmstart.generator.network.denoiser import Condition, Denoiser
from warmstart.generator.space import Coordinates


class Objective(nn.Module):
    """Loss of each example of a batch, for one kind of residual model.

    Parameters
    ----------
    denoiser : the network in the coordinates of the residual.
    coordinates : of the residual.
    model : ``diffusion``, ``one-pass`` or ``deterministic``.
    """

    synthesis: Tensor
    weights: Tensor

    def __init__(self, denoiser: Denoiser, coordinates: Coordinates, model: str) -> None:
        super().__init__()
        self.denoiser, self.model = denoiser, model
        layout = coordinates.layout
        share = layout.to_wet(layout.weights) if len(coordinates.basis) else _map_weights(coordinates)
        self.register_buffer(
            "synthesis", torch.as_tensor(coordinates.basis, dtype=torch.float32), persistent=False
        )
        self.register_buffer("weights", torch.as_tensor(share, dtype=torch.float32), persistent=False)

    def forward(self, z: Tensor, scale: Tensor, sigma: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Loss ``(batch,)``.

        Parameters
        ----------
        z : clean latents, ``(batch, *shape)``.
        scale : of their coordinates, ``(batch, mode)`` or ``(batch, channel)``.
        sigma : noise level of the denoising loss, ``(batch,)``.
        noise : two standard normal draws, ``(2, batch, *shape)``.
        condition : of the same batch.
        """
        if self.model == "diffusion":
            return denoising(self.denoiser, z, sigma, noise[0], condition)
        if self.model == "deterministic":
            return self._mean(self._field(expected(self.denoiser, z.shape, condition) - z, scale).square())
        first, second = (self._field(one_pass(self.denoiser, e, condition), scale) for e in noise)
        truth = self._field(z, scale)
        # fair CRPS of two samples (Ferro 2014), cell by cell
        skill = 0.5 * ((first - truth).abs() + (second - truth).abs())
        return self._mean(skill - 0.5 * (first - second).abs())

    def _field(self, z: Tensor, scale: Tensor) -> Tensor:
        """Latents as the residual field they stand for: ``(batch, wet)``, or maps."""
        if len(self.synthesis):
            return torch.einsum("bk,kw->bw", z * scale, self.synthesis)
        return z * scale[:, :, None, None]

    def _mean(self, field: Tensor) -> Tensor:
        """Volume-weighted mean of each example."""
        return (field * self.weights).flatten(1).sum(1)


def _map_weights(coordinates: Coordinates) -> Tensor:
    """Weights of the cells of a map; those of the surface for vertical modes, which have no level."""
    layout = coordinates.layout
    if coordinates.rotation is None:
        return torch.as_tensor(layout.weights)
    area = coordinates.mask * (layout.grid.ds["e1t"] * layout.grid.ds["e2t"]).values
    return torch.as_tensor(area / area.sum())


def denoising(denoiser: Denoiser, z: Tensor, sigma: Tensor, noise: Tensor, condition: Condition) -> Tensor:
    """Weighted denoising loss of each example (Karras et al. 2022, eq. 8): mean square error of F, ``(batch,)``.

    Parameters
    ----------
    denoiser : the network in its preconditioning.
    z, noise : clean latents and standard normal noise, ``(batch, *shape)``.
    sigma : noise level, ``(batch,)``.
    condition : of the same batch.
    """
    level = sigma.reshape(-1, *[1] * (z.ndim - 1))
    error = (denoiser(z + level * noise, sigma, condition) - z) * torch.sqrt(1 + level**2) / level
    if denoiser.modes:
        return error.square().mean(1)
    return (error.square() * denoiser.mask).sum((1, 2, 3)) / denoiser.mask.sum()


def one_pass(denoiser: Denoiser, noise: Tensor, condition: Condition) -> Tensor:
    """A sample in one evaluation: the noise ``(batch, *shape)`` and what the network adds to it; training starts from the normal law."""
    return noise + denoiser.answer(noise.float(), torch.zeros(len(noise), device=noise.device), condition).to(
        noise.dtype
    )


def expected(denoiser: Denoiser, shape: torch.Size | tuple[int, ...], condition: Condition) -> Tensor:
    """The expected residual in one evaluation, from nothing but the condition; `shape` is ``(batch, *shape)`` of the latents."""
    nothing = torch.zeros(shape, device=condition.parameters.device)
    return denoiser.answer(nothing, nothing.new_zeros(shape[0]), condition)
