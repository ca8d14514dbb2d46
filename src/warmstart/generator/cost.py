"""plan: what a generator would cost on a grid, counted without allocating it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from warmstart.errors import UserError
from warmstart.generator.backbone import UNet
from warmstart.generator.config import GeneratorConfig, resolve
from warmstart.generator.denoiser import FLAGS, STATE_FLAGS
from warmstart.variables import STATE_VARIABLES, VARIABLES

#: Maps that describe the basin to the network (:meth:`warmstart.data.layout.Layout.static_maps`).
STATIC_MAPS = 5
#: Forcing profiles of the stores of this package, and the diffusivities.
FORCING_PROFILES = 5
#: Scaled parameters assumed to vary.
INPUTS = 8


def cost(
    config: GeneratorConfig | dict[str, Any] | str | Path | None, shape: tuple[int, int, int]
) -> dict[str, str]:
    """Count parameters, operations and memory of the network of a configuration.

    Parameters
    ----------
    config : training configuration.
    shape : levels, rows and columns of the grid.

    Returns
    -------
    What was counted, as text with units: network parameters, size of the weights, operations of one forward pass, of one
    sample and of the whole training (a backward pass counts as two forward passes), and the activations kept for the
    backward pass.

    Raises
    ------
    UserError
        If the shape is not three positive numbers.

    Examples
    --------
    >>> cost(None, (18, 49, 13))["network parameters"]
    '...'
    """
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"shape is {shape}; expected three positive numbers: levels, rows and columns")
    resolved = resolve(config)
    parameters, flops, saved = count(resolved, shape)
    training = resolved.training
    evaluations = resolved.sampling.evaluations
    return {
        "grid (levels, rows, columns)": " x ".join(map(str, shape)),
        "network parameters": f"{parameters:,}",
        "weights": f"{4 * parameters / 1e6:.1f} MB",
        "forward pass": f"{flops / 1e9:.3g} GFLOP",
        f"sample ({evaluations} evaluations)": f"{evaluations * flops / 1e9:.3g} GFLOP",
        f"training ({training.steps} steps of {training.batch})": f"{3 * flops * training.steps * training.batch / 1e12:.3g} TFLOP",
        f"activations of a batch of {training.batch}": f"{training.batch * saved / 2**20:.1f} MiB",
        "optimiser, gradients, averages": f"{20 * parameters / 1e6:.1f} MB",
    }


def count(config: GeneratorConfig, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Network parameters, operations of a forward pass, and bytes saved for its backward pass, for one example.

    Parameters
    ----------
    config : training configuration.
    shape : levels, rows and columns.

    Returns
    -------
    Three numbers.
    """
    from torch.utils.flop_counter import FlopCounterMode

    levels, rows, columns = shape
    channels = sum(levels if VARIABLES[n].three_d else 1 for n in STATE_VARIABLES)
    net, state = config.network, config.condition.initial_state
    maps = FORCING_PROFILES + (channels if state else 0)
    features = INPUTS + (STATE_FLAGS if state else FLAGS)
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[id(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
        held.append(tensor)
        return tensor

    held: list[torch.Tensor] = []
    with torch.device("meta"):
        static = torch.empty(STATIC_MAPS, rows, columns)
        unet = UNet(channels, maps, features, static, net, periodic_x=True)
        inputs = (
            torch.empty(1, channels, rows, columns), torch.empty(1), torch.empty(1, features),
            torch.empty(1, maps, rows, columns),
        )  # fmt: skip
        weights = sum(p.numel() for p in unet.parameters())
        own = {id(p.untyped_storage()) for p in unet.parameters()}
        with (
            FlopCounterMode(display=False) as counter,
            torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
        ):
            unet(*inputs)
    return weights, counter.get_total_flops(), sum(size for key, size in saved.items() if key not in own)
