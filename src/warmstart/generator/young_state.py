"""The mean m(parameters, initial state): what a spin-up that has only begun says about the equilibrium it is heading for.

Training pairs are the members' own transients. For each of a few ages, every member's transient (interpolated in the
logarithm of the age) gives three corrections of the mean that knows no state:

* ``local``: the state's departure from what was expected at this age, at the same place;
* ``increment``: state + Gaussian process of what is still to come;
* ``joint``: Gaussian process of the equilibrium itself.

Both processes depend on the leading modes of the state, and on the parameters where these are given. The corrections are
weighted, variable by variable and level by level, by non-negative least squares on predictions of left-out members (stacked
regression, Breiman 1996): near the surface a young state already is the equilibrium, in the deep ocean it says little.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from warmstart.regression.layout import Layout
from warmstart.regression.mean import MeanModel, eofs, fit, folds
from warmstart.regression.normalizer import Normalizer
from warmstart.store import reader

#: Leading modes of the state that the processes depend on.
FEATURES = 8
#: Corrections of the mean, in the order of the weights.
CORRECTIONS = ("local", "increment", "joint")
#: Ridge of the stacking weights, as a share of the largest correction.
RIDGE = 0.02
#: Scaled parameters span -0.5 to 0.5; the leading mode of the states is scaled to the same standard deviation.
SPREAD = 12**-0.5

log = logging.getLogger(__name__)

#: At most so many ages are learned from.
AGES = 6
#: A year counts as an age where so large a share of the members has a snapshot of it.
SHARE = 0.8
#: Fewer members with transients than this teach nothing.
FEWEST = 3


@dataclass(frozen=True, eq=False)
class AgeModel:
    """The corrections at one age, in the space of the training states' modes.

    Attributes
    ----------
    expected : state at this age.
    increment : equilibrium minus state.
    joint : equilibrium.
    centre, scale : of the features, ``(feature,)`` and a number.
    weights : of the corrections, ``(correction, channel)``.
    """

    expected: MeanModel
    increment: MeanModel
    joint: MeanModel
    centre: np.ndarray
    scale: float
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class SpinupModel:
    """Equilibrium from a state on the way to it, with or without the parameters.

    Attributes
    ----------
    layout : the channels.
    ages : years since the start of the spin-up, ascending, ``(age,)``.
    centre : mean of the training states, ``(wet,)``, standardised units.
    basis : modes of equilibria and transients, ``(mode, wet)``, orthonormal in the volume weights.
    features : leading modes of the transients with all levels weighted alike, ``(feature, wet)``: the weighted patterns that
        a state is multiplied with.
    models : for each case, ``state`` or ``both``, one model an age.
    """

    layout: Layout
    ages: np.ndarray
    centre: np.ndarray
    basis: np.ndarray
    features: np.ndarray
    models: dict[str, tuple[AgeModel, ...]]

    def guess_age(self, state: np.ndarray) -> float:
        """Years of spin-up that a standardised state ``(wet,)`` looks like, within the ages of training.

        The mean logarithm of the ages, weighted with the probability of the state's features among the training states of
        each (independent t distributions).
        """
        models, seen = next(iter(self.models.values())), self.features @ state
        score = np.zeros(len(models))
        for a, model in enumerate(models):
            training = model.joint.inputs[:, -len(seen) :]
            members = len(training)
            spread = np.maximum(np.sqrt((training**2).mean(0)), 1e-6)
            square = (_scaled(seen, model.centre, model.scale) / spread) ** 2
            score[a] = -(0.5 * members * np.log1p(square / members) + np.log(spread * model.scale)).sum()
        probability = np.exp(score - score.max())
        return float(np.exp((probability * np.log(self.ages)).sum() / probability.sum()))

    def outside(self, state: np.ndarray, age: float) -> float:
        """How far a state lies outside the training states of its age: 1 is at the edge of their leading modes."""
        index = max(_bracket(self.ages, age), key=lambda pair: pair[1])[0]
        model = next(iter(self.models.values()))[index]
        training = model.joint.inputs[:, -len(model.centre) :]
        known = _scaled(self.features @ state, model.centre, model.scale)
        return float((np.abs(known) / np.maximum(np.abs(training).max(0), 1e-12)).max())

    def predict(
        self, base: np.ndarray, inputs: np.ndarray, state: np.ndarray, age: float, case: str
    ) -> tuple[np.ndarray, float]:
        """Predict the equilibrium of one state.

        Parameters
        ----------
        base : mean without the state, ``(wet,)``, standardised units.
        inputs : scaled parameters, ``(parameter,)``; not looked at in the case ``state``.
        state : ``(wet,)``, standardised units.
        age : its years of spin-up; between the ages of training predictions are interpolated in the logarithm.
        case : ``state`` or ``both``.

        Returns
        -------
        mean : ``(wet,)``, standardised units.
        spread : predictive standard deviation of the increment, standardised units.
        """
        mean, spread = np.zeros_like(base), 0.0
        for index, share in _bracket(self.ages, age):
            model = self.models[case][index]
            parts, std = self.corrections(model, base, inputs if case == "both" else inputs[:0], state)
            mean += share * _combine(base, parts, model.weights, self.layout)
            spread += share * std
        return mean, spread

    def corrections(
        self, model: AgeModel, base: np.ndarray, inputs: np.ndarray, state: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The corrections ``(correction, wet)`` of one state at one age, and the spread of the increment."""
        known = np.concatenate([inputs, _scaled(self.features @ state, model.centre, model.scale)])
        local = state - self._decode(model.expected.predict(inputs))
        coming, variance = model.increment.coefficients_at(known)
        change = model.increment.offset + np.einsum("k,kw->w", coming, model.increment.basis)
        increment = state + np.einsum("k,kw->w", change, self.basis) - base
        joint = self._decode(model.joint.predict(known)) - base
        return np.stack([local, increment, joint]), float(np.sqrt(variance.sum()))

    def _decode(self, coefficients: np.ndarray) -> np.ndarray:
        return self.centre + np.einsum("k,kw->w", coefficients, self.basis)


def _scaled(features: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Features in the units of the scaled parameters."""
    return SPREAD * (features - centre) / scale


def _bracket(ages: np.ndarray, age: float) -> list[tuple[int, float]]:
    """Neighbours of an age among those of training, with their shares in the logarithm; the nearest one outside.

    >>> _bracket(np.array([10.0, 1000.0]), 100.0), _bracket(np.array([10.0, 1000.0]), 1.0)
    ([(0, 0.5), (1, 0.5)], [(0, 1.0)])
    """
    place = float(np.interp(np.log(age), np.log(ages), np.arange(len(ages))))
    low = int(place)
    share = round(place - low, 12)
    return [(low, 1.0 - share)] + ([(low + 1, share)] if share > 0 else [])


def _combine(base: np.ndarray, parts: np.ndarray, weights: np.ndarray, layout: Layout) -> np.ndarray:
    """The mean with its weighted corrections ``(correction, wet)``; weights ``(correction, channel)``."""
    return base + np.einsum("cw,cw->w", weights[:, _channel_of(layout)], parts)


def _channel_of(layout: Layout) -> np.ndarray:
    """Channel of each wet value, ``(wet,)``."""
    return np.nonzero(layout.mask)[0]


def fit_spinup(
    equilibrium: np.ndarray, transients: np.ndarray, ages: np.ndarray, inputs: np.ndarray, bases: dict[str, np.ndarray],
    layout: Layout, variance: float = 0.99, model: str = "gaussian-process",
) -> tuple[SpinupModel, dict[str, np.ndarray], dict[str, np.ndarray]]:  # fmt: skip
    """Fit the model, and predict each member by a model that has not seen it.

    Parameters
    ----------
    equilibrium : mean equilibrium of each training member, ``(member, wet)``, standardised units.
    transients : their states at `ages`, ``(age, member, wet)``, standardised units.
    ages : years since the start, ascending.
    inputs : scaled parameters, ``(member, parameter)``.
    bases : for each case, ``state`` and ``both``, the mean without the state for each member by a model that has not seen
        it, ``(member, wet)``.
    layout : the channels.
    variance : share of the variance that modes keep.
    model : as :func:`warmstart.regression.mean.fit`.

    Returns
    -------
    model : of all members.
    predictions : by case, ``(age, member, wet)``, each by models that have not seen the member.
    spreads : by case, ``(age, member)``.
    """
    members, cases = len(equilibrium), tuple(bases)
    raw = {
        case: np.zeros((len(ages), members, len(CORRECTIONS), equilibrium.shape[1]), "float32")
        for case in cases
    }
    spreads = {case: np.zeros((len(ages), members)) for case in cases}
    for fold in folds(members):
        rest = np.setdiff1d(np.arange(members), fold)
        part = _fit(
            equilibrium[rest], transients[:, rest], ages, inputs[rest], cases, layout, variance, model
        )
        for case in cases:
            for a, fitted in enumerate(part.models[case]):
                for i in fold:
                    x = inputs[i] if case == "both" else inputs[i, :0]
                    raw[case][a, i], spreads[case][a, i] = part.corrections(
                        fitted, bases[case][i], x, transients[a, i]
                    )
    whole = _fit(equilibrium, transients, ages, inputs, cases, layout, variance, model)
    predictions, models = {}, {}
    for case in cases:
        residual = equilibrium - bases[case]
        predictions[case] = np.zeros((len(ages), members, equilibrium.shape[1]))
        stacked = []
        for a, fitted in enumerate(whole.models[case]):
            for fold in folds(members):
                # the weights of a member come from the other members too
                rest = np.setdiff1d(np.arange(members), fold)
                weights = stack(raw[case][a, rest], residual[rest], layout, model)
                for i in fold:
                    predictions[case][a, i] = _combine(bases[case][i], raw[case][a, i], weights, layout)
            final = stack(raw[case][a], residual, layout, model)
            stacked.append(replace(fitted, weights=final))
        models[case] = tuple(stacked)
    return replace(whole, models=models), predictions, spreads


def _fit(
    equilibrium: np.ndarray, transients: np.ndarray, ages: np.ndarray, inputs: np.ndarray, cases: tuple[str, ...],
    layout: Layout, variance: float, model: str,
) -> SpinupModel:  # fmt: skip
    """Everything but the weights, which stay 0."""
    weights = layout.to_wet(layout.weights)
    every = np.concatenate([equilibrium[None], transients])
    centre = every.mean((0, 1))
    basis, coefficients, _ = eofs((every - centre).reshape(-1, len(weights)), weights, variance)
    coefficients = coefficients.reshape(*every.shape[:2], -1)
    target, states = coefficients[0], coefficients[1:]
    features = _features(transients, layout)
    seen = np.einsum("amw,fw->amf", transients, features)
    centres = seen.mean(1)
    scales = np.maximum(np.sqrt(((seen - centres[:, None]) ** 2).mean(1).max(-1)), 1e-12)
    ones, models = np.ones(len(basis)), {}
    for case in cases:
        x = inputs if case == "both" else inputs[:, :0]
        fitted = []
        for a in range(len(ages)):
            known = np.concatenate([x, _scaled(seen[a], centres[a], scales[a])], 1)
            fitted.append(
                AgeModel(
                    fit(states[a], x, ones, variance, model, few=True, weigh=False),
                    fit(target - states[a], known, ones, variance, model, few=True, weigh=False),
                    fit(target, known, ones, variance, model, few=True, weigh=False),
                    centres[a],
                    float(scales[a]),
                    np.zeros((len(CORRECTIONS), layout.shape[0])),
                )
            )
        models[case] = tuple(fitted)
    return SpinupModel(layout, np.asarray(ages, float), centre, basis, features, models)


def _features(transients: np.ndarray, layout: Layout) -> np.ndarray:
    """Leading patterns of the transients of all ages, levels weighted alike, times their weights: ``(feature, wet)``."""
    thickness = layout.grid.e3t_1d.values
    levels = [level for _, level in layout.channels]
    weights = layout.to_wet(layout.weights) / thickness[levels][_channel_of(layout)]
    weights /= weights.sum()
    anomalies = (transients - transients.mean(1, keepdims=True)).reshape(-1, transients.shape[-1])
    return eofs(anomalies, weights, 1.0)[0][:FEATURES] * weights


def stack(
    parts: np.ndarray, residual: np.ndarray, layout: Layout, model: str = "gaussian-process"
) -> np.ndarray:
    """Non-negative weights of the corrections, channel by channel.

    Parameters
    ----------
    parts : corrections of left-out members, ``(member, correction, wet)``.
    residual : what they should add up to, ``(member, wet)``.
    layout : the channels.
    model : as :func:`fit_spinup`; climatology takes no correction.

    Returns
    -------
    ``(correction, channel)``; a small ridge draws them to 0 where they say the same thing.
    """
    from scipy.optimize import nnls

    root, channels = np.sqrt(layout.to_wet(layout.weights)), _channel_of(layout)
    count, found = parts.shape[1], np.zeros((parts.shape[1], layout.shape[0]))
    for channel in range(layout.shape[0]) if model != "climatology" else ():
        here = channels == channel
        if not here.any():
            continue
        columns = (parts[..., here] * root[here]).transpose(1, 0, 2).reshape(count, -1)
        gram = columns @ columns.T
        gram += RIDGE**2 * max(gram.diagonal().max(), 1e-30) * np.eye(count)
        # least squares by their normal equations: three unknowns, thousands of rows
        factor = np.linalg.cholesky(gram).T
        moment = columns @ (residual[:, here] * root[here]).ravel()
        found[:, channel] = nnls(factor, np.linalg.solve(factor.T, moment))[0]
    return found


def initial_states(
    store: str | Path, normalizer: Normalizer, split: str, members: np.ndarray, ages: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """States of members on the way to equilibrium, at a few ages.

    Parameters
    ----------
    store : a store of states.
    normalizer : of the training states.
    split : of the members.
    members : their numbers, ascending.
    ages : years since the start; None chooses those that most members have snapshots of, or else a few that are spread
        evenly in the logarithm.

    Returns
    -------
    ages : years, ascending; none if the store holds too few transients.
    states : ``(age, member, wet)``, standardised units; between a member's snapshots interpolated in the logarithm of
        the age, outside them the nearest.
    """
    layout = normalizer.layout
    found = reader.read(store, layout, split, "transient")
    usable = np.isfinite(found.year) & (found.year > 0)
    lacking = np.setdiff1d(members, found.member[usable])
    nothing = np.zeros((0, len(members), int(layout.mask.sum())))
    if len(lacking) or not len(members) or (ages is None and len(members) < FEWEST):
        if len(lacking) < len(members):
            log.warning(
                "no initial state is learned from: members %s hold no transient with its year",
                lacking.tolist(),
            )
        return np.zeros(0) if ages is None else ages, nothing
    states = layout.to_wet(normalizer.standardise(found.fields[usable]))
    member, year = found.member[usable], found.year[usable]
    ages = _common_ages(member, year) if ages is None else ages
    series = []
    for m in members:
        order = np.argsort(year[member == m])
        series.append(_at(np.log(ages), np.log(year[member == m][order]), states[member == m][order]))
    return np.asarray(ages, float), np.stack(series, 1)


def _common_ages(member: np.ndarray, year: np.ndarray) -> np.ndarray:
    """Choose the ages to learn from, at most :data:`AGES` years, from member and year of each transient.

    >>> _common_ages(np.array([0, 0, 1, 1]), np.array([10.0, 50.0, 10.0, 50.0])).tolist()
    [10.0, 50.0]
    >>> _common_ages(np.array([0, 0, 1, 1]), np.array([10.0, 90.0, 20.0, 80.0])).tolist()
    [20.0, 40.0, 80.0]
    """
    members = len(np.unique(member))
    years, counts = np.unique(year, return_counts=True)
    common = years[counts >= SHARE * members]
    if len(common) > AGES:
        common = common[np.unique(np.linspace(0, len(common) - 1, AGES).round().astype(int))]
    if len(common):
        return common
    first = max(year[member == m].min() for m in np.unique(member))
    last = max(min(year[member == m].max() for m in np.unique(member)), first)
    return np.unique(np.geomspace(first, last, AGES // 2).round(6))


def _at(wanted: np.ndarray, known: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States ``(age, wet)`` at `wanted`, linear between `known`."""
    place = np.interp(wanted, known, np.arange(len(known)))
    low = np.minimum(place.astype(int), len(known) - 1)
    high = np.minimum(low + 1, len(known) - 1)
    share = (place - low)[:, None]
    return (1 - share) * states[low] + share * states[high]
