"""The state of a training on disk: one file, written by renaming, from which the same command continues bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from warmstart import outputs
from warmstart.errors import UserError
from warmstart.generator.denoiser import Denoiser

log = logging.getLogger(__name__)

STATE, LOG = "state.safetensors", "train.jsonl"
#: Numbers of the state of a training.
COUNTERS = ("step", "best_step", "best_loss", "stale", "last_loss", "validation_loss")


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
    lines = []
    for line in (work / LOG).read_text().splitlines() if (work / LOG).exists() else []:
        # the line that was being written when the training was killed is none
        with contextlib.suppress(json.JSONDecodeError):
            if json.loads(line)["step"] <= step:
                lines.append(line)
    with outputs.replacing(work / LOG, overwrite=True, folder=False, ours=True) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))
