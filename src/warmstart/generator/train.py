"""train: a store of states becomes a generator; the same command continues an interrupted training, bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from warmstart import files
from warmstart.data.batches import mix
from warmstart.errors import UserError
from warmstart.generator import card, checkpoint
from warmstart.generator.checkpoint import Generator
from warmstart.generator.config import GeneratorConfig, TrainingConfig, resolve
from warmstart.generator.denoiser import Condition, Denoiser
from warmstart.generator.prepare import Examples, Prepared, prepare
from warmstart.generator.sampler import single_thread

log = logging.getLogger(__name__)

#: Draws of noise a validation snapshot is scored with.
VALIDATION_DRAWS = 16
STATE, LOG = "state.safetensors", "train.jsonl"
#: Numbers of the state of a training.
COUNTERS = ("step", "best_step", "best_loss", "stale", "last_loss", "validation_loss")


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
        If the configuration or the store is wrong, or the output exists.

    Examples
    --------
    >>> train("no-such.zarr", None, "generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    output, resolved = Path(output), resolve(config, sets)
    files.refuse_existing(output, overwrite)
    if not output.parent.is_dir():
        raise UserError(f"cannot write {output}: the folder {output.parent} does not exist; make it first")
    with single_thread():
        # one thread: the sums, and with them the weights, are the same on every machine load and after every restart
        prepared = prepare(store, resolved)
    work = _claim(output, prepared, overwrite)
    generator = prepared.generator
    fitted: dict[str, float | None] = {}
    if resolved.residual.model == "diffusion":
        denoiser, fitted = _fit(prepared, work, progress)
        generator = dataclasses.replace(generator, denoiser=denoiser)
    scores = card.evaluate(generator, prepared) | ({"denoising": fitted} if fitted else {})
    generator = dataclasses.replace(generator, config=generator.config.model_copy(update={"scores": scores}))
    with files.replacing(output, overwrite) as temporary:
        temporary.mkdir()
        checkpoint.save(generator, temporary)
        (temporary / checkpoint.CARD).write_text(card.model_card(generator, output.name), encoding="utf-8")
        if (work / LOG).exists():
            shutil.copyfile(work / LOG, temporary / LOG)
    shutil.rmtree(work)
    return checkpoint.load(output)


def _claim(output: Path, prepared: Prepared, overwrite: bool) -> Path:
    """The folder of the unfinished training: continue one of the same request, refuse or replace another."""
    work = output.with_name(f".{output.name}.training")
    saved = prepared.generator.config
    request = {
        "config": saved.config.model_dump(mode="json"),
        "data": saved.store["digest"],
        "grid": saved.grid_fingerprint,
    }
    wanted = files.config_hash(request)
    note = work / "request.json"
    if note.exists() and json.loads(note.read_text())["hash"] != wanted:
        if not overwrite:
            raise UserError(
                f"{work} holds an unfinished training with another configuration or other data; finish it with the command "
                "that started it, choose another output, or discard it with --overwrite (overwrite=True)"
            )
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    note.write_text(json.dumps({"hash": wanted, **request}, indent=1))
    return work


@dataclasses.dataclass
class _State:
    """Everything that changes while training."""

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


def _fit(prepared: Prepared, work: Path, progress: bool) -> tuple[Denoiser, dict[str, float | None]]:
    """Train the network until its steps are done or validation stops improving; returns the best average."""
    config = prepared.generator.config.config
    settings = config.training
    with _threads(settings.threads), _bar(settings.steps, progress) as show:
        state = _initial(prepared, config)
        _restore(state, work)
        normal = _validate(
            state, prepared.held_out, config, {n: torch.zeros_like(v) for n, v in state.average.items()}
        )
        if state.step == 0:
            # the network that answers 0 is the Gaussian residual: what does not beat it is not kept
            state.best_loss = normal
        with (work / LOG).open("a") as lines:
            while state.step < settings.steps and not (
                settings.patience and state.stale >= settings.patience
            ):
                _advance(state, prepared.examples, config)
                if state.step % settings.validate_every == 0 or state.step == settings.steps:
                    _judge(state, prepared, config)
                    lines.write(json.dumps(_line(state, settings)) + "\n")
                    lines.flush()
                if state.step % settings.checkpoint_every == 0:
                    _keep(state, work)
                show(state.step, f"loss {state.last_loss:.3f}")
        _keep(state, work)
    held_out = normal is not None
    state.denoiser.net.load_state_dict(state.best if held_out else state.average)
    state.denoiser.cpu().eval()
    chosen = state.best_step if held_out else state.step
    return state.denoiser, {
        "gaussian": normal,
        "diffusion": state.best_loss,
        "best_step": chosen,
        "steps": state.step,
    }


def _initial(prepared: Prepared, config: GeneratorConfig) -> _State:
    """The state before the first step."""
    generator = prepared.generator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        denoiser = checkpoint.build_denoiser(
            config, generator.coordinates, len(generator.config.forcing), len(generator.config.inputs)
        ).to(config.training.device)
    optimiser = torch.optim.AdamW(denoiser.net.parameters(), weight_decay=config.training.weight_decay)
    average = {n: v.detach().clone() for n, v in denoiser.net.state_dict().items()}
    return _State(denoiser, optimiser, average, {n: v.clone() for n, v in average.items()})


def _advance(state: _State, examples: Examples, config: GeneratorConfig) -> None:
    """One optimiser step; everything random in it derives from the seed and the number of the step."""
    settings, device = config.training, config.training.device
    draw = np.random.default_rng([config.seed, 1, state.step])
    latents, leading = mix(examples.latents, draw, settings.batch, settings.mixing)
    inputs = examples.inputs[leading]
    inputs = inputs + settings.parameter_noise * draw.standard_normal(inputs.shape)
    given = (draw.random(settings.batch) >= settings.condition_dropout).astype("float32")
    sigma = np.exp(settings.noise_mean + settings.noise_std * draw.standard_normal(settings.batch))
    z, level, noise, condition = _tensors(
        latents, sigma, draw.standard_normal(latents.shape), inputs, examples.forcing[leading], given, device
    )
    for group in state.optimiser.param_groups:
        group["lr"] = _rate(state.step, settings)
    loss = state.denoiser.loss(z, level, noise, condition).mean()
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.denoiser.net.parameters(), settings.clip, error_if_nonfinite=True)
    state.optimiser.step()
    decay = min(settings.ema, (1 + state.step) / (10 + state.step))
    for name, value in state.denoiser.net.state_dict().items():
        state.average[name].lerp_(value, 1 - decay)
    state.step += 1
    state.last_loss = float(loss.detach())


def _tensors(
    latents: np.ndarray, sigma: np.ndarray, noise: np.ndarray, inputs: np.ndarray, forcing: np.ndarray,
    given: np.ndarray, device: str,
) -> tuple[Tensor, Tensor, Tensor, Condition]:  # fmt: skip
    """Arrays of one batch as float32 tensors."""
    z, level, eps, x, profiles, flag = (
        torch.as_tensor(a, dtype=torch.float32, device=device)
        for a in (latents, sigma, noise, inputs, forcing, given)
    )
    return z, level, eps, Condition(x, profiles, flag)


def _rate(step: int, settings: TrainingConfig) -> float:
    """Learning rate: linear increase, then half a cosine down to 0."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@torch.no_grad()
def _validate(
    state: _State, held_out: Examples, config: GeneratorConfig, weights: dict[str, Tensor]
) -> float | None:
    """Denoising loss on the validation members, the same noise every time; None without any."""
    if not len(held_out.latents):
        return None
    draw = np.random.default_rng([config.seed, 2])
    settings, losses = config.training, []
    raw = {n: v.clone() for n, v in state.denoiser.net.state_dict().items()}
    state.denoiser.net.load_state_dict(weights)
    # the same quantiles of the noise level for every snapshot: fewer draws then say as much
    quantiles = (np.arange(VALIDATION_DRAWS) + 0.5) / VALIDATION_DRAWS
    normal = torch.distributions.Normal(settings.noise_mean, settings.noise_std)
    sigma = np.exp(normal.icdf(torch.as_tensor(quantiles)).numpy())
    for z, x, profiles in zip(held_out.latents, held_out.inputs, held_out.forcing, strict=True):
        latents, inputs, forcing = (np.repeat(a[None], VALIDATION_DRAWS, 0) for a in (z, x, profiles))
        noise = draw.standard_normal(latents.shape)
        latent, level, eps, condition = _tensors(
            latents, sigma, noise, inputs, forcing, np.ones(VALIDATION_DRAWS), settings.device
        )
        losses.append(float(state.denoiser.loss(latent, level, eps, condition).mean()))
    state.denoiser.net.load_state_dict(raw)
    return float(np.mean(losses))


def _judge(state: _State, prepared: Prepared, config: GeneratorConfig) -> None:
    """Validate the running average and remember it if it is the best so far."""
    state.validation_loss = loss = _validate(state, prepared.held_out, config, state.average)
    if loss is None:
        return
    state.stale += 1
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.stale = loss, state.step, 0
        state.best = {n: v.clone() for n, v in state.average.items()}


def _line(state: _State, settings: TrainingConfig) -> dict[str, Any]:
    """One line of the log."""
    return {
        "step": state.step, "loss": state.last_loss, "learning_rate": _rate(state.step - 1, settings),
        "validation_loss": state.validation_loss, "best_step": state.best_step,
    }  # fmt: skip


def _keep(state: _State, work: Path) -> None:
    """Write the whole state of the training, in one file, by renaming."""
    tensors: dict[str, Tensor] = {f"raw.{n}": v for n, v in state.denoiser.net.state_dict().items()}
    tensors |= {f"average.{n}": v for n, v in state.average.items()}
    tensors |= {f"best.{n}": v for n, v in state.best.items()}
    for name, parameter in state.denoiser.net.named_parameters():
        tensors |= {f"optimiser.{name}.{key}": v for key, v in state.optimiser.state[parameter].items()}
    counters = {k: getattr(state, k) for k in COUNTERS}
    temporary = work / f"{STATE}.tmp"
    save_file(
        {n: v.detach().cpu().contiguous() for n, v in tensors.items()},
        temporary,
        {"counters": json.dumps(counters)},
    )
    temporary.replace(work / STATE)


def _restore(state: _State, work: Path) -> None:
    """Take up the state that an interrupted training left, and cut its log back to it."""
    path = work / STATE
    if not path.exists():
        (work / LOG).unlink(missing_ok=True)
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
    kept_lines = []
    for line in (work / LOG).read_text().splitlines() if (work / LOG).exists() else []:
        with contextlib.suppress(
            json.JSONDecodeError
        ):  # the line that was being written when the training was killed
            if json.loads(line)["step"] <= state.step:
                kept_lines.append(line)
    (work / LOG).write_text("".join(f"{line}\n" for line in kept_lines))
    log.info("continuing at step %d", state.step)


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
