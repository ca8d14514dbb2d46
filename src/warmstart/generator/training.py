"""The training loop: its steps, the processes that train together, and its state on disk, from which it continues bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, distributed, nn

from warmstart.errors import UserError
from warmstart.generator import model
from warmstart.generator.examples import TOLD, TrainingBatch, collate, everything, rows
from warmstart.generator.fit import Prepared
from warmstart.generator.network.denoiser import Condition, Denoiser
from warmstart.generator.network.objective import Objective
from warmstart.generator.settings import GeneratorConfig, TrainingConfig
from warmstart.io import outputs

#: Draws of noise a validation example is scored with.
DRAWS = {"diffusion": 8, "one-pass": 4, "deterministic": 1}

log = logging.getLogger(__name__)

STATE, LOG = "state.safetensors", "train.jsonl"
#: Numbers of the state of a training.
COUNTERS = ("step", "best_step", "best_loss", "stale", "last_loss", "validation_loss")


@dataclass(frozen=True)
class Team:
    """A process among those that train together; all of them draw the same batch and each works on its part.

    Attributes
    ----------
    rank, world, local : number of this process, how many there are, and its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """The CPU, or the GPU of this process."""
        return torch.device(kind, self.local) if kind == "cuda" else torch.device(kind)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, value: torch.Tensor) -> float:
        """Mean of a number over the processes."""
        if self.world > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.world
        return float(value)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def team(device: str, batch: int) -> Iterator[Team]:
    """Join the processes that torchrun started; alone without it.

    Parameters
    ----------
    device : ``cpu`` or ``cuda``: how they talk.
    batch : examples a step, which the processes share.

    Raises
    ------
    UserError
        If the batch can not be shared evenly.

    Examples
    --------
    >>> with team("cpu", 8) as alone:
    ...     alone.world
    1
    """
    given = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    rank, world, local = (int(os.environ.get(name, usual)) for name, usual in given.items())
    if world == 1:
        yield Team()
        return
    if batch % world:
        raise UserError(
            f"training.batch is {batch}, which {world} processes can not share evenly; choose a multiple of {world}"
        )
    if device == "cuda":
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Team(rank, world, local)
    finally:
        distributed.destroy_process_group()


@dataclasses.dataclass
class State:
    """Everything that changes while training. Random numbers derive from the seed and the step: they need no state.

    Attributes
    ----------
    denoiser, optimiser : the network and AdamW.
    average, best : running average of the weights, and the one that validated best.
    step, best_step, best_loss, stale, last_loss, validation_loss : where the training is.
    """

    denoiser: Denoiser
    optimiser: torch.optim.AdamW
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    last_loss: float = 0.0
    validation_loss: float | None = None


def keep(state: State, work: Path) -> None:
    """Write the whole state of the training, in one file, by renaming."""
    tensors: dict[str, Tensor] = {f"raw.{n}": v for n, v in state.denoiser.net.state_dict().items()}
    tensors |= {f"average.{n}": v for n, v in state.average.items()}
    tensors |= {f"best.{n}": v for n, v in state.best.items()}
    for name, parameter in state.denoiser.net.named_parameters():
        tensors |= {f"optimiser.{name}.{key}": v for key, v in state.optimiser.state[parameter].items()}
    counters = {k: getattr(state, k) for k in COUNTERS}
    with outputs.replacing(
        work / STATE, overwrite=True, folder=False, ours=_is_state(work / STATE)
    ) as temporary:
        # as bytes: safetensors' own writer has an error of its own for a full disk, and makes files that nobody else may read
        whole = {n: v.detach().cpu().contiguous() for n, v in tensors.items()}
        temporary.write_bytes(to_bytes(whole, {"counters": json.dumps(counters)}))


def _is_state(path: Path) -> bool:
    """Whether a file is what :func:`keep` writes."""
    try:
        with safe_open(path, framework="pt") as stored:
            return "counters" in (stored.metadata() or {})
    except (SafetensorError, OSError):
        return False


def restore(state: State, work: Path) -> None:
    """Take up the state that an interrupted training left."""
    path = work / STATE
    if not path.exists():
        return
    device = next(state.denoiser.parameters()).device
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name).to(device) for name in stored.keys()}  # noqa: SIM118 (no dict)
            counters = json.loads(stored.metadata()["counters"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; delete {work} to train from the start") from error

    def part(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}

    state.denoiser.net.load_state_dict(part("raw."))
    state.average, state.best = part("average."), part("best.")
    for name, parameter in state.denoiser.net.named_parameters():
        kept = part(f"optimiser.{name}.")
        if kept:
            # AdamW keeps its count on the CPU
            state.optimiser.state[parameter] = {k: v.cpu() if k == "step" else v for k, v in kept.items()}
    for key, value in counters.items():
        setattr(state, key, value)
    log.info("continuing at step %d", state.step)


def cut_log(work: Path, step: int) -> None:
    """Drop what the log says of later steps than the state that training continues from; one process does it."""
    path, lines = work / LOG, []
    former = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in former.splitlines():
        # the line that was being written when the training was killed is none
        with contextlib.suppress(ValueError, TypeError, LookupError):
            if json.loads(line)["step"] <= step:
                lines.append(line)
    with outputs.replacing(path, overwrite=True, folder=False, ours=True) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


class BrokeDown(UserError):
    """A training whose gradient is not finite any more."""


def fit_network(
    prepared: Prepared, work: Path, progress: bool, team: Team
) -> tuple[Denoiser, dict[str, float | None]]:
    """Train the network until its steps are done or validation stops improving; returns the best average."""
    config = prepared.generator.config.config
    settings = config.training
    with _threads(settings.threads), _bar(settings.steps, progress and team.leads) as show:
        state = _initial(prepared, config, team)
        restore(state, work)
        if team.leads:
            cut_log(work, state.step)
        team.wait()
        objective = _objective(state, prepared, config)
        step = team.wrap(objective)
        nothing = {n: torch.zeros_like(v) for n, v in state.average.items()}
        normal = _validate(state, objective, prepared, nothing, team)
        if state.step == 0:
            # the network that answers 0 is the Gaussian residual: what does not beat it is not kept
            state.best_loss = normal
        with (work / LOG).open("a") if team.leads else open(os.devnull, "a") as lines:
            while state.step < settings.steps and not (
                settings.patience and state.stale >= settings.patience
            ):
                _advance(state, step, prepared, team)
                if state.step % settings.validate_every == 0 or state.step == settings.steps:
                    _judge(state, objective, prepared, team)
                    lines.write(json.dumps(_line(state, settings)) + "\n")
                    lines.flush()
                if team.leads and state.step % settings.checkpoint_every == 0:
                    keep(state, work)
                show(state.step, _text(state))
        if team.leads:
            keep(state, work)
    held_out = normal is not None
    state.denoiser.net.load_state_dict(state.best if held_out else state.average)
    state.denoiser.cpu().eval()
    chosen = state.best_step if held_out else state.step
    scores = (normal, state.best_loss, chosen, state.step)
    return state.denoiser, dict(zip(("gaussian", "network", "best_step", "steps"), scores, strict=True))


def _initial(prepared: Prepared, config: GeneratorConfig, team: Team) -> State:
    """The state before the first step."""
    generator, settings = prepared.generator, config.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        denoiser = model.build_denoiser(generator.config, generator.coordinates).to(
            team.device(settings.device)
        )
    if settings.precision == "bfloat16" or settings.compile:
        denoiser.net.accelerate(bfloat16=settings.precision == "bfloat16", compiled=settings.compile)
    optimiser = torch.optim.AdamW(denoiser.net.parameters(), weight_decay=settings.weight_decay)
    average = {n: v.detach().clone() for n, v in denoiser.net.state_dict().items()}
    return State(denoiser, optimiser, average, {n: v.clone() for n, v in average.items()})


def _objective(state: State, prepared: Prepared, config: GeneratorConfig) -> Objective:
    """What the network is trained to, on its device."""
    device = next(state.denoiser.parameters()).device
    return Objective(state.denoiser, prepared.generator.coordinates, config.residual.model).to(device)


def _advance(state: State, objective: torch.nn.Module, prepared: Prepared, team: Team) -> None:
    """One optimiser step; everything random in it derives from the seed and the number of the step."""
    config = prepared.generator.config.config
    settings, examples = config.training, prepared.examples
    draw = np.random.default_rng([config.seed, 1, state.step])
    chosen = rows(examples, draw, settings.batch, settings.mixing)
    sigma = np.exp(settings.noise_mean + settings.noise_std * draw.standard_normal(settings.batch))
    told = (draw.random((settings.batch, len(TOLD))) >= config.condition.dropout).astype("float64")
    own = slice(team.rank, None, team.world)
    noise = _noise(draw, settings.batch, prepared.generator.coordinates.shape, own)
    jitter = config.condition.parameter_noise * draw.standard_normal(
        (settings.batch, examples.inputs.shape[1])
    )
    batch = collate(examples, chosen[own], prepared.generator.all_coordinates, sigma[own], noise, told[own])
    batch = dataclasses.replace(batch, inputs=batch.inputs + jitter[own])
    for group in state.optimiser.param_groups:
        group["lr"] = _rate(state.step, settings)
    loss = objective(*_tensors(batch, state.denoiser)).mean()
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.denoiser.net.parameters(), settings.clip)
    if not torch.isfinite(norm):
        raise BrokeDown(
            f"training broke down at step {state.step + 1}: the gradient is not finite; lower training.learning_rate "
            f"({settings.learning_rate:g}), or look for outliers in the data (warmstart check)"
        )
    state.optimiser.step()
    decay = min(settings.ema, (1 + state.step) / (10 + state.step))
    for name, value in state.denoiser.net.state_dict().items():
        state.average[name].lerp_(value, 1 - decay)
    state.step += 1
    state.last_loss = team.mean(loss.detach())


def _noise(draw: np.random.Generator, batch: int, shape: tuple[int, ...], own: slice) -> np.ndarray:
    """Two draws of standard normal noise of the examples that are `own`, ``(2, example, *shape)``, in single precision.

    The noise of the others is drawn and dropped, one field at a time: every process draws the same, and none holds the whole batch.
    """
    rows = range(batch)[own]
    noise = np.empty((2, len(rows), *shape), "float32")
    for which in range(2):
        for row in range(batch):
            one = draw.standard_normal(shape)
            if row in rows:
                noise[which, rows.index(row)] = one
    return noise


def _tensors(batch: TrainingBatch, denoiser: Denoiser) -> tuple[Tensor, Tensor, Tensor, Tensor, Condition]:
    """A batch as float32 tensors on the device of the network."""
    device = next(denoiser.parameters()).device

    def to(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    state = age = None
    if batch.state.shape[1]:
        state, age = to(denoiser.layout.from_wet(batch.state)), to(batch.age)
    condition = Condition(to(batch.inputs), to(batch.forcing), to(batch.told), to(batch.given), state, age)
    return to(batch.latents), to(batch.scale), to(batch.sigma), to(batch.noise), condition


def _rate(step: int, settings: TrainingConfig) -> float:
    """Learning rate: linear increase, then half a cosine down to 0."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@torch.no_grad()
def _validate(
    state: State, objective: Objective, prepared: Prepared, weights: dict[str, Tensor], team: Team
) -> float | None:
    """Loss on the validation members, the same noise every time and the same in every process; None without any."""
    held_out, config = prepared.held_out, prepared.generator.config.config
    if not len(held_out):
        return None
    settings, losses = config.training, []
    draw = np.random.default_rng([config.seed, 2])
    raw = {n: v.clone() for n, v in state.denoiser.net.state_dict().items()}
    state.denoiser.net.load_state_dict(weights)
    # the same quantiles of the noise level for every example: fewer draws then say as much
    draws = DRAWS[config.residual.model]
    normal = torch.distributions.Normal(settings.noise_mean, settings.noise_std)
    quantiles = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    sigma = np.exp(normal.icdf(quantiles).numpy())
    for row in everything(held_out):
        # no more at once than in a step: what trains validates
        for levels in np.split(sigma, range(settings.batch, draws, settings.batch)):
            noise = draw.standard_normal((2, len(levels), *prepared.generator.coordinates.shape))
            told = np.ones((len(levels), len(TOLD)))
            alike = [row] * len(levels)
            batch = collate(held_out, alike, prepared.generator.all_coordinates, levels, noise, told)
            losses += objective(*_tensors(batch, state.denoiser)).tolist()
    state.denoiser.net.load_state_dict(raw)
    # processes may round otherwise than each other; all of them have to stop at the same step
    return team.mean(torch.tensor(np.mean(losses), device=next(state.denoiser.parameters()).device))


def _judge(state: State, objective: Objective, prepared: Prepared, team: Team) -> None:
    """Validate the running average and remember it if it is the best so far."""
    state.validation_loss = loss = _validate(state, objective, prepared, state.average, team)
    if loss is None:
        return
    state.stale += 1
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.stale = loss, state.step, 0
        state.best = {n: v.clone() for n, v in state.average.items()}


def _text(state: State) -> str:
    """The live line of progress."""
    held_out = "" if state.validation_loss is None else f" validation {state.validation_loss:.4f}"
    best = f" best {state.best_loss:.4f} at {state.best_step}" if state.best_loss is not None else ""
    return f"loss {state.last_loss:.4f}{held_out}{best}"


def _line(state: State, settings: TrainingConfig) -> dict[str, Any]:
    """One line of the log."""
    return {
        "step": state.step, "loss": state.last_loss, "learning_rate": _rate(state.step - 1, settings),
        "validation_loss": state.validation_loss, "best_step": state.best_step,
    }  # fmt: skip


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """A fixed number of threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int, str], None]]:
    """A progress bar over steps, or nothing."""
    if not progress:
        yield lambda step, text: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=total)
        yield lambda step, text: bar.update(task, completed=step, description=text)
