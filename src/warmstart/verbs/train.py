"""train: a store of states becomes a generator; the same command continues an interrupted training, bit for bit.

On one process, or on several::

    warmstart train states.zarr examples/dino-4deg.yaml -o generator
    torchrun --standalone --nproc-per-node=4 -m warmstart train states.zarr examples/dino-4deg.yaml -o generator
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from warmstart.errors import UserError
from warmstart.generator import card, checkpoint
from warmstart.generator.fit import Prepared, prepare
from warmstart.generator.model import Generator
from warmstart.generator.network.sampler import single_thread
from warmstart.generator.settings import GeneratorConfig, resolve
from warmstart.generator.training import LOG, STATE, BrokeDown, fit_network, team
from warmstart.io import files, outputs

NOTE = "request.json"  #: what an unfinished training was asked for
#: What the folder of an unfinished training holds, as a regular expression.
WORK = "|".join(re.escape(name) for name in (NOTE, STATE, LOG))


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
    if resolved.training.device == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device is cuda, but PyTorch sees no GPU here; set training.device=cpu")
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
                denoiser, fitted = fit_network(prepared, work, progress, members)
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
