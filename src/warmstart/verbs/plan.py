"""plan: what a generator would cost on a grid, counted on tensors that hold no numbers.

Operations are counted by torch's own counter, bytes by following every tensor from its birth to its death through a
forward and a backward pass: on an ordinary CPU the same program counts the same (``tests/verbs/test_plan.py``).
"""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from warmstart.errors import UserError
from warmstart.generator.network.denoiser import FLAGS, STATE_FLAGS
from warmstart.generator.network.unet import UNet
from warmstart.generator.settings import GeneratorConfig, resolve
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES

#: Maps that describe the basin to the network (:meth:`warmstart.regression.layout.Layout.static_maps`).
STATIC_MAPS = 5
#: Forcing profiles of the stores of this package, and the diffusivities.
FORCING_PROFILES = 5
#: Scaled parameters assumed to vary.
INPUTS = 8
#: Bytes for each parameter that stay while training: weights, two moments, running average, best average; gradients come
#: with the backward pass.
STATE_BYTES = 4 + 8 + 4 + 4
#: Estimate: what an allocator and the workspaces of a GPU need beyond the tensors themselves.
MARGIN = 1.25
LARGEST = 100_000  #: levels, rows or columns of a mesh


@dataclass(frozen=True)
class Count:
    """What one pass costs.

    Attributes
    ----------
    parameters : of the network.
    flops : floating-point operations; a multiplication and an addition are two.
    saved : bytes alive after the forward pass: what is kept for the backward pass.
    peak : most bytes alive at once, without weights.
    """

    parameters: int
    flops: int
    saved: int
    peak: int


def plan(
    config: GeneratorConfig | dict[str, Any] | str | Path | None,
    shape: tuple[int, int, int] | None = None,
    memory: float = 80.0,
) -> dict[str, str]:
    """Count parameters, operations and memory of a configuration, and say what fits on a GPU.

    Parameters
    ----------
    config : training configuration.
    shape : levels, rows and columns of the grid; None takes the configuration's own.
    memory : of the GPU [GB].

    Returns
    -------
    What was counted, as text with units: network parameters, operations of one evaluation, of one sample and of the whole
    training, bytes kept for the backward pass; then whether training and sampling fit.

    Raises
    ------
    UserError
        If there is no shape, it is not three positive numbers, or there is no memory.

    Examples
    --------
    >>> plan({"network": {"widths": [8, 8]}}, (3, 16, 8))["network parameters"]
    '...'
    """
    resolved = resolve(config)
    wanted = shape or resolved.shape
    if wanted is None:
        raise UserError(
            "the configuration names no grid; add 'shape: [levels, rows, columns]' or give --shape"
        )
    if len(wanted) != 3 or min(wanted) < 1:
        raise UserError(f"shape is {wanted}; expected three positive numbers: levels, rows and columns")
    if max(wanted) > LARGEST:
        raise UserError(
            f"shape is {wanted}; no ocean model has more than {LARGEST:,} levels, rows or columns"
        )
    if not 0 < memory < float("inf"):
        raise UserError(f"the GPU's memory is {memory} GB; expected a positive number")
    training, evaluations = resolved.training, resolved.evaluations
    one, two = (count(resolved, wanted, batch) for batch in (1, 2))
    forward = count(resolved, wanted, 1, train=False)
    fixed = one.parameters * STATE_BYTES + _basis(resolved, wanted)
    growth = two.peak - one.peak

    def need(batch: int) -> float:
        return MARGIN * (fixed + one.peak + (batch - 1) * growth) / 1e9

    largest = int((memory * 1e9 / MARGIN - fixed - one.peak) // growth) + 1
    sampling = MARGIN * (4 * one.parameters + _basis(resolved, wanted) + forward.peak) / 1e9
    return {
        "grid (levels, rows, columns)": " x ".join(map(str, wanted)),
        "network parameters": f"{one.parameters:,}",
        "weights": f"{4 * one.parameters / 1e6:.1f} MB",
        "one evaluation": _operations(forward.flops),
        f"one sample (evaluations: {evaluations})": _operations(evaluations * forward.flops),
        "one training step of one example": _operations(one.flops),
        f"training ({training.steps} steps of {training.batch})": _operations(
            one.flops * training.steps * training.batch
        ),
        f"kept for the backward pass ({training.precision})": f"{one.saved / 2**20:.1f} MiB an example",
        "weights, optimiser, averages": f"{fixed / 1e9:.3g} GB",
        f"trains on a GPU of {memory:g} GB": _verdict(
            need(training.batch), memory, training.batch, largest, need(1)
        ),
        f"samples on a GPU of {memory:g} GB": ("yes" if sampling <= memory else "no")
        + f": needs {sampling:.3g} GB",
    }


def _operations(flops: int) -> str:
    """Floating-point operations to three digits, in a unit that suits them."""
    power = min(max(len(str(flops)) - 1, 0) // 3, 6)
    return f"{flops / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}FLOP"


def _verdict(need: float, memory: float, batch: int, largest: int, least: float) -> str:
    """Whether the batch fits, and which would."""
    if need <= memory:
        return f"yes: a batch of {batch} needs {need:.3g} GB; up to {largest} fit"
    if largest >= 1:
        return f"no: a batch of {batch} needs {need:.3g} GB; up to {largest} fit"
    return f"no: one example alone needs {least:.3g} GB"


def _basis(config: GeneratorConfig, shape: tuple[int, int, int]) -> int:
    """Bytes of the modes that the network sees its latents through; maps need none."""
    if config.residual.coordinates != "eof":
        return 0
    return 2 * 4 * config.residual.modes * _channels(shape) * shape[1] * shape[2]


def _channels(shape: tuple[int, int, int]) -> int:
    """Channels of a state."""
    return sum(shape[0] if VARIABLES[n].three_d else 1 for n in STATE_VARIABLES)


def count(
    config: GeneratorConfig,
    shape: tuple[int, int, int],
    batch: int = 1,
    train: bool = True,
    real: bool = False,
) -> Count:
    """Count one forward pass, with its backward pass or alone.

    Parameters
    ----------
    config : training configuration.
    shape : levels, rows and columns.
    batch : examples.
    train : whether with the backward pass.
    real : whether to compute with numbers, to check the counting.
    """
    with nullcontext() if real else FakeTensorMode():
        channels, net = _channels(shape), config.network
        maps = FORCING_PROFILES + (channels if config.condition.initial_state else 0)
        features = INPUTS + (STATE_FLAGS if config.condition.initial_state else FLAGS)
        unet = UNet(channels, maps, features, torch.ones(STATIC_MAPS, *shape[1:]), net, periodic_x=True)
        unet.accelerate(bfloat16=config.training.precision == "bfloat16")
        inputs = (
            torch.zeros(batch, channels, *shape[1:]), torch.zeros(batch), torch.zeros(batch, features),
            torch.zeros(batch, maps, *shape[1:]),
        )  # fmt: skip
        with FlopCounterMode(display=False) as counter, Alive() as alive, torch.set_grad_enabled(train):
            loss = unet(*inputs).square().mean()
            kept = alive.now
            if train:
                loss.backward()
        parameters = sum(p.numel() for p in unet.parameters())
    return Count(parameters, counter.get_total_flops(), kept, alive.peak)


class Alive(TorchDispatchMode):
    """Follow the bytes of all tensors that operations make inside the block.

    Attributes
    ----------
    now, peak : bytes alive at the moment, and at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note what it made."""
        out = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._born(tensor.untyped_storage())
        return out

    def _born(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._dead, key, size)

    def _dead(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
