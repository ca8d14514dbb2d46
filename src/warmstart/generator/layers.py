"""Layers of the network: convolutions with the padding of the basin, channel norm, residual blocks, attention.

Maps are kept channels-last in memory: the norm then reads each cell's channels in one piece, and the convolutions of
oneDNN and cuDNN need no reordering.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        key = (
            weight.data_ptr(),
            weight._version,
            getattr(bias, "_version", 0),
            x.shape[1:],
            x.device,
            x.dtype,
        )
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
