"""A generator as a folder: ``weights.safetensors config.yaml normalizer.nc README.md``; nothing is ever unpickled.

A folder within it may hold another network for it: ``config.yaml``, ``README.md`` and, in ``weights.safetensors``, the arrays that
differ. All else is shared. ``dino-4deg/diffusion`` is the shipped generator ``dino-4deg-diffusion``.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from warmstart.errors import UserError, require_path
from warmstart.generator.model import Generator, build_denoiser
from warmstart.generator.quantities import QUANTITIES
from warmstart.generator.quantities.quantity import QuantityModel
from warmstart.generator.residual import Law
from warmstart.generator.settings import SavedConfig
from warmstart.generator.space import Coordinates
from warmstart.generator.young_state import CORRECTIONS, AgeModel, SpinupModel
from warmstart.io import files
from warmstart.io.config import dump_yaml, load_yaml
from warmstart.ocean.grid import Grid
from warmstart.regression.layout import Layout
from warmstart.regression.mean import MeanModel
from warmstart.regression.normalizer import Normalizer

WEIGHTS, CONFIG, NORMALIZER, CARD = "weights.safetensors", "config.yaml", "normalizer.nc", "README.md"

#: Fields of a mean model. A single state is kept in single precision and sets of patterns in half: five parts in ten
#: thousand of a pattern are nothing beside the residual, and patterns are most of a generator's weight.
FIELDS = ("offset", "basis", "coefficients", "inputs", "relevance", "part", "candidates", "posterior")
PROCESSES = ("expected", "increment", "joint")

#: Length of an axis: a number, or the name of one that the first array with that axis decides.
Axis: TypeAlias = int | str


def save(generator: Generator, folder: Path) -> None:
    """Write a generator into an existing, empty folder; the model card is written elsewhere."""
    arrays = _flatten(generator.mean, "mean") | {"forcing": generator.forcing}
    arrays["residual.basis"] = _half(generator.coordinates.basis)
    if generator.coordinates.rotation is not None:
        arrays |= {"residual.rotation": generator.coordinates.rotation}
    for given, law in generator.laws.items():
        arrays |= {f"residual.{given}.scale": law.coordinates.scale}
        arrays |= {f"residual.{given}.spread": np.array([law.reference_spread])}
    for name, fitted in generator.quantities.items():
        arrays |= _flatten(fitted.model, name)
        beside = {"scale": fitted.scale, "residuals": fitted.residuals}
        arrays |= {f"{name}.{what}": values for what, values in beside.items() if values is not None}
    if generator.spinup is not None:
        arrays |= _flatten_spinup(generator.spinup)
    if generator.denoiser is not None:
        arrays |= {
            f"net.{n}": v.detach().cpu().numpy() for n, v in generator.denoiser.net.state_dict().items()
        }
    # as bytes: safetensors' own writer makes files that nobody else may read
    (folder / WEIGHTS).write_bytes(to_bytes({n: np.ascontiguousarray(v) for n, v in arrays.items()}))
    dump_yaml(generator.config, folder / CONFIG)
    files.write_dataset(folder / NORMALIZER, _normalizer_dataset(generator), generator.grid)


def _normalizer_dataset(generator: Generator) -> xr.Dataset:
    """Statistics by variable and level, with the spread of the training members about their mean state."""
    layout, mean = generator.layout, generator.mean
    weights = layout.weights.sum((1, 2))
    between = (
        (mean.coefficients**2).mean(0) @ mean.basis**2 if len(mean.basis) else np.zeros(layout.mask.sum())
    )
    share = (layout.from_wet(between) * layout.weights).sum((1, 2)) / np.where(weights > 0, weights, 1.0)
    members = max(len(mean.inputs), 2)
    spread = np.sqrt(share * members / (members - 1)) * generator.normalizer.std
    ds = xr.Dataset(attrs=files.provenance(config=generator.config.config.model_dump(mode="json")))
    for name, channels in layout.slices.items():
        dims = ("z",) if layout.tables[name].three_d else ()
        for what, values, meaning in (
            ("mean", generator.normalizer.mean, "mean over wet cells and training snapshots"),
            ("std", generator.normalizer.std, "standard deviation over wet cells and training snapshots"),
            ("spread", spread, "standard deviation between training members about their mean state"),
        ):
            block = values[channels] if dims else values[channels.start]
            ds[f"{name}_{what}"] = (dims, block, {"units": layout.tables[name].units, "long_name": meaning})
    return ds


def locate(generator: str | Path) -> Path:
    """Find the folder of a generator: by its path, or a shipped one by its name, such as ``dino-4deg``.

    Raises
    ------
    UserError
        If there is none, or files are missing from it.

    Examples
    --------
    >>> locate("no-such-generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    path, known = require_path(generator), shipped()
    if not path.is_dir():
        path = known.get(str(generator), path)
    if not path.is_dir():
        raise UserError(
            f"no generator '{generator}': expected a folder made by 'warmstart train' or a shipped name "
            f"({', '.join(known) or 'none is installed'})"
        )
    files_of = (path / WEIGHTS, path / CONFIG, whole(path) / NORMALIZER)
    if missing := [file.name for file in files_of if not file.is_file()]:
        raise UserError(
            f"{path} is no generator: {', '.join(missing)} missing; expected a folder made by 'warmstart train'"
        )
    return path


def shipped() -> dict[str, Path]:
    """The folders of the generators that come with the package, by name."""
    root = Path(str(importlib.resources.files("warmstart") / "pretrained"))
    folders = {p.name: p for p in sorted(root.glob("*")) if (p / WEIGHTS).is_file()}
    return folders | {
        f"{name}-{q.name}": q
        for name, p in folders.items()
        for q in sorted(p.iterdir())
        if (q / WEIGHTS).is_file()
    }


def whole(folder: Path) -> Path:
    """The folder that holds what a generator shares: its own, or the one above where it is another network of that generator."""
    above = folder.resolve().parent
    alone = (folder / NORMALIZER).is_file() or not all((above / n).is_file() for n in (WEIGHTS, NORMALIZER))
    return folder if alone else above


def load(path: str | Path, grid: Grid | None = None) -> Generator:
    """Load a generator.

    Parameters
    ----------
    path : its folder, or the name of a shipped one.
    grid : the mesh it is wanted for; None takes its own.

    Raises
    ------
    UserError
        If it is missing, damaged, or made for another mesh.

    Examples
    --------
    >>> load("no-such-generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    folder = locate(path)
    config = load_yaml(folder / CONFIG, SavedConfig)
    shared = whole(folder)
    layout = Layout(files.open_grid(shared / NORMALIZER), config.variables, config.tables)
    if layout.grid.fingerprint != config.grid_fingerprint:
        raise UserError(
            f"{folder}: the mesh in {NORMALIZER} is not the one in {CONFIG}; the folder was mixed up, train again"
        )
    if grid is not None:
        layout.grid.require_same(grid, "what the generator is asked for")
    arrays = _read_arrays(folder / WEIGHTS)
    if shared != folder:
        arrays = _read_arrays(shared / WEIGHTS) | arrays
    _require(arrays, config, layout, folder / WEIGHTS)
    try:
        return _assemble(config, layout, arrays, folder)
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit {CONFIG}: {error}; the folder was mixed up, train again"
        ) from error


def _assemble(config: SavedConfig, layout: Layout, arrays: dict[str, np.ndarray], folder: Path) -> Generator:
    """Put the stored arrays together."""
    normalizer = _read_normalizer(layout, whole(folder) / NORMALIZER)
    wide = {n: a.astype("float64") for n, a in arrays.items() if not n.startswith("net.")}
    basis, rotation = wide["residual.basis"], wide.get("residual.rotation")
    laws = {
        given: Law(
            Coordinates(layout, basis, wide[f"residual.{given}.scale"], rotation),
            float(wide[f"residual.{given}.spread"][0]),
            amplitude,
        )
        for given, amplitude in config.amplitude.items()
    }
    spinup = _read_spinup(wide, layout, config.ages) if config.ages else None
    quantities = {
        name: QuantityModel(
            quantity,
            layout.grid,
            _read_mean(wide, name),
            wide[f"{name}.scale"] if quantity.scales else None,
            wide[f"{name}.residuals"] if quantity.drawn else None,
        )
        for name, quantity in QUANTITIES.items()
        if f"{name}.offset" in wide
    }
    denoiser = None
    if config.config.residual.has_network:
        denoiser = build_denoiser(config, laws["parameters"].coordinates)
        denoiser.net.load_state_dict(
            {n.removeprefix("net."): torch.as_tensor(a) for n, a in arrays.items() if n.startswith("net.")}
        )
        denoiser.eval()
    above = whole(folder)
    # of a network that shares the rest: as if its file held all
    stored = (folder / WEIGHTS).read_bytes() if above == folder else to_bytes(arrays)
    name = folder.resolve().name if above == folder else f"{above.name}-{folder.resolve().name}"
    digest = hashlib.sha256(stored + (folder / CONFIG).read_bytes())
    digest.update(normalizer.mean.tobytes() + normalizer.std.tobytes())
    generator = Generator(
        config, layout, normalizer, _read_mean(wide, "mean"), spinup, laws, wide["forcing"],
        denoiser, quantities, name, digest.hexdigest()[:16],
    )  # fmt: skip
    known = generator.mean.inputs
    own = generator.known(known[:, : len(generator.ranges)])
    # climatology knows no inputs: all are 0
    if known.any() and (own.shape != known.shape or not np.allclose(own, known, atol=1e-6)):
        raise UserError(
            f"{folder} was trained with another version of the theory in its mean (mean.theory); train it again"
        )
    return generator


def _read_normalizer(layout: Layout, path: Path) -> Normalizer:
    """Means and standard deviations of the channels."""
    with files.open_dataset(path) as opened:
        mean, std = (
            np.concatenate([np.atleast_1d(opened[f"{n}_{what}"].values) for n in layout.variables])
            for what in ("mean", "std")
        )
    fit = mean.shape == std.shape == layout.shape[:1]
    if not (fit and np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise UserError(
            f"{path}: expected {layout.shape[0]} finite means and positive standard deviations; the file is damaged, "
            "copy or train it again"
        )
    return Normalizer(layout, mean, std)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file."""
    try:
        with safe_open(path, framework="numpy") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: {error}; the file is damaged, copy or train it again"
        ) from error


def _half(patterns: np.ndarray) -> np.ndarray:
    """Patterns in half precision; in single where a value is too large for it.

    >>> _half(np.ones(2)).dtype, _half(np.array([1e6])).dtype
    (dtype('float16'), dtype('float32'))
    """
    largest = np.abs(patterns).max(initial=0.0)
    return patterns.astype("float16" if largest < np.finfo("float16").max else "float32")


def _flatten(model: MeanModel, prefix: str) -> dict[str, np.ndarray]:
    """Arrays ``prefix.field`` of a mean model."""
    arrays = {f"{prefix}.{n}": getattr(model, n) for n in FIELDS}
    return arrays | {
        f"{prefix}.offset": model.offset.astype("float32"),
        f"{prefix}.basis": _half(model.basis),
    }


def _read_mean(arrays: Mapping[str, np.ndarray], prefix: str) -> MeanModel:
    """The inverse of :func:`_flatten`; KeyError if an array is missing."""
    return MeanModel(*(arrays[f"{prefix}.{n}"] for n in FIELDS))


def _flatten_spinup(model: SpinupModel) -> dict[str, np.ndarray]:
    """Arrays ``spinup.…`` of the model of initial states."""
    arrays = {f"spinup.{n}": getattr(model, n).astype("float32") for n in ("centre", "features")}
    arrays["spinup.basis"] = _half(model.basis)
    for given, models in model.models.items():
        for i, at in enumerate(models):
            prefix = f"spinup.{given}.{i}"
            for name in PROCESSES:
                arrays |= _flatten(getattr(at, name), f"{prefix}.{name}")
            arrays |= {
                f"{prefix}.features_centre": at.centre,
                f"{prefix}.features_scale": np.array([at.scale]),
                f"{prefix}.weights": at.weights,
            }
    return arrays


def _read_spinup(arrays: Mapping[str, np.ndarray], layout: Layout, ages: tuple[float, ...]) -> SpinupModel:
    """The inverse of :func:`_flatten_spinup`; KeyError if an array is missing."""
    models = {
        given: tuple(
            AgeModel(
                **{name: _read_mean(arrays, f"spinup.{given}.{i}.{name}") for name in PROCESSES},
                centre=arrays[f"spinup.{given}.{i}.features_centre"],
                scale=float(arrays[f"spinup.{given}.{i}.features_scale"][0]),
                weights=arrays[f"spinup.{given}.{i}.weights"],
            )
            for i in range(len(ages))
        )
        for given in ("state", "both")
    }
    centre, basis, features = (arrays[f"spinup.{n}"] for n in ("centre", "basis", "features"))
    return SpinupModel(layout, np.array(ages), centre, basis, features, models)


def _require(arrays: Mapping[str, np.ndarray], config: SavedConfig, layout: Layout, path: Path) -> None:
    """Refuse arrays that are not finite, or of another shape than the others ask for; what is missing is not missed here."""
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
    for name, quantity in QUANTITIES.items():
        values = int((quantity.weights(layout.grid) > 0).sum())
        yield from _mean(name, values, "input")
        yield f"{name}.scale", (quantity.scales,)
        yield f"{name}.residuals", (f"{name} snapshot", values)
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
