"""train: a store of states becomes a generator; the same command continues an interrupted training, bit for bit.

On one process, or on several::

    warmstart train states.zarr examples/dino-4deg.yaml -o generator
    torchrun --standalone --nproc-per-node=4 -m warmstart train states.zarr examples/dino-4deg.yaml -o generator
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warmstart import files, outputs
from warmstart.errors import UserError
from warmstart.generator import card, checkpoint, resume
from warmstart.generator.checkpoint import Generator
from warmstart.generator.config import GeneratorConfig, TrainingConfig, resolve
from warmstart.generator.denoiser import Condition, Denoiser
from warmstart.generator.examples import TOLD, Batch, collate, everything, rows
from warmstart.generator.objective import Objective
from warmstart.generator.prepare import Prepared, prepare
from warmstart.generator.resume import LOG, STATE, State
from warmstart.generator.sampler import single_thread
from warmstart.generator.team import Team, team

NOTE = "request.json"  #: what an unfinished training was asked for
#: What the folder of an unfinished training holds, as a regular expression.
WORK = "|".join(re.escape(name) for name in (NOTE, STATE, LOG))
#: Draws of noise a validation example is scored with.
DRAWS = {"diffusion": 8, "one-pass": 4, "deterministic": 1}


class BrokeDown(UserError):
    """A training whose gradient is not finite any more."""


def train(
    store: str | Path,
    config: GeneratorConfig | dict[str, Any] | str | Path | None,
    output: str | Path,
    sets: Iterable[str] = (),
    overwrite: bool = False,
    progress: bool = False,
) -> Generator:
    """Train a generator.

    Parameters
    ----------
    store : a store of states, as ``dataset`` writes it; members of split "train" are learned from, those of "validation"
        stop the training and are scored, those of "test" are not read.
    config : training configuration (YAML), its content, or None for the defaults.
    output : folder to write. Beside it, ``.NAME.training`` keeps the state of an unfinished training.
    sets : overrides ``"a.b=c"`` of the configuration.
    overwrite : whether an existing `output`, or an unfinished training of something else, may be replaced.
    progress : whether to show a progress bar.

    Returns
    -------
    The generator, as loaded from `output`.

    Raises
    ------
    UserError
        If the configuration or the store is wrong, the output exists, or the training breaks down.

    Examples
    --------
    >>> train("no-such.zarr", None, "generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    output, resolved = Path(output), resolve(config, sets)
    inputs = [store, config]
    place = outputs.require_free(output, overwrite, inputs, folder=True)
    work = outputs.require_work(place.with_name(f".{place.name}.training"), (NOTE,), inputs)
    _require_device(resolved.training.device)
    with (
        team(resolved.training.device, resolved.training.batch) as members,
        outputs.held(place) if members.leads else contextlib.nullcontext(),
    ):
        with single_thread():
            # one thread: the sums, and with them the weights, are the same on every machine load and after every restart
            prepared = prepare(store, resolved)
        if members.leads:
            _claim(work, prepared, overwrite)
        members.wait()
        generator = prepared.generator
        fitted: dict[str, float | None] = {}
        if resolved.residual.has_network:
            try:
                denoiser, fitted = _fit(prepared, work, progress, members)
            except BrokeDown:
                # the same command would come to the same step again: nothing to continue
                if members.leads:
                    outputs.clear(work, WORK)
                raise
            generator = dataclasses.replace(generator, denoiser=denoiser)
        if members.leads:
            _finish(generator, prepared, fitted, work, output, overwrite)
        members.wait()
    return checkpoint.load(output)


def _finish(
    generator: Generator, prepared: Prepared, fitted: dict[str, float | None], work: Path, output: Path,
    overwrite: bool,
) -> None:  # fmt: skip
    """Score the generator and write its folder."""
    scores = card.evaluate(generator, prepared) | ({"network": fitted} if fitted else {})
    generator = dataclasses.replace(generator, config=generator.config.model_copy(update={"scores": scores}))
    with outputs.replacing(output, overwrite, folder=True) as temporary:
        temporary.mkdir()
        checkpoint.save(generator, temporary)
        (temporary / checkpoint.CARD).write_text(card.model_card(generator, output.name), encoding="utf-8")
        if (work / LOG).exists():
            shutil.copyfile(work / LOG, temporary / LOG)
    outputs.clear(work, WORK)


def _require_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device is cuda, but PyTorch sees no GPU here; set training.device=cpu")


def _claim(work: Path, prepared: Prepared, overwrite: bool) -> None:
    """Make the folder of the unfinished training: continue one of the same request, refuse or replace another."""
    saved = prepared.generator.config
    request = {
        "config": saved.config.model_dump(mode="json"),
        "data": [prepared.training.digest(), prepared.validation.digest()],
        "grid": saved.grid_fingerprint,
    }
    wanted = files.config_hash(request)
    note = work / NOTE
    if note.exists() and _noted(note) != wanted:
        if not overwrite:
            raise UserError(
                f"{work} holds an unfinished training with another configuration or other data; finish it with the command "
                "that started it, choose another output, or discard it with --overwrite (overwrite=True)"
            )
        outputs.clear(work, WORK)
    work.mkdir(exist_ok=True)
    outputs.tidy(work)
    with outputs.replacing(note, overwrite=True, folder=False, ours=note.exists()) as temporary:
        temporary.write_text(json.dumps({"hash": wanted, **request}, indent=1))


def _noted(note: Path) -> str:
    """The hash of what an unfinished training was asked for."""
    try:
        return str(json.loads(note.read_text())["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read {note}: {error}; the file is damaged, delete {note.parent} to train from the start"
        ) from error


def _fit(
    prepared: Prepared, work: Path, progress: bool, team: Team
) -> tuple[Denoiser, dict[str, float | None]]:
    """Train the network until its steps are done or validation stops improving; returns the best average."""
    config = prepared.generator.config.config
    settings = config.training
    with _threads(settings.threads), _bar(settings.steps, progress and team.leads) as show:
        state = _initial(prepared, config, team)
        resume.restore(state, work)
        if team.leads:
            resume.cut_log(work, state.step)
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
                    resume.keep(state, work)
                show(state.step, _text(state))
        if team.leads:
            resume.keep(state, work)
    held_out = normal is not None
    state.denoiser.net.load_state_dict(state.best if held_out else state.average)
    state.denoiser.cpu().eval()
    chosen = state.best_step if held_out else state.step
    return state.denoiser, {
        "gaussian": normal,
        "network": state.best_loss,
        "best_step": chosen,
        "steps": state.step,
    }


def _initial(prepared: Prepared, config: GeneratorConfig, team: Team) -> State:
    """The state before the first step."""
    generator, settings = prepared.generator, config.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        denoiser = checkpoint.build_denoiser(generator.config, generator.coordinates).to(
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


def _tensors(batch: Batch, denoiser: Denoiser) -> tuple[Tensor, Tensor, Tensor, Tensor, Condition]:
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

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("", total=total)
        yield lambda step, text: bar.update(task, completed=step, description=text)
