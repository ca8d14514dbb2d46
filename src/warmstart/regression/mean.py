"""The mean m(parameters): empirical orthogonal functions and a Gaussian process for each of their coefficients.

A member's standardised mean state is ``offset + sum_k c_k basis_k``; each coefficient, divided by its standard deviation,
is a Gaussian process of the P scaled parameters x (Rasmussen and Williams 2006, chapter 2) with the covariance

    k(x, x') = linear 12/P x . x' + smooth exp(-|x - x'|^2 / (2 P length^2)) + noise delta(x, x')

(:mod:`warmstart.regression.gaussian_process`). Before that the parameters are multiplied by their relevance
(:mod:`warmstart.regression.gaussian_process`). A state may be split into parts that sum to it, each with functions and relevances of
its own: winds make the gyres and restoring the surface water, and one set of factors cannot say both. With a few dozen members the likelihood has several maxima, and the best one predicts
left-out members badly. The four hyper-parameters are therefore not optimised but averaged over: predictions for every row of a
fixed table, weighted with its posterior probability under weak log-normal priors. No random start: equal data give equal models.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from warmstart.errors import UserError
from warmstart.regression.gaussian_process import covariance, relevance

#: Splits states ``(member, wet)`` into parts of the same shape that sum to them, linearly.
Split: TypeAlias = Callable[[np.ndarray], Sequence[np.ndarray]]
#: Hyper-parameters that are averaged over: linear variance, smooth variance, length, noise variance.
_TRIED = (
    (0.0, 0.1, 0.3, 1.0, 3.0),
    (0.0, 0.1, 0.3, 1.0, 3.0),
    (0.5, 1.0, 2.0, 4.0),
    (3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0),
)
CANDIDATES = np.array([row for row in itertools.product(*_TRIED) if row[0] + row[1] > 0])
#: What each model averages over: ridge regression is the linear process; climatology knows no inputs, and needs none.
MODELS = {"gaussian-process": CANDIDATES, "ridge": CANDIDATES[CANDIDATES[:, 1] == 0]}
#: A tenth of the candidates, for models of which many are fitted.
FEW = {
    model: table[
        np.isin(table[:, 0], (0.0, 0.3, 3.0))
        & np.isin(table[:, 1], (0.0, 0.1, 1.0))
        & np.isin(table[:, 2], (1.0, 4.0))
        & np.isin(table[:, 3], (3e-3, 3e-2, 0.3))
    ]
    for model, table in MODELS.items()
}
#: Median and variance of the logarithm of the priors of linear, smooth and noise variance.
PRIORS = ((0, 1.0, 2.0), (1, 0.3, 4.0), (3, 0.1, 2.0))
#: Candidates that are less probable than this for every mode are dropped.
NEGLIGIBLE = 1e-6
#: Cross-fitting leaves one member out up to so many members, and larger groups beyond.
FOLDS = 16


@dataclass(frozen=True, eq=False)
class MeanModel:
    """Equilibrium mean state as a function of the parameters, on wet values in standardised units.

    Attributes
    ----------
    offset : mean over the training members, ``(wet,)``.
    basis : empirical orthogonal functions, ``(mode, wet)``, orthonormal in the volume weights within a part of the state.
    coefficients : of the training members, ``(member, mode)``.
    inputs : scaled parameters of the training members, ``(member, parameter)``, -0.5 to 0.5 across the range.
    relevance : factor of each parameter in each part of the state, ``(part, parameter)``.
    part : which part each mode belongs to, ``(mode,)``.
    candidates : hyper-parameters, ``(candidate, 4)``, as :data:`CANDIDATES`.
    posterior : probability of each candidate for each mode, ``(candidate, mode)``.
    """

    offset: np.ndarray
    basis: np.ndarray
    coefficients: np.ndarray
    inputs: np.ndarray
    relevance: np.ndarray
    part: np.ndarray
    candidates: np.ndarray
    posterior: np.ndarray

    def coefficients_at(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict the coefficients for one set of parameters.

        Parameters
        ----------
        inputs : scaled parameters, ``(parameter,)``.

        Returns
        -------
        mean, variance : ``(mode,)`` each; the variance is that of the process without noise, averaged over the
            candidates, plus the variance of their means.
        """
        if not any((self.inputs * factors).any() for factors in self.relevance):
            # nothing to go by: the mean of the members, and their spread
            members = len(self.coefficients)
            spread = (self.coefficients**2).sum(0) * (1 + 1 / members) / max(members - 1, 1)
            return np.zeros(len(self.basis)), spread
        mean, variance = np.zeros(len(self.basis)), np.zeros(len(self.basis))
        for part, factors in enumerate(self.relevance):
            own = self.part == part
            mean[own], variance[own] = _predicted(
                self.inputs * factors, self.coefficients[:, own], self.candidates, self.posterior[:, own],
                (inputs * factors)[None],
            )  # fmt: skip
        return mean, variance

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predict the mean state for one set of parameters.

        Parameters
        ----------
        inputs : scaled parameters, ``(parameter,)``.

        Returns
        -------
        ``(wet,)``, standardised units.
        """
        # einsum and not @: its order of summation depends on no number of threads
        return self.offset + np.einsum("k,kw->w", self.coefficients_at(inputs)[0], self.basis)

    def left_out(self) -> np.ndarray:
        """Residuals of the training members from what the others predict, hyper-parameters and relevance as they are.

        Returns
        -------
        ``(member, wet)``, standardised units.

        Notes
        -----
        Rasmussen and Williams (2006), eq. 5.12.
        """
        members = len(self.coefficients)
        residuals = np.zeros_like(self.coefficients)
        for part, factors in enumerate(self.relevance):
            own, seen = self.part == part, self.inputs * factors
            inverse = np.linalg.inv(_noisy(seen, self.candidates))
            each = inverse @ self.coefficients[:, own] / np.diagonal(inverse, axis1=1, axis2=2)[..., None]
            residuals[:, own] = np.einsum("ck,cik->ik", self.posterior[:, own], each)
        # the offset too is the mean of the others
        return np.asarray(residuals @ self.basis * members / max(members - 1, 1))

    def spread(self, inputs: np.ndarray) -> float:
        """Predictive standard deviation of the state: root of its volume-weighted mean square, standardised units."""
        return float(np.sqrt(self.coefficients_at(inputs)[1].sum()))


def _predicted(
    seen: np.ndarray, coefficients: np.ndarray, table: np.ndarray, posterior: np.ndarray, here: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the coefficients of one part at the inputs `here`, ``(1, parameter)``."""
    cross = covariance(here, seen, table)[:, 0]
    own = covariance(here, here, table)[:, 0, 0]
    try:
        solved = np.linalg.solve(_noisy(seen, table), cross[..., None])[..., 0]
    except np.linalg.LinAlgError as error:
        raise UserError(
            "the regression of this generator has no solution: its weights are damaged; take another copy"
        ) from error
    each = np.einsum("ci,ik->ck", solved, coefficients)
    mean = np.einsum("ck,ck->k", posterior, each)
    own = np.maximum(own - np.einsum("ci,ci->c", cross, solved), 0.0)
    within = np.einsum("ck,c->k", posterior, own) * _scale(coefficients) ** 2
    return mean, within + np.einsum("ck,ck->k", posterior, (each - mean) ** 2)


def _noisy(inputs: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Covariance of members with its noise, ``(candidate, member, member)``."""
    return covariance(inputs, inputs, table) + table[:, 3, None, None] * np.eye(len(inputs))


def _scale(coefficients: np.ndarray) -> np.ndarray:
    """Root mean square of each mode's coefficients, 1 where they vanish: ``(mode,)``."""
    scale = np.sqrt((coefficients**2).mean(0))
    return np.where(scale > 0, scale, 1.0)


def _posterior(inputs: np.ndarray, coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Probability of each candidate for each mode: marginal likelihood times prior, ``(candidate, mode)``."""
    target = coefficients / _scale(coefficients)
    factor = np.linalg.cholesky(_noisy(inputs, table))
    half = np.linalg.solve(factor, np.broadcast_to(target, (len(table), *target.shape)))
    determinant = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(-1)
    prior = sum(-0.5 * np.log((table[:, i] + 1e-3) / m) ** 2 / variance for i, m, variance in PRIORS)
    log_posterior = -0.5 * (half**2).sum(1) - determinant[:, None] + np.asarray(prior)[:, None]
    probability = np.exp(log_posterior - log_posterior.max(0))
    return probability / probability.sum(0)


def eofs(
    states: np.ndarray, weights: np.ndarray, variance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Empirical orthogonal functions by a volume-weighted singular value decomposition.

    Parameters
    ----------
    states : anomalies, ``(sample, wet)``, standardised units; their mean is not removed.
    weights : share of each wet value, ``(wet,)``, sum 1.
    variance : share of the weighted variance to keep, 0 to 1.

    Returns
    -------
    basis : ``(mode, wet)``, orthonormal in the weights, largest first.
    coefficients : ``(sample, mode)``.
    kept : variance of each mode, ``(mode,)``: mean square of its coefficients.
    """
    root = np.sqrt(weights)
    weighted = states * root
    if not np.isfinite(weighted).all():
        found = "what is to be decomposed holds numbers that are not finite"
        raise UserError(f"{found}: states or mesh are damaged; make the store again")
    left, values, right = np.linalg.svd(weighted, full_matrices=False)
    share = np.cumsum(values**2) / max(np.sum(values**2), np.finfo(float).tiny)
    rank = int(np.sum(values > 1e-7 * values[0])) if values[0] > 0 else 0
    modes = max(1, min(rank, int(np.searchsorted(share, variance - 1e-12)) + 1))
    # the sign of a singular vector is arbitrary: fix it, so that equal data give equal files
    sign = np.sign(right[np.arange(modes), np.abs(right[:modes]).argmax(1)])
    coefficients = left[:, :modes] * values[:modes] * sign
    basis = np.divide(right[:modes] * sign[:, None], root, out=np.zeros_like(right[:modes]), where=root > 0)
    return basis, coefficients, (coefficients**2).mean(0)


def fit(
    states: np.ndarray,
    inputs: np.ndarray,
    weights: np.ndarray,
    variance: float = 0.999,
    model: str = "gaussian-process",
    few: bool = False,
    weigh: bool = True,
    split: Split | None = None,
) -> MeanModel:
    """Fit the mean model to the member means.

    Parameters
    ----------
    states : mean state of each training member, ``(member, wet)``, standardised units.
    inputs : their scaled parameters, ``(member, parameter)``.
    weights : share of each wet value, ``(wet,)``.
    variance : share of the variance between members that the modes keep.
    model : ``gaussian-process``, ``ridge`` (linear in the inputs) or ``climatology`` (ignores them).
    few : whether to average over a tenth of the hyper-parameters only.
    weigh : whether a Gaussian process weighs its inputs by their relevance.
    split : splits anomalies into parts that are regressed on their own; None: there is one part.

    Examples
    --------
    >>> x = np.linspace(-0.5, 0.5, 9)[:, None]
    >>> model = fit(x @ np.array([[1.0, 2.0]]), x, np.array([0.5, 0.5]))
    >>> model.predict(np.array([0.2])).round(2).tolist()
    [0.2, 0.4]
    """
    offset = states.mean(0)
    table = (FEW if few else MODELS).get(model, CANDIDATES[:1])
    found, factors, posteriors = [], [], []
    for anomalies in [states - offset] if split is None else split(states - offset):
        found.append(eofs(anomalies, weights, variance)[:2])
        weighed = model == "gaussian-process" and weigh
        # climatology asks nothing of its inputs
        plain = np.full(inputs.shape[1], float(model != "climatology"))
        factors.append(relevance(inputs, found[-1][1]) if weighed else plain)
        posteriors.append(_posterior(inputs * factors[-1], found[-1][1], table))
    posterior = np.concatenate(posteriors, 1)
    used = posterior.max(1) > NEGLIGIBLE
    return MeanModel(
        offset, np.concatenate([basis for basis, _ in found]), np.concatenate([c for _, c in found], 1), inputs,
        np.stack(factors), np.repeat(np.arange(len(found)), [len(basis) for basis, _ in found]),
        table[used], posterior[used],
    )  # fmt: skip


def crossfit(
    states: np.ndarray, inputs: np.ndarray, weights: np.ndarray, *options: Any, **named: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each training member by a model that has not seen it.

    Parameters
    ----------
    states, inputs, weights, options, named : as :func:`fit`.

    Returns
    -------
    predictions : ``(member, wet)``, standardised units.
    spread : predictive standard deviation of each, ``(member,)``.
    """
    members = len(states)
    predictions, spread = np.zeros_like(states), np.zeros(members)
    for fold in folds(members):
        rest = np.setdiff1d(np.arange(members), fold)
        fitted = fit(states[rest], inputs[rest], weights, *options, **named)
        for i in fold:
            predictions[i], spread[i] = fitted.predict(inputs[i]), fitted.spread(inputs[i])
    return predictions, spread


def folds(members: int) -> list[np.ndarray]:
    """Groups of members that cross-fitting leaves out together.

    Examples
    --------
    >>> [fold.tolist() for fold in folds(3)]
    [[0], [1], [2]]
    """
    return np.array_split(np.arange(members), min(members, FOLDS))
