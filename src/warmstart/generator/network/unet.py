"""The network: a 2-D U-Net with levels as channels, periodic or closed in x, closed in y, that sees the masks at every scale.

Normalisation is the root mean square over channels, so that nothing depends on the batch or on the size of the
domain; noise level and parameters act through a scale, a shift and a gate a block (Peebles and Xie 2023, adaLN-zero).
Large grids enter through a space-to-depth stem, and a block of attention at the coarsest scale sees the whole basin.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from warmstart.errors import UserError
from warmstart.generator.settings import NetworkConfig

#: Frequencies of the embedding of the noise level.
FREQUENCIES = 16

#: Whether this build of torch has the convolution with reordered weights that ``torch.compile`` uses.
PACKABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class Convolution(nn.Module):
    """A convolution of 3 x 3 cells with the padding of the basin; `stride` in (y, x).

    The last `static` of its inputs are maps that never change: they are convolved once a batch, and in evaluation once for
    all. In evaluation on a CPU the weights are also kept in the order that oneDNN wants.
    """

    def __init__(
        self, inputs: int, outputs: int, periodic_x: bool, stride: tuple[int, int] = (1, 1), static: int = 0
    ) -> None:
        super().__init__()
        self.periodic_x, self.inputs, self.stride = periodic_x, inputs, stride
        self.padding = (1, 0 if periodic_x else 1)
        self.layer = nn.Conv2d(inputs + static, outputs, 3, stride=stride)
        self._ready: tuple[Any, Callable[[Tensor], Tensor], Tensor | None] | None = None

    def forward(self, x: Tensor, static: Tensor | None = None) -> Tensor:
        """``(batch, inputs, y, x)`` and ``(1, static, y, x)`` to ``(batch, outputs, y / stride, x / stride)``."""
        x = self._wrap(x)
        if not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()):
            convolve, response = self._prepared(x, static)
        else:
            convolve, response = self._plain(), self._response(static)
        h = convolve(x)
        return h if response is None else h + response

    def _wrap(self, x: Tensor) -> Tensor:
        """Walls are the convolution's own zero padding; only a periodic x has to be copied."""
        return torch.cat([x[..., -1:], x, x[..., :1]], -1) if self.periodic_x else x

    def _plain(self) -> Callable[[Tensor], Tensor]:
        """The convolution of what changes; its bias, too, belongs to the static maps where there are any."""
        weight = self.layer.weight[:, : self.inputs].contiguous(memory_format=torch.channels_last)
        bias = self.layer.bias if self.layer.in_channels == self.inputs else None
        return lambda x: functional.conv2d(x, weight, bias, self.stride, self.padding)

    def _response(self, static: Tensor | None) -> Tensor | None:
        """What the static maps and the bias add, ``(1, outputs, y, x)``."""
        if static is None:
            return None
        weight = self.layer.weight[:, self.inputs :]
        return functional.conv2d(self._wrap(static), weight, self.layer.bias, self.stride, self.padding)

    def _prepared(self, x: Tensor, static: Tensor | None) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
        """Reordered weights and response, made anew whenever the weights changed."""
        weight, bias = self.layer.weight, self.layer.bias
        versions = (weight.data_ptr(), weight._version, getattr(bias, "_version", 0))
        key = (*versions, x.shape[1:], x.device, x.dtype)
        if self._ready is None or self._ready[0] != key:
            ordered = PACKABLE and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
            response = self._response(static)
            if response is not None:
                response = response.contiguous(memory_format=torch.channels_last)
            self._ready = (key, self._packed(x) if ordered else self._plain(), response)
        return self._ready[1:]

    def _packed(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """The convolution of what changes, with weights in the order that oneDNN wants for maps of this size.

        ``torch.compile`` with freezing does the same, but needs a compiler on the user's machine.
        """
        weight = self.layer.weight[:, : self.inputs].contiguous()
        bias = self.layer.bias if self.layer.in_channels == self.inputs else None
        fixed = (list(self.padding), list(self.stride), [1, 1], 1)
        reorder: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
        ordered = reorder(weight.to_mkldnn(), *fixed, list(x.shape))
        return lambda x: torch.ops.mkldnn._convolution_pointwise(x, ordered, bias, *fixed, "none", [], None)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_ready": None}


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
        self.first = Convolution(inputs, outputs, periodic_x, static=static)
        self.second = Convolution(outputs, outputs, periodic_x)
        self.norm_in, self.norm_mid = ChannelNorm(inputs), ChannelNorm(outputs)
        self.modulate = nn.Linear(embedding, 3 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, static: Tensor, embedding: Tensor) -> Tensor:
        """``(batch, inputs, y, x)`` to ``(batch, outputs, y, x)``; `static` ``(1, static, y, x)``."""
        scale, shift, gate = self.modulate(embedding)[..., None, None].chunk(3, dim=1)
        h = self.first(activate(self.norm_in(x)), static)
        h = self.second(activate(torch.addcmul(shift, self.norm_mid(h), 1 + scale)))
        return torch.addcmul(self._short(x), 1 + gate, h)

    def _short(self, x: Tensor) -> Tensor:
        """The shortcut, cell by cell."""
        if isinstance(self.shortcut, nn.Identity):
            return x
        weight = self.shortcut.weight[:, :, 0, 0]
        return functional.linear(x.permute(0, 2, 3, 1), weight, self.shortcut.bias).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Self-attention over the wet cells of the coarsest scale (Vaswani et al. 2017), added to what comes in.

    Every cell looks at every cell with water; where they lie it knows from the features alone, so that a shift round the
    globe shifts the answer.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        nn.init.zeros_(self.merge.weight)
        nn.init.zeros_(self.merge.bias)

    def forward(self, x: Tensor, wet: Tensor) -> Tensor:
        """``(batch, channel, y, x)`` of the same shape; `wet` ``(1, y, x)`` is true where a cell holds water."""
        batch, channels, rows, columns = x.shape
        cells = self.norm(x).permute(0, 2, 3, 1).reshape(batch, rows * columns, channels)
        split = self.query_key_value(cells).reshape(batch, rows * columns, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=wet.reshape(1, 1, 1, -1))
        cells = self.merge(mixed.transpose(1, 2).reshape(batch, rows * columns, channels))
        return x + cells.reshape(batch, rows, columns, channels).permute(0, 3, 1, 2)


def activate(x: Tensor) -> Tensor:
    """The sigmoid linear unit; it overwrites `x`, which nobody else holds, where no gradient is wanted."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


class UNet(nn.Module):
    """U-Net over the maps of a basin.

    Parameters
    ----------
    channels : of the state.
    maps : number of maps that condition it.
    features : number of scalars that condition it.
    static : maps ``(static, y, x)`` that describe the basin (:meth:`warmstart.regression.layout.Layout.static_maps`); the first is
        the mask of the surface.
    config : widths, blocks, stem and attention.
    periodic_x : whether the basin is periodic in x.

    Raises
    ------
    UserError
        If the space-to-depth stem does not divide the columns of a periodic basin.
    """

    static: Tensor

    def __init__(
        self, channels: int, maps: int, features: int, static: Tensor, config: NetworkConfig, periodic_x: bool
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("static", static, persistent=False)
        count, self.rows, self.columns = static.shape
        self.patch = config.patch
        if periodic_x and self.columns % self.patch:
            raise UserError(
                f"network.patch is {self.patch}, which does not divide the {self.columns} columns of a periodic basin; "
                "choose a divisor, or 1"
            )
        self.precision, self.recompute = torch.float32, config.recompute
        widths, embedding, cell, whole = config.widths, config.embedding, self.patch**2, config.halve == "all"
        self.blocks = config.blocks if isinstance(config.blocks, tuple) else (config.blocks,) * len(widths)
        self.strides = strides(-(-self.columns // self.patch), len(widths) - 1, odd=whole)
        # land north and east of the domain that makes whole patches and, where asked for, whole strides
        self.fill = (
            -self.rows % (self.patch * (1 if whole else 2 ** len(self.strides))),
            -self.columns % self.patch,
        )
        first, second = nn.Linear(2 * FREQUENCIES + features, embedding), nn.Linear(embedding, embedding)
        self.embed = nn.Sequential(first, nn.SiLU(), second, nn.SiLU())
        self.stem = Convolution((channels + maps + count) * cell, widths[0], periodic_x)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, (width, blocks) in enumerate(zip(widths, self.blocks, strict=True)):
            self.down.extend(Block(width, width, count, embedding, periodic_x) for _ in range(blocks))
            if level + 1 < len(widths):
                self.shrink.append(Convolution(width, widths[level + 1], periodic_x, self.strides[level]))
                self.grow.append(Convolution(widths[level + 1], width, periodic_x))
            sizes = [width if level + 1 == len(widths) else 2 * width] + [width] * (blocks - 1)
            self.up.extend(Block(size, width, count, embedding, periodic_x) for size in sizes)
        self.attention = Attention(widths[-1], config.attention) if config.attention else None
        self.norm = ChannelNorm(widths[0])
        self.head = Convolution(widths[0], channels * cell, periodic_x)
        # the untrained network answers 0: the denoiser is then exactly that of a standard normal law
        nn.init.zeros_(self.head.layer.weight)
        nn.init.zeros_(self.head.layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, noise: Tensor, features: Tensor, maps: Tensor) -> Tensor:
        """Answer a noisy map.

        Parameters
        ----------
        x : ``(batch, channel, y, x)``.
        noise : logarithm of the noise level over 4, ``(batch,)``.
        features : scalars that condition it, ``(batch, feature)``.
        maps : maps that condition it, ``(batch, map, y, x)``.

        Returns
        -------
        ``(batch, channel, y, x)``, float32.
        """
        embedding = self.embed(torch.cat([_waves(noise), features], 1))
        maps = torch.cat([x, maps, self.static.expand(len(x), -1, -1, -1)], 1)
        with _mixed(x.device.type, self.precision):
            h = self.stem(self._pack(maps))
            h = self._body(h, embedding)
            h = self.head(activate(self.norm(h)))
        return self._unpack(h.float())

    def accelerate(self, bfloat16: bool = False, compiled: bool = False) -> UNet:
        """Compute in mixed precision inside the network, or with compiled blocks; weights stay float32.

        Parameters
        ----------
        bfloat16 : whether convolutions and attention run in bfloat16; worth it on a GPU, slow on most CPUs.
        compiled : whether each block is compiled by ``torch.compile`` for its own shape.
        """
        self.precision = torch.bfloat16 if bfloat16 else torch.float32
        if compiled:
            for block in [*self.down, *self.up]:
                block.compile(dynamic=False)
        return self

    def _run(self, block: nn.Module, *inputs: Tensor) -> Tensor:
        """A block, kept whole or to be computed again."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    def _pack(self, maps: Tensor) -> Tensor:
        """Gather each `patch` x `patch` cells into channels: space to depth."""
        maps = functional.pad(maps, (0, self.fill[1], 0, self.fill[0]))
        maps = functional.pixel_unshuffle(maps, self.patch) if self.patch > 1 else maps
        return maps.contiguous(memory_format=torch.channels_last)

    def _unpack(self, h: Tensor) -> Tensor:
        """The inverse of :meth:`_pack`."""
        h = functional.pixel_shuffle(h, self.patch) if self.patch > 1 else h
        return h[:, :, : self.rows, : self.columns].contiguous()

    def _scales(self) -> list[Tensor]:
        """The static maps at every scale, ``(1, static, y, x)``."""
        maps = functional.pad(self.static[None], (0, self.fill[1], 0, self.fill[0]))
        scales = [functional.avg_pool2d(maps, self.patch) if self.patch > 1 else maps]
        for stride in self.strides:
            scales.append(functional.avg_pool2d(scales[-1], stride, ceil_mode=True))
        return scales

    def _body(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Down and up through the scales."""
        static, kept = self._scales(), []
        first = [0, *itertools.accumulate(self.blocks)]
        down, up = ([blocks[a:b] for a, b in itertools.pairwise(first)] for blocks in (self.down, self.up))
        bottom = len(self.strides)
        for level in range(bottom + 1):
            for block in down[level]:
                h = self._run(block, h, static[level], embedding)
            if level < bottom:
                kept.append(h)
                h = self.shrink[level](h)
        if self.attention is not None:
            h = self.attention(h, static[bottom][:, 0] > 0)
        for level in reversed(range(bottom + 1)):
            if level < bottom:
                skip = kept.pop()
                h = torch.cat([self.grow[level](_enlarge(h, self.strides[level], skip)), skip], 1)
            for block in up[level]:
                h = self._run(block, h, static[level], embedding)
        return h


def strides(columns: int, count: int, odd: bool = False) -> list[tuple[int, int]]:
    """Strides in (y, x) from each scale to the next: rows are halved, columns too while they are even.

    A periodic number of columns that is odd has no half: unless `odd` numbers are halved too, such a domain keeps
    its columns, and stays equivariant to shifts.

    Examples
    --------
    >>> strides(26, 3)
    [(2, 2), (2, 1), (2, 1)]
    >>> strides(26, 3, odd=True)
    [(2, 2), (2, 2), (2, 2)]
    """
    found = []
    for _ in range(count):
        step = 2 if columns > 2 and (odd or columns % 2 == 0) else 1
        columns = -(-columns // step)
        found.append((2, step))
    return found


def _enlarge(h: Tensor, stride: tuple[int, int], like: Tensor) -> Tensor:
    """Repeat each cell `stride` times in (y, x), cut to the size of `like`."""
    h = functional.interpolate(h, scale_factor=(float(stride[0]), float(stride[1])))
    return h[:, :, : like.shape[2], : like.shape[3]]


def _mixed(device: str, precision: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where it is asked for; counting on torch's meta device knows none."""
    return torch.autocast(device, precision) if precision != torch.float32 else contextlib.nullcontext()


def _waves(noise: Tensor) -> Tensor:
    """Sines and cosines of the noise level, ``(batch, 2 FREQUENCIES)``."""
    frequencies = torch.exp(torch.linspace(math.log(0.3), math.log(30.0), FREQUENCIES, device=noise.device))
    angles = noise[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)
