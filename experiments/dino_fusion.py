"""DINO-Fusion's recipe as a rival: a denoising diffusion model of 1000 steps on every second level of T, S and sea level.

Kept of the original: levels 0, 2, 4 ... of temperature and salinity and the sea level as channels; each channel scaled to -1 to 1
by its smallest and largest value; land 0, in the loss and in the noise; a U-Net of widths 64, 64, 128, 128 with two blocks
a scale and group normalisation (azula's); noise prediction with the squared-cosine schedule of 1000 steps, clipped; AdamW
with a cosine decay, batch 8; the missing levels interpolated in the index of the level. The original has no condition; with
parameters, each enters as a constant map. Velocities are not generated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from azula.nn.unet import UNet
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn import functional

from warmstart.errors import UserError
from warmstart.generator.network.sampler import cosine_time, single_thread, solve
from warmstart.generator.noise import Stream
from warmstart.generator.settings import SamplingConfig
from warmstart.io import files, outputs
from warmstart.io.config import Config, dump_yaml, load_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import scaled
from warmstart.regression.layout import Layout
from warmstart.store import reader

VARIABLES = ("thetao", "so", "zos")
WIDTHS, BLOCKS, EMBEDDING = (64, 64, 128, 128), 2, 256
STEPS, OFFSET = 1000, 0.008
WEIGHTS, CONFIG, MESH = "weights.safetensors", "config.yaml", "grid.nc"


class DinoFusionConfig(Config):
    """How a model was trained.

    Attributes
    ----------
    ranges : lowest and highest value of each parameter it is told; none for the original.
    steps, batch, learning_rate, seed : of the training.
    """

    ranges: dict[str, tuple[float, float]]
    steps: int
    batch: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, eq=False)
class DinoFusion:
    """A trained model.

    Attributes
    ----------
    config : how it was trained.
    layout : channels of the full state, without velocities.
    net : the U-Net.
    low, high : smallest and largest value of each channel of the full state, ``(channel,)``.
    """

    config: DinoFusionConfig
    layout: Layout
    net: nn.Module
    low: np.ndarray
    high: np.ndarray


class _Net(nn.Module):
    """azula's U-Net with the step embedded in sines."""

    frequencies: Tensor

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.unet = UNet(
            channels, channels, cond_channels=conditions, hid_channels=WIDTHS, hid_blocks=(BLOCKS,) * len(WIDTHS),
            mod_features=EMBEDDING, norm="group",
        )  # fmt: skip
        half = EMBEDDING // 2
        self.register_buffer(
            "frequencies", torch.exp(-math.log(1e4) * torch.arange(half) / half), persistent=False
        )

    def forward(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """Noise in `x` ``(batch, channel, y, x)`` at `step` ``(batch,)``; `condition` ``(batch, parameter)``."""
        angle = step[:, None] * self.frequencies
        maps = condition[..., None, None].expand(-1, -1, *x.shape[2:]) if condition.shape[1] else None
        return self.unet(x, torch.cat([angle.sin(), angle.cos()], 1), maps)


@outputs.writes(folder=True)
def train(
    store: str | Path,
    output: str | Path,
    with_parameters: bool = True,
    steps: int = 3000,
    batch: int = 8,
    learning_rate: float = 1e-4,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> DinoFusion:
    """Train a model on the equilibrium snapshots of the training members.

    Parameters
    ----------
    store : a store of states.
    output : folder to write.
    with_parameters : whether it is told the parameters that vary; the original is not.
    steps, batch, learning_rate, seed : of the training; the original takes 1e6 steps.
    overwrite : whether an existing `output` may be replaced.
    say : called with a line every 100 steps.

    Returns
    -------
    The model.

    Raises
    ------
    UserError
        If the store has no training member, or the output exists.

    Examples
    --------
    >>> train("no-such.zarr", "model")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    ds = reader.open_store(store)
    layout = Layout(files.open_grid(store), VARIABLES)
    snapshots = reader.read(store, layout, "train")
    if not len(snapshots):
        raise UserError(f"{store} has no training member with equilibrium states; simulate one")
    declared = reader.declared_ranges(ds)
    varied = {n: v for n, v in snapshots.values.items() if np.ptp(v) > 0} if with_parameters else {}
    ranges = {n: declared.get(n, (float(v.min()), float(v.max()))) for n, v in varied.items()}
    low, high = (f(snapshots.fields, axis=(0, 2, 3)) for f in (np.nanmin, np.nanmax))
    data = torch.as_tensor(
        _scaled(snapshots.fields, low, high, layout)[:, _kept(layout)], dtype=torch.float32
    )
    told = scaled(snapshots.values, ranges) if ranges else np.zeros((len(snapshots), 0))
    config = DinoFusionConfig(ranges=ranges, steps=steps, batch=batch, learning_rate=learning_rate, seed=seed)
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        net = _Net(data.shape[1], told.shape[1])
        _fit(net, _padded(data), torch.as_tensor(told, dtype=torch.float32), config, say)
    model = DinoFusion(config, layout, net.eval(), low, high)
    _save(model, Path(output), overwrite)
    return model


def _fit(
    net: _Net, data: Tensor, told: Tensor, config: DinoFusionConfig, say: Callable[[str], None] | None
) -> None:
    """The original's loop: mean square error of the predicted noise over all cells, land included."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(config.steps, 1))
    alpha = alphas()
    for step in range(config.steps):
        chosen, times = torch.randint(len(data), (config.batch,)), torch.randint(STEPS, (config.batch,))
        share = alpha[times, None, None, None]
        noise = torch.randn(config.batch, *data.shape[1:])
        answer = net(share.sqrt() * data[chosen] + (1 - share).sqrt() * noise, times.float(), told[chosen])
        loss = functional.mse_loss(answer, noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if say is not None and (step + 1) % 100 == 0:
            say(f"step {step + 1} of {config.steps}, loss {float(loss.detach()):.4f}")


def alphas() -> Tensor:
    """Share of the signal's variance after each of the 1000 steps (Nichol and Dhariwal 2021, eq. 17), ``(1000,)``.

    Examples
    --------
    >>> alphas().shape, bool((alphas().diff() < 0).all())
    (torch.Size([1000]), True)
    """
    time = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    bar = torch.cos((time + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
    beta = (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - beta, 0).float()


@outputs.writes(folder=False)
def generate(
    model: DinoFusion | str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
    steps: int = STEPS,
) -> xr.Dataset:
    """Generate states with ancestral sampling; the signature is that of :func:`warmstart.verbs.generate.generate`.

    Parameters
    ----------
    model : a trained model or its folder.
    parameters : name to value; a model without parameters ignores them.
    n, seed, output, overwrite : as there.
    extrapolate : accepted for the common signature; the recipe checks no range.
    steps : of the sampler.

    Returns
    -------
    States ``thetao so zos``, dims ``(sample, z, y, x)``, NaN on land, with the parameters.

    Raises
    ------
    UserError
        If a parameter is unknown, the folder holds no model, or the output exists.

    Examples
    --------
    >>> generate("no-such-model", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-model/config.yaml does not exist; give an existing YAML file
    """
    loaded = model if isinstance(model, DinoFusion) else load(model)
    values = _values(loaded, parameters)
    told = scaled(values, loaded.config.ranges) if loaded.config.ranges else np.zeros(0)
    with single_thread():
        fields = np.stack(
            [_sample(loaded, torch.as_tensor(told[None]).float(), seed + i, steps) for i in range(n)]
        )
    ds = loaded.layout.unpack(fields, {"seed": ("sample", np.arange(seed, seed + n))})
    ds = _attached(ds, values, n).assign_attrs(files.provenance(seed=seed) | {"baseline": "dino-fusion"})
    if output is not None:
        files.write_dataset(output, ds, loaded.layout.grid, overwrite)
    return ds


def _values(model: DinoFusion, given: Mapping[str, Any]) -> dict[str, float]:
    wanted = {name: parameters.parse(value, name) for name, value in given.items()}
    return {name: parameters.get(name).default for name in model.config.ranges} | wanted


def _attached(ds: xr.Dataset, values: dict[str, float], n: int) -> xr.Dataset:
    return parameters.attach(ds, {name: np.full(n, value) for name, value in values.items()}, "sample")


@torch.no_grad()
def _sample(model: DinoFusion, told: Tensor, seed: int, steps: int) -> np.ndarray:
    """One state ``(channel, y, x)`` in physical units."""
    layout = model.layout
    shape = _padded(torch.zeros(1, int(_kept(layout).sum()), *layout.shape[1:])).shape
    noise = Stream(seed)

    def denoise(z: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1)
        step = torch.tensor([cosine_time(float(s)) * STEPS - 1 for s in sigma]).clamp(min=0)
        found = model.net((z / torch.sqrt(1 + level**2)).float(), step.float(), told)
        return (z - level * found.to(z.dtype)).clamp(-1, 1)

    def more() -> Tensor:
        return noise.normal(tuple(shape))[0]

    # the largest noise level of the original's schedule
    highest = float(torch.sqrt(1 / alphas()[-1] - 1))
    config = SamplingConfig(method="ddpm", steps=steps, sigma_max=min(highest, 1e3))
    drawn = solve(denoise, more(), config, source=more)[0].numpy()
    rows, columns = layout.shape[1:]
    full = _every_level(drawn[:, :rows, :columns], layout)
    span = (model.high - model.low)[:, None, None]
    return (full + 1) / 2 * span + model.low[:, None, None]


def _kept(layout: Layout) -> np.ndarray:
    """Channels that the network sees: every second level, ``(channel,)``."""
    return np.array([level % 2 == 0 for _, level in layout.channels])


def _scaled(fields: np.ndarray, low: np.ndarray, high: np.ndarray, layout: Layout) -> np.ndarray:
    """Channels scaled to -1 to 1, land 0."""
    span = np.where(high > low, high - low, 1.0)
    return np.where(layout.mask, 2 * (fields - low[:, None, None]) / span[:, None, None] - 1, 0.0)


def _padded(maps: Tensor) -> Tensor:
    """Maps with zeros north and east, so that they can be halved at every scale."""
    multiple = 2 ** (len(WIDTHS) - 1)
    rows, columns = maps.shape[2:]
    return functional.pad(maps, (0, -columns % multiple, 0, -rows % multiple))


def _every_level(kept: np.ndarray, layout: Layout) -> np.ndarray:
    """All levels from every second one, linear in the index of the level."""
    levels = [level for _, level in layout.channels]
    full, position = np.zeros((len(levels), *kept.shape[1:])), 0
    for channels in layout.slices.values():
        count = channels.stop - channels.start
        ours = kept[position : position + (count + 1) // 2]
        position += len(ours)
        place = np.minimum(np.arange(count) / 2, len(ours) - 1)
        below = place.astype(int)
        above = np.minimum(below + 1, len(ours) - 1)
        share = (place - below)[:, None, None]
        full[channels] = (1 - share) * ours[below] + share * ours[above]
    return full


def _save(model: DinoFusion, output: Path, overwrite: bool) -> None:
    with outputs.replacing(output, overwrite) as temporary:
        temporary.mkdir()
        tensors = {f"net.{n}": v.contiguous() for n, v in model.net.state_dict().items()}
        tensors |= {"low": torch.as_tensor(model.low), "high": torch.as_tensor(model.high)}
        (temporary / WEIGHTS).write_bytes(to_bytes(tensors))
        dump_yaml(model.config, temporary / CONFIG)
        files.write_dataset(temporary / MESH, model.layout.grid.ds)


def load(folder: str | Path) -> DinoFusion:
    """Load a model.

    Parameters
    ----------
    folder : as :func:`train` writes it.

    Raises
    ------
    UserError
        If it holds no model, or a file of it is damaged.
    """
    folder = Path(folder)
    config = load_yaml(folder / CONFIG, DinoFusionConfig)
    layout = Layout(Grid(files.open_dataset(folder / MESH).load()), VARIABLES)
    try:
        tensors = load_file(folder / WEIGHTS)
        net = _Net(int(_kept(layout).sum()), len(config.ranges))
        net.load_state_dict({n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
        return DinoFusion(config, layout, net.eval(), tensors["low"].numpy(), tensors["high"].numpy())
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"cannot read {folder / WEIGHTS}: {error}; the file is damaged, train it again"
        ) from error
