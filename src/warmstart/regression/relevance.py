"""How much each input matters to the mean: one factor an input, shared by all modes, chosen on left-out members.

A Gaussian process with a length scale for each input (automatic relevance determination; Neal 1996, *Bayesian Learning for
Neural Networks*, section 1.2.3) has as many unknowns as inputs: too many for the likelihood of one mode of some dozens of
members. All modes of one part of the ocean are therefore given the same factors, which are those that predict left-out members
best, held near 1 by a log-normal prior. Its width was chosen by five-fold cross-validation on training and validation members
of ``data/dino-4deg``.
"""

from __future__ import annotations

import numpy as np

from warmstart.regression.covariance import covariance

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
