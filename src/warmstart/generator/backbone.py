"""The network: a 2-D U-Net with levels as channels, periodic or closed in x, closed in y, that sees the masks at every scale.

Normalisation is the root mean square over channels, so that nothing depends on the batch or on the size of the
domain; noise level and parameters act through a scale, a shift and a gate a block (Peebles and Xie 2023, adaLN-zero).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Frequencies of the embedding of the noise level.
FREQUENCIES = 16


def pad(x: Tensor, periodic_x: bool, size: int = 1) -> Tensor:
    """Pad a map for a convolution: around the globe or against a wall in x, against walls in y.

    Parameters
    ----------
    x : ``(batch, channel, y, x)``.
    periodic_x : whether the last column is the western neighbour of the first.
    size : rows and columns to add on each side.

    Returns
    -------
    ``(batch, channel, y + 2 size, x + 2 size)``; zeros beyond walls.

    Examples
    --------
    >>> pad(torch.tensor([[[[1.0, 2.0, 3.0]]]]), periodic_x=True)[0, 0, 1].tolist()
    [3.0, 1.0, 2.0, 3.0, 1.0]
    """
    x = functional.pad(x, (size, size, 0, 0), mode="circular" if periodic_x else "constant")
    return functional.pad(x, (0, 0, size, size))


class Convolution(nn.Module):
    """A convolution of 3 x 3 cells with the padding of the basin; `stride` in (y, x)."""

    def __init__(self, inputs: int, outputs: int, periodic_x: bool, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.periodic_x = periodic_x
        self.layer = nn.Conv2d(inputs, outputs, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, inputs, y, x)`` to ``(batch, outputs, y / stride, x / stride)``."""
        return self.layer(pad(x, self.periodic_x))


class ChannelNorm(nn.Module):
    """Divide by the root mean square over the channels of each cell, then scale each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`, ``(batch, channel, y, x)``."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6) * self.gain


class Block(nn.Module):
    """Residual block: norm, modulate, convolve, twice; the masks of its scale enter beside the features."""

    def __init__(self, inputs: int, outputs: int, static: int, embedding: int, periodic_x: bool) -> None:
        super().__init__()
        self.first = Convolution(inputs + static, outputs, periodic_x)
        self.second = Convolution(outputs, outputs, periodic_x)
        self.norm_in, self.norm_mid = ChannelNorm(inputs), ChannelNorm(outputs)
        self.modulate = nn.Linear(embedding, 3 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, static: Tensor, embedding: Tensor) -> Tensor:
        """``(batch, inputs, y, x)`` to ``(batch, outputs, y, x)``; `static` ``(batch, static, y, x)``."""
        scale, shift, gate = self.modulate(embedding)[..., None, None].chunk(3, dim=1)
        h = self.first(torch.cat([functional.silu(self.norm_in(x)), static], 1))
        h = self.second(functional.silu(self.norm_mid(h) * (1 + scale) + shift))
        return self.shortcut(x) + (1 + gate) * h


class UNet(nn.Module):
    """U-Net over the maps of a basin.

    Parameters
    ----------
    channels : of the state.
    forcing : profiles of the forcing, drawn out over x.
    parameters : inputs that condition it.
    static : maps ``(static, y, x)`` that describe the basin (:meth:`warmstart.data.layout.Layout.static_maps`).
    widths : channels at each scale.
    blocks : residual blocks a scale.
    embedding : width of the embedding.
    periodic_x : whether the basin is periodic in x.
    """

    static: Tensor

    def __init__(
        self, channels: int, forcing: int, parameters: int, static: Tensor, widths: tuple[int, ...],
        blocks: int, embedding: int, periodic_x: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("static", static, persistent=False)
        self.rows, count = static.shape[1], static.shape[0]
        self.strides = strides(static.shape[2], len(widths) - 1)
        self.embed = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + parameters + 1, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
            nn.SiLU(),
        )
        self.stem = Convolution(channels + forcing + count, widths[0], periodic_x)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.down.extend(Block(width, width, count, embedding, periodic_x) for _ in range(blocks))
            if level + 1 < len(widths):
                self.shrink.append(Convolution(width, widths[level + 1], periodic_x, self.strides[level]))
                self.grow.append(Convolution(widths[level + 1], width, periodic_x))
            sizes = [width if level + 1 == len(widths) else 2 * width] + [width] * (blocks - 1)
            self.up.extend(Block(size, width, count, embedding, periodic_x) for size in sizes)
        self.blocks = blocks
        self.norm = ChannelNorm(widths[0])
        self.head = Convolution(widths[0], channels, periodic_x)
        # the untrained network answers 0: the denoiser is then exactly that of a standard normal law
        nn.init.zeros_(self.head.layer.weight)
        nn.init.zeros_(self.head.layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, noise: Tensor, parameters: Tensor, forcing: Tensor, given: Tensor) -> Tensor:
        """Answer a noisy map.

        Parameters
        ----------
        x : ``(batch, channel, y, x)``.
        noise : logarithm of the noise level over 4, ``(batch,)``.
        parameters : scaled parameters, ``(batch, parameter)``.
        forcing : standardised profiles, ``(batch, forcing, y)``.
        given : 1 where the condition counts, 0 where it is dropped, ``(batch,)``.

        Returns
        -------
        ``(batch, channel, y, x)``.
        """
        embedding = self.embed(torch.cat([_waves(noise), parameters * given[:, None], given[:, None]], 1))
        profiles = (forcing * given[:, None, None])[..., None].expand(-1, -1, -1, x.shape[-1])
        static = self.static.expand(len(x), -1, -1, -1)
        fill = -self.rows % math.prod(s for s, _ in self.strides)
        x, static = (functional.pad(a, (0, 0, 0, fill)) for a in (torch.cat([x, profiles], 1), static))
        return self.head(functional.silu(self.norm(self._body(x, static, embedding))))[:, :, : self.rows]

    def _body(self, x: Tensor, static: Tensor, embedding: Tensor) -> Tensor:
        """Down and up through the scales."""
        h, maps, kept = self.stem(torch.cat([x, static], 1)), [static], []
        scales = len(self.strides) + 1
        for level in range(scales):
            for block in self.down[level * self.blocks : (level + 1) * self.blocks]:
                h = block(h, maps[-1], embedding)
            if level + 1 < scales:
                kept.append(h)
                h = self.shrink[level](h)
                maps.append(functional.avg_pool2d(maps[-1], self.strides[level]))
        for level in reversed(range(scales)):
            if level + 1 < scales:
                stretch = (float(self.strides[level][0]), float(self.strides[level][1]))
                h = torch.cat(
                    [self.grow[level](functional.interpolate(h, scale_factor=stretch)), kept.pop()], 1
                )
            for block in self.up[level * self.blocks : (level + 1) * self.blocks]:
                h = block(h, maps[level], embedding)
        return h


def strides(columns: int, count: int) -> list[tuple[int, int]]:
    """Strides in (y, x) from each scale to the next: columns are halved as long as their number is even.

    An odd number of periodic columns has no half: such a domain keeps its columns, and stays equivariant to shifts.

    Examples
    --------
    >>> strides(26, 3)
    [(2, 2), (2, 1), (2, 1)]
    """
    found = []
    for _ in range(count):
        step = 2 if columns % 2 == 0 and columns > 2 else 1
        columns //= step
        found.append((2, step))
    return found


def _waves(noise: Tensor) -> Tensor:
    """Sines and cosines of the noise level, ``(batch, 2 FREQUENCIES)``."""
    frequencies = torch.exp(torch.linspace(math.log(0.3), math.log(30.0), FREQUENCIES, device=noise.device))
    angles = noise[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)
