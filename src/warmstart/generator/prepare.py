"""What comes before the network: statistics, mean model, cross-fitted residuals and their coordinates."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import files, parameters
from warmstart.data import batches, normalize
from warmstart.data.batches import Snapshots, scaled
from warmstart.data.layout import Layout
from warmstart.errors import UserError
from warmstart.generator import mean, residual
from warmstart.generator.checkpoint import Generator
from warmstart.generator.config import GeneratorConfig, ParameterRange, SavedConfig

log = logging.getLogger(__name__)

#: Relative error of the linear map from parameters to forcing profiles above which a warning is given.
FORCING_TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class Examples:
    """Residuals of one split in the coordinates of the network.

    Attributes
    ----------
    latents : ``(sample, *shape)``.
    inputs : scaled parameters, ``(sample, parameter)``.
    forcing : standardised profiles, ``(sample, forcing, y)``.
    """

    latents: np.ndarray
    inputs: np.ndarray
    forcing: np.ndarray


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that the training of the network needs.

    Attributes
    ----------
    generator : complete but for the network.
    training, validation : snapshots.
    examples, held_out : their residuals.
    crossfitted : prediction of each training member by a model that has not seen it, ``(member, wet)``.
    """

    generator: Generator
    training: Snapshots
    validation: Snapshots
    examples: Examples
    held_out: Examples
    crossfitted: np.ndarray


def prepare(store: str | Path, config: GeneratorConfig) -> Prepared:
    """Fit everything but the network.

    Parameters
    ----------
    store : a store of states.
    config : the configuration.

    Returns
    -------
    What the training of the network needs.

    Raises
    ------
    UserError
        If the store has fewer than two training members.
    """
    ds = batches.open_store(store)
    layout = Layout(files.open_grid(store))
    training, validation = (batches.read(store, layout, split) for split in ("train", "validation"))
    if len(training.members) < 2:
        raise UserError(
            f"{store} has {len(training.members)} training members with equilibrium states; expected at least 2, "
            "better 10: simulate more members"
        )
    seen = _ranges(training, batches.declared_ranges(ds))
    ranges = {n: (p.low, p.high) for n, p in seen.items() if p.varies}
    normalizer = normalize.fit(training.fields, layout)
    states = layout.to_wet(normalizer.standardise(training.fields))
    inputs = scaled(training.values, ranges)
    weights = layout.to_wet(layout.weights)
    member_states = np.stack([states[training.member == m].mean(0) for m in training.members])
    member_inputs = training.first(inputs)
    model = mean.fit(member_states, member_inputs, weights, config.mean.variance)
    crossfitted, spread = mean.crossfit(member_states, member_inputs, weights, config.mean.variance)
    reference = float(np.sqrt((spread**2).mean()))
    index = np.searchsorted(training.members, training.member)
    relative = (spread / reference if reference > 0 else np.ones_like(spread))[index]
    residuals = (states - crossfitted[index]) / relative[:, None]
    coordinates = residual.fit(residuals, layout, config.residual)
    amplitude = config.residual.amplitude
    if amplitude == "calibrated":
        amplitude = residual.calibrate(residuals, training.member, layout, config.residual)
    profiles = _forcing(training, member_inputs)
    saved = _saved(store, config, layout, seen, training, tuple(training.forcing), amplitude)
    generator = Generator(saved, layout, normalizer, model, coordinates, reference, profiles, None)
    return Prepared(
        generator, training, validation,
        Examples(coordinates.encode(residuals), inputs, _profiles(training, training)),
        held_out(generator, training, validation), crossfitted,
    )  # fmt: skip


def held_out(generator: Generator, training: Snapshots, validation: Snapshots) -> Examples:
    """Residuals of the validation members about the mean model of the training members."""
    inputs = scaled(validation.values, generator.ranges)
    states = generator.layout.to_wet(generator.normalizer.standardise(validation.fields))
    latents = np.zeros((len(validation), *generator.coordinates.shape))
    for i, (state, x) in enumerate(zip(states, inputs, strict=True)):
        reference = generator.reference_spread
        relative = generator.mean.spread(x) / reference if reference > 0 else 1.0
        latents[i] = generator.coordinates.encode((state - generator.mean.predict(x)) / max(relative, 1e-6))
    return Examples(latents, inputs, _profiles(validation, training))


def _ranges(training: Snapshots, declared: dict[str, tuple[float, float]]) -> dict[str, ParameterRange]:
    """What training sees of each parameter; the box of the plan where the store declares it."""
    seen = {}
    for name, values in training.values.items():
        low, high = float(values.min()), float(values.max())
        varies = high - low > 1e-9 * max(abs(low), abs(high))
        if varies and name in declared:
            low, high = min(low, declared[name][0]), max(high, declared[name][1])
        seen[name] = ParameterRange(
            low=low, high=high if varies else low, units=parameters.get(name).units, varies=varies
        )
    return seen


def _statistics(training: Snapshots) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each forcing profile over the training members."""
    return {n: (float(v.mean()), float(v.std()) or 1.0) for n, v in training.forcing.items()}


def _profiles(snapshots: Snapshots, training: Snapshots) -> np.ndarray:
    """Standardised forcing profiles ``(sample, forcing, y)``."""
    statistics = _statistics(training)
    rows = training.fields.shape[2]
    standard = [(snapshots.forcing[n] - m) / s for n, (m, s) in statistics.items()]
    return np.stack(standard, 1) if standard else np.zeros((len(snapshots), 0, rows))


def _forcing(training: Snapshots, inputs: np.ndarray) -> np.ndarray:
    """Linear map from scaled parameters to standardised profiles, by least squares over the members."""
    target = training.first(_profiles(training, training))
    design = np.column_stack([np.ones(len(inputs)), inputs])
    flat = np.linalg.lstsq(design, target.reshape(len(target), -1), rcond=None)[0]
    error = np.abs(design @ flat - target.reshape(len(target), -1)).max(initial=0.0)
    if error > FORCING_TOLERANCE:
        log.warning(
            "the forcing profiles are no linear function of the parameters: error %.2g of their standard deviation",
            error,
        )
    return flat.reshape(design.shape[1], *target.shape[1:])


def _saved(
    store: str | Path, config: GeneratorConfig, layout: Layout, seen: dict[str, ParameterRange],
    training: Snapshots, forcing: tuple[str, ...], amplitude: float,
) -> SavedConfig:  # fmt: skip
    """The configuration to store, without scores."""
    origin: dict[str, Any] = {
        "name": Path(store).name,
        "digest": training.digest(),
        "engine": str(layout.grid.ds.attrs.get("engine", "unknown")),
        "configuration": str(layout.grid.ds.attrs.get("configuration", "unknown")),
        "resolution": float(layout.grid.ds.attrs.get("resolution", np.nan)),
        "years": [float(np.nanmin(training.year)), float(np.nanmax(training.year))]
        if _known(training.year)
        else None,
        "drift_K_per_century": [float(d) for d in training.first(training.drift)]
        if _known(training.drift)
        else None,
    }
    provenance = files.provenance()
    return SavedConfig(
        warmstart_version=provenance["warmstart_version"], created=provenance["created"], store=origin,
        grid_fingerprint=layout.grid.fingerprint, variables=layout.variables, parameters=seen, forcing=forcing,
        training_members=tuple(int(m) for m in training.members), amplitude=float(amplitude), scores={}, config=config,
    )  # fmt: skip


def _known(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())
