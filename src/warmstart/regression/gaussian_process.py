"""The Gaussian process of the mean: its covariance, and how much each input matters.

The covariance has a linear and a smooth part; relevance is one factor an input, shared by all modes, chosen on left-out members.
"""

from __future__ import annotations

import numpy as np

#: Fewer members than this say nothing about relevance.
FEWEST = 8
#: Standard deviation of the logarithm of a factor in the prior.
SPREAD = 0.7
#: Linear, smooth and noise variance of the process, medians of priors with this standard deviation of the logarithm; its length.
VARIANCES, VARIANCES_SPREAD, LENGTH = (0.3, 1.0, 0.03), 2.0, 0.7
#: Variance of the constant that stands for the unknown mean of the members, and the least noise.
CONSTANT, LEAST = 100.0, 1e-4
#: Bounds of the logarithms of factors, and of variances about their medians: beyond them the covariance is singular.
FARTHEST, VARIANCES_FARTHEST, ITERATIONS = 3.0, 6.0, 40
#: Share of the variance between members below which a smaller error is not worth a factor.
NEGLIGIBLE = 1e-3


def covariance(a: np.ndarray, b: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Covariance without noise between two sets of inputs: linear 12/P a . b + smooth exp(-|a - b|^2 / (2 P length^2)).

    Parameters
    ----------
    a, b : P scaled parameters of each member, ``(member, parameter)``.
    table : linear variance, smooth variance, length and noise variance (not looked at), ``(row, 4)``.

    Returns
    -------
    ``(row, member of a, member of b)``. With P parameters spread evenly over -0.5 to 0.5 the linear part has a variance of
    `linear` on average.

    Examples
    --------
    >>> covariance(np.zeros((1, 2)), np.zeros((1, 2)), np.array([[1.0, 2.0, 1.0, 0.1]])).item()
    2.0
    """
    count = max(a.shape[1], 1)
    product = 12.0 / count * np.einsum("ip,jp->ij", a, b)
    distance = ((a[:, None] - b[None]) ** 2).sum(-1) / count
    linear, smooth, length = (table[:, i, None, None] for i in range(3))
    return linear * product + smooth * np.exp(-0.5 * distance / length**2)


def relevance(inputs: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Choose the factors that the inputs are multiplied with before a Gaussian process sees them.

    Parameters
    ----------
    inputs : scaled parameters, ``(member, input)``.
    coefficients : of the modes, ``(member, mode)``; a mode counts by its variance.

    Returns
    -------
    Factors ``(input,)``; ones where there are too few members to tell.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    >>> found = relevance(x, np.sin(6 * x[:, :1]))
    >>> bool(found[0] > 2 * found[1])
    True
    """
    from scipy.optimize import minimize

    members, count = inputs.shape
    total = (coefficients**2).sum()
    if members < FEWEST or count < 2 or not total > 0 or not inputs.any():
        return np.ones(count)
    target = coefficients / np.sqrt(total)
    # as many independent values of each member count for its error as its modes have degrees of freedom (Bretherton et
    # al. 1999, J. Climate 12, 1990)
    kept = (target**2).sum(0)
    freedom = kept.sum() ** 2 / (kept**2).sum()

    def cost(unknown: np.ndarray) -> float:
        scaled = inputs * np.exp(unknown[:count])
        linear, smooth, noise = np.exp(unknown[count:])
        gram = covariance(scaled, scaled, np.array([[linear, smooth, LENGTH, noise]]))[0]
        inverse = np.linalg.inv(gram + CONSTANT + (noise + LEAST) * np.eye(members))
        # residuals of left-out members in closed form: Rasmussen and Williams (2006), eq. 5.12
        left_out = inverse @ target / np.diagonal(inverse)[:, None]
        misfit = 0.5 * freedom * members * np.log((left_out**2).sum() + NEGLIGIBLE)
        away = unknown[:count] / SPREAD
        variances = (unknown[count:] - np.log(VARIANCES)) / VARIANCES_SPREAD
        return float(misfit + 0.5 * (away**2).sum() + 0.5 * (variances**2).sum())

    start = np.concatenate([np.zeros(count), np.log(VARIANCES)])
    reach = np.repeat([FARTHEST, VARIANCES_FARTHEST], [count, len(VARIANCES)])
    bounds = np.stack([start - reach, start + reach], 1)
    found = minimize(cost, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS})
    return np.exp(found.x[:count])
