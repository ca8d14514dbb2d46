"""What comes before the network: statistics, parts of a state, mean models, cross-fitted residuals and their coordinates."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.errors import UserError
from warmstart.generator import residual, space, young_state
from warmstart.generator.examples import Examples
from warmstart.generator.model import Generator
from warmstart.generator.quantities import QUANTITIES, quantity
from warmstart.generator.residual import Law
from warmstart.generator.settings import (
    ConditionConfig,
    GeneratorConfig,
    ParameterRange,
    SavedConfig,
    own_variables,
)
from warmstart.generator.young_state import fit_spinup
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.season import season
from warmstart.ocean.variables import VARIABLES, carried
from warmstart.regression import mean
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout
from warmstart.regression.mean import Split
from warmstart.regression.normalizer import Normalizer
from warmstart.regression.theory import theory_of
from warmstart.store import reader
from warmstart.store.reader import Snapshots

log = logging.getLogger(__name__)

#: What a store says of its states and a generator repeats.
CARRIED = ("equation_of_state", "equation_of_state_detail", "equilibrium_records")
#: Relative error of the linear map from parameters to forcing profiles above which a warning is given.
FORCING_TOLERANCE = 0.05

TRACERS = ("thetao", "so")
VELOCITIES = ("uo", "vo")
SURFACE = 130.0  #: depth above which restoring says what the water is [m]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that the training of the network needs.

    Attributes
    ----------
    generator : complete but for the network.
    training, validation : snapshots.
    examples, held_out : their residuals, those of training members by models that have not seen them.
    """

    generator: Generator
    training: Snapshots
    validation: Snapshots
    examples: Examples
    held_out: Examples


def prepare(store: str | Path, config: GeneratorConfig) -> Prepared:
    """Fit everything but the network to a store of states.

    Raises
    ------
    UserError
        If the store has fewer than two training members, lacks a parameter or profile that the configuration
        names, or has a mesh of another shape.
    """
    ds = reader.open_store(store)
    layout = Layout(files.open_grid(store), reader.variables_of(ds), carried(ds))
    if config.shape not in (None, layout.grid.shape):
        raise UserError(
            f"{store} has a mesh of {layout.grid.shape} levels, rows and columns; the configuration is for {config.shape}. "
            "Train with the configuration of that mesh, or change 'shape'"
        )
    training, validation = (
        _chosen(reader.read(store, layout, split), config.condition, store)
        for split in ("train", "validation")
    )
    if len(training.members) < 2:
        raise UserError(
            f"{store} has {len(training.members)} training members with equilibrium states; expected at least 2, "
            "better 10: simulate more members, or, of runs of NEMO that are in equilibrium though too short to be judged, say "
            "which records are: 'warmstart dataset … --equilibrium all' or '--equilibrium-from 50y'"
        )
    seen = _ranges(training, reader.declared_ranges(ds))
    config = _with_theory(config, seen)
    _require_varied(config.condition, seen, store)
    normalizer = normalize.fit(training.fields, layout)
    generator, examples = _fit(training, normalizer, seen, store, config)
    origin = {"season": season(training.year, float(ds.attrs.get("mean_years", 0.0)))}
    origin |= {name: str(ds.attrs[name]) for name in CARRIED if name in ds.attrs}
    saved = generator.config.model_copy(update={"store": generator.config.store | origin})
    generator = replace(generator, config=saved)
    left = held_out(generator, training, validation, store)
    return Prepared(generator, training, validation, examples, left)


def _fit(
    training: Snapshots, normalizer: normalize.Normalizer, seen: dict[str, ParameterRange], store: str | Path,
    config: GeneratorConfig,
) -> tuple[Generator, Examples]:  # fmt: skip
    """Mean models, and the laws of what they leave."""
    layout, weights = normalizer.layout, normalizer.layout.to_wet(normalizer.layout.weights)
    ranges, fixed = _of_theory(seen)
    states = layout.to_wet(normalizer.standardise(training.fields))
    inputs = _inputs(training, ranges)
    index = np.searchsorted(training.members, training.member)
    targets = np.stack([states[training.member == m].mean(0) for m in training.members])
    options = (config.mean.variance, config.mean.model)
    known = theory_of(ranges, fixed).extend(inputs) if config.mean.theory else inputs
    weigh = config.mean.relevance
    split = parts(normalizer) if config.mean.parts else None
    model = mean.fit(targets, known, weights, *options, weigh=weigh, split=split)
    crossfitted, spread = mean.crossfit(targets, known, weights, *options, weigh=weigh, split=split)
    means, spreads = {"parameters": crossfitted[None]}, {"parameters": spread[None]}
    spinup, ages, initial = None, np.zeros(0), np.zeros((0, *targets.shape))
    if config.condition.initial_state:
        ages, initial = young_state.initial_states(store, normalizer, "train", training.members)
        if len(ages):
            unconditional = (targets.sum(0) - targets) / (len(targets) - 1)
            bases = {"state": unconditional, "both": crossfitted}
            spinup, predictions, increments = fit_spinup(
                targets, initial, ages, known, bases, layout, model=config.mean.model
            )
            means, spreads = means | predictions, spreads | increments
    references = {given: float(np.sqrt((s**2).mean())) for given, s in spreads.items()}
    relative = {g: s / references[g] if references[g] > 0 else np.ones_like(s) for g, s in spreads.items()}
    examples = Examples(
        states, index, inputs, training.first(_profiles(training, training)), ages, initial, means, relative
    )
    laws = _laws(examples, layout, references, config)
    saved = _saved(store, config, layout, seen, training, tuple(training.forcing), ages, laws)
    profiles = _forcing(training, inputs)
    quantities = {}
    for name in (n for n, share in config.quantities.items() if share):
        fitted = quantity.fit(QUANTITIES[name], states, index, known, normalizer, weigh, config.mean.model)
        if fitted is not None:
            quantities[name] = fitted
    return Generator(saved, layout, normalizer, model, spinup, laws, profiles, None, quantities), examples


def _laws(
    examples: Examples, layout: Layout, references: dict[str, float], config: GeneratorConfig
) -> dict[str, Law]:
    """Coordinates and amplitude of the residual for each of what may be given."""
    coordinates = space.fit({g: examples.residuals(g) for g in examples.means}, layout, config.residual)
    laws = {}
    for given, found in coordinates.items():
        amplitude = config.residual.amplitude
        if amplitude == "calibrated":
            amplitude = residual.calibrate(examples.member_residuals(given), layout, config.residual)
        laws[given] = Law(found, references[given], amplitude)
    return laws


def held_out(generator: Generator, training: Snapshots, validation: Snapshots, store: str | Path) -> Examples:
    """Residuals of the validation members about the mean models of the training members."""
    layout, normalizer = generator.layout, generator.normalizer
    states = layout.to_wet(normalizer.standardise(validation.fields))
    members = validation.members
    inputs = _inputs(validation, generator.ranges)
    ages, initial = np.zeros(0), np.zeros((0, len(members), states.shape[1]))
    if generator.spinup is not None:
        ages = generator.spinup.ages
        initial = young_state.initial_states(store, normalizer, "validation", members, ages)[1]
    means, relative = {}, {}
    for given, law in generator.laws.items():
        if given != "parameters" and not len(initial):
            continue  # these members hold no transients
        shape = (1 if given == "parameters" else len(ages), len(members))
        means[given], relative[given] = np.zeros((*shape, states.shape[1])), np.ones(shape)
        for a, m in np.ndindex(shape):
            state = None if given == "parameters" else (initial[a, m], float(ages[a]))
            known = None if given == "state" else inputs[m]
            means[given][a, m], spread = generator.predict(known, state)
            relative[given][a, m] = law.relative(spread)
    index = np.searchsorted(members, validation.member)
    profiles = validation.first(_profiles(validation, training))
    return Examples(states, index, inputs, profiles, ages, initial, means, relative)


def _chosen(snapshots: Snapshots, condition: ConditionConfig, store: str | Path) -> Snapshots:
    """The snapshots with the parameters and profiles that the configuration names."""
    values, forcing = snapshots.values, snapshots.forcing
    for what, held in (("parameters", values), ("forcing", forcing)):
        if missing := [n for n in getattr(condition, what) or () if n not in held]:
            raise UserError(
                f"condition.{what} names {', '.join(missing)}, which {store} does not hold; "
                f"it holds {', '.join(held) or 'none'}"
            )
    if condition.parameters is not None:
        # a profile of the forcing tells the parameter that made it
        values = {n: values[n] for n in condition.parameters}
        forcing = forcing if condition.parameters else {}
    if condition.forcing is not None:
        forcing = {n: snapshots.forcing[n] for n in condition.forcing}
    return replace(snapshots, values=values, forcing=forcing)


def _inputs(snapshots: Snapshots, ranges: dict[str, tuple[float, float]]) -> np.ndarray:
    """Scaled parameters of each member, ``(member, parameter)``."""
    if not ranges:
        return np.zeros((len(snapshots.members), 0))
    return snapshots.first(parameters.scaled(snapshots.values, ranges))


def _with_theory(config: GeneratorConfig, seen: dict[str, ParameterRange]) -> GeneratorConfig:
    """The same, without theory where it says nothing of these parameters."""
    if not config.mean.theory:
        return config
    try:
        theory_of(*_of_theory(seen))
    except UserError as error:
        log.warning("%s; the mean is fitted without (mean.theory)", error)
        return config.model_copy(update={"mean": config.mean.model_copy(update={"theory": False})})
    return config


def _of_theory(
    seen: dict[str, ParameterRange],
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Ranges of the parameters that vary, and values of the others."""
    ranges = {n: (p.low, p.high) for n, p in seen.items() if p.varies}
    return ranges, {n: p.low for n, p in seen.items() if not p.varies}


def _require_varied(condition: ConditionConfig, seen: dict[str, ParameterRange], store: str | Path) -> None:
    """Refuse a named parameter that is the same in all members: nothing can be learned of it."""
    same = [n for n in condition.parameters or () if not seen[n].varies]
    if same:
        raise UserError(
            f"condition.parameters names {', '.join(same)}, the same in all training members of {store}; "
            "leave it out, or simulate members that vary it"
        )


def _ranges(training: Snapshots, declared: dict[str, tuple[float, float]]) -> dict[str, ParameterRange]:
    """What training sees of each parameter; the box of the plan where the store declares it."""
    seen = {}
    for name, values in training.values.items():
        low, high = float(values.min()), float(values.max())
        varies = high - low > 1e-9 * max(abs(low), abs(high))
        if varies and name in declared:
            low, high = min(low, declared[name][0]), max(high, declared[name][1])
        p = training.described[name]
        mine: dict[str, Any] = {} if name in parameters.PARAMETERS else {
            "description": p.description, "namelist": "/".join(p.namelist or ()),
            "default": None if np.isnan(p.default) else p.default,
        }  # fmt: skip
        seen[name] = ParameterRange(
            low=low, high=high if varies else low, units=p.units, varies=varies, **mine
        )
    return seen


def _profiles(snapshots: Snapshots, training: Snapshots) -> np.ndarray:
    """Forcing profiles ``(sample, forcing, y)``, standardised over the training members."""
    standard = []
    for name, known in training.forcing.items():
        mean, std = float(known.mean()), float(known.std())
        standard.append((snapshots.forcing[name] - mean) / (std if std > 1e-9 * abs(mean) else 1.0))
    return np.stack(standard, 1) if standard else np.zeros((len(snapshots), 0, training.fields.shape[2]))


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
    training: Snapshots, forcing: tuple[str, ...], ages: np.ndarray, laws: dict[str, Law],
) -> SavedConfig:  # fmt: skip
    """The configuration to store, without scores."""
    about, year, drift = layout.grid.ds.attrs, training.year, training.drift
    dated, judged = np.isfinite(year).all(), np.isfinite(drift).all()
    origin: dict[str, Any] = {
        "name": Path(store).name,
        "digest": training.digest(),
        "engine": str(about.get("engine", "unknown")),
        "configuration": str(about.get("configuration", "unknown")),
        "resolution": float(about.get("resolution", np.nan)),
        "years": [float(year.min()), float(year.max())] if dated else None,
        "drift_K_per_century": [float(d) for d in training.first(drift)] if judged else None,
    }
    provenance = files.provenance()
    return SavedConfig(
        warmstart_version=provenance["warmstart_version"], created=provenance["created"], store=origin,
        grid_fingerprint=layout.grid.fingerprint, variables=layout.variables, own_variables=own_variables(layout.tables), parameters=seen, forcing=forcing,
        ages=tuple(float(a) for a in ages), training_members=tuple(int(m) for m in training.members),
        amplitude={given: float(law.amplitude) for given, law in laws.items()}, scores={}, config=config,
    )  # fmt: skip


def parts(normalizer: Normalizer) -> Split:
    """Make the function that splits standardised anomalies into their parts.

    Parameters
    ----------
    normalizer : of the states, with their layout.

    Returns
    -------
    Function of anomalies ``(sample, wet)``, standardised units: depth mean of the velocities; temperature and salinity above
    130 m; the water below with the flow about its depth mean and sea level. Each has the shape of the anomalies, they sum to them, and where the flow has no
    divergence none of them has; a part without variables is left out.

    Examples
    --------
    >>> from warmstart.regression import normalizer as normalize
    >>> from warmstart.regression.layout import Layout
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=8)
    >>> layout = Layout(grid)
    >>> normalizer = normalize.fit(layout.pack(state), layout)
    >>> anomalies = layout.to_wet(normalizer.standardise(layout.pack(state)))
    >>> split = parts(normalizer)(anomalies)
    >>> len(split), bool(np.allclose(sum(split), anomalies))
    (3, True)
    """
    layout = normalizer.layout
    near = layout.grid.gdept_1d.values < SURFACE
    surface = np.array([name in TRACERS and bool(near[level]) for name, level in layout.channels])
    above = layout.to_wet(np.broadcast_to(surface[:, None, None], layout.shape)) > 0

    def split(anomalies: np.ndarray) -> list[np.ndarray]:
        water = np.where(above, anomalies, 0.0)
        flow = _depth_mean(anomalies, normalizer)
        return [part for part in (flow, water, anomalies - flow - water) if part.any()] or [anomalies]

    return split


def _depth_mean(anomalies: np.ndarray, normalizer: Normalizer) -> np.ndarray:
    """The depth mean of the velocities, at every level, in standardised units; zero elsewhere."""
    layout = normalizer.layout
    maps = layout.from_wet(anomalies)
    found = np.zeros_like(maps)
    for name in (n for n in VELOCITIES if n in layout.slices):
        channels = layout.slices[name]
        mask, std = layout.mask[channels], normalizer.std[channels, None, None]
        thickness = layout.grid.ds[f"e3{VARIABLES[name].point.lower()}_0"].values * mask
        transport = np.einsum("szyx,zyx->syx", maps[:, channels] * std, thickness)
        mean = transport / np.maximum(thickness.sum(0), np.finfo(float).tiny)
        found[:, channels] = np.where(mask, mean[:, None] / std, 0.0)
    return layout.to_wet(found)
