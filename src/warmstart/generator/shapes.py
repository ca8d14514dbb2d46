"""Whether the arrays of a checkpoint fit each other, its configuration and its mesh: said at once, not while drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from warmstart.data.layout import Layout
from warmstart.errors import UserError
from warmstart.generator.config import SavedConfig
from warmstart.generator.spinup import CORRECTIONS
from warmstart.generator.stored import PROCESSES
from warmstart.generator.transports import CARRIED

#: Length of an axis: a number, or the name of one that the first array with that axis decides.
Axis: TypeAlias = int | str


def require(arrays: Mapping[str, np.ndarray], config: SavedConfig, layout: Layout, path: Path) -> None:
    """Refuse arrays that are not finite, or of another shape than the others ask for; what is missing is not missed here.

    Parameters
    ----------
    arrays : of the file, by name.
    config, layout : of the generator.
    path : of the file, for messages.

    Raises
    ------
    UserError
        Naming the file and the array.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} is not finite; the file is damaged, copy or train it again")
    lengths: dict[str, int] = {}
    for name, axes in _expected(config, layout):
        if name not in arrays:
            continue
        found = arrays[name].shape
        known = [
            lengths.setdefault(axis, length) if isinstance(axis, str) else axis
            for axis, length in zip(axes, found, strict=False)
        ]
        if len(found) != len(axes) or tuple(known) != found:
            wanted = " x ".join(str(lengths.get(a, a) if isinstance(a, str) else a) for a in axes)
            raise UserError(
                f"{path}: {name} has the shape {' x '.join(map(str, found)) or 'of a number'}; expected {wanted}; "
                "the file is damaged or of another generator, copy or train it again"
            )


def _expected(config: SavedConfig, layout: Layout) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """Name and axes of each array; those that others depend on come first."""
    wet, (channels, rows, _) = int(layout.mask.sum()), layout.shape
    yield "forcing", (1 + len(config.inputs), len(config.forcing), rows)
    yield from _mean("mean", wet, "input")
    yield from _mean("mixed_layer", int((layout.grid.tmask > 0).any("z").sum()), "input")
    yield from _mean("transports", len(CARRIED) * (rows - 1), "input")
    yield from _mean("currents", "face", "input")
    yield "currents.scale", (1,)
    yield "transports.scale", (len(CARRIED),)
    yield "transports.residuals", ("snapshot", len(CARRIED) * (rows - 1))
    whole = config.config.residual.coordinates == "eof"
    yield "residual.basis", ("residual mode" if whole else 0, wet)
    yield "residual.rotation", (channels, channels)
    for given in config.amplitude:
        yield f"residual.{given}.scale", ("residual mode" if whole else channels,)
        yield f"residual.{given}.spread", (1,)
    yield from _spinup(len(config.ages), wet, channels)


def _mean(prefix: str, values: Axis, inputs: Axis) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """Arrays of a mean model."""
    mode, member, candidate = (f"{prefix} {axis}" for axis in ("mode", "member", "candidate"))
    yield f"{prefix}.offset", (values,)
    yield f"{prefix}.basis", (mode, values)
    yield f"{prefix}.coefficients", (member, mode)
    yield f"{prefix}.inputs", (member, inputs)
    yield f"{prefix}.relevance", (f"{prefix} part", inputs)
    yield f"{prefix}.part", (mode,)
    yield f"{prefix}.candidates", (candidate, 4)
    yield f"{prefix}.posterior", (candidate, mode)


def _spinup(ages: int, wet: int, channels: int) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """Arrays of the model of initial states."""
    yield "spinup.centre", (wet,)
    yield "spinup.basis", ("spin-up mode", wet)
    yield "spinup.features", ("feature", wet)
    for given in ("state", "both"):
        for i in range(ages):
            prefix = f"spinup.{given}.{i}"
            for name in PROCESSES:
                alone: Axis = 0 if given == "state" else "input"
                known = alone if name == "expected" else f"input of {given}"
                yield from _mean(f"{prefix}.{name}", "spin-up mode", known)
            yield f"{prefix}.features_centre", ("feature",)
            yield f"{prefix}.features_scale", (1,)
            yield f"{prefix}.weights", (len(CORRECTIONS), channels)
