"""Where temperature and salinity would come to rest if the circulation stayed as it is: a Newton step from a drift.

Advection, eddies and mixing of a year are one sparse matrix A for each tracer, with the restoring of the surface on its diagonal. A
state x that drifts at the rate r is at rest, in that circulation, at x + d where A d = -r. What the circulation itself would do
about d is left out; how much of the step is to be believed is learned from members whose equilibrium is known
(:mod:`warmstart.equilibrium.correction`). Matrices of tracers from a running model: Khatiwala, Visbeck and Cane (2005), Ocean
Modelling 9, 51.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu
from veros.core import eke, isoneutral, thermodynamics, tke, utilities
from veros.core.isoneutral import diffusion

from warmstart.engines.veros import time_levels
from warmstart.engines.veros.step import NOW, Carry, PureStep, Theta, traceable
from warmstart.ocean import eos
from warmstart.ocean.constants import DAY, YEAR

if TYPE_CHECKING:
    import xarray as xr

#: Cells that a cell depends on lie within two of it: every fifth can be probed at once.
STRIDE = 5
#: States of the year whose circulation is averaged.
SEASONS = 4
#: What Veros calls the tracers, and the parameter that restores each at the surface.
TRACERS = {"thetao": ("temp", "heat_restoring"), "so": ("salt", "salt_restoring")}


def newton_step(
    step: PureStep,
    carry: Carry,
    parameters: Mapping[str, float],
    steps: tuple[float, float],
    rates: xr.Dataset,
) -> dict[str, np.ndarray]:
    """Find how far temperature and salinity are from rest in the circulation of the next year.

    Parameters
    ----------
    step : the step of the model.
    carry : state at the end of the run; a further year is run from it, for the seasons, and dropped.
    parameters : a value for each parameter of the table.
    steps : time steps of momentum and tracers [s].
    rates : drift of ``thetao`` [K/year] and ``so`` [1e-3/year], dims ``(z, y, x)``.

    Returns
    -------
    The steps to be added to ``thetao`` [K] and ``so`` [1e-3], ``(z, y, x)``, zero on land.
    """
    theta = step.theta(parameters, *steps)
    seasons = _seasons(step, carry, theta, steps[1])
    probe, wet = _probe(step), step.constants["maskT"][2:-2, 2:-2] > 0
    top = float(np.asarray(step.constants["dzt"])[-1])
    found = {}
    for name, (own, restoring) in TRACERS.items():
        matrix = _matrix(probe, seasons, theta, own == "temp", wet.shape)
        back = np.zeros(wet.shape)
        back[:, :, -1] = parameters[restoring] / eos.RHO0 / top / (eos.CP if own == "temp" else 1.0)
        kept = np.flatnonzero(wet)
        whole = (matrix - sparse.diags(back.ravel()))[kept][:, kept].tocsc() * (YEAR * DAY)
        rate = np.nan_to_num(rates[name].transpose("z", "y", "x").values)[::-1].transpose(2, 1, 0)
        moved = np.zeros(wet.size)
        moved[kept] = splu(whole).solve(-rate.ravel()[kept])
        found[name] = moved.reshape(wet.shape).transpose(2, 1, 0)[::-1].copy()
    return found


def _seasons(step: PureStep, carry: Carry, theta: Theta, dt_tracer: float) -> list[Carry]:
    """States after each quarter of a further year."""
    count, found = round(YEAR * DAY / dt_tracer / SEASONS), []
    for _ in range(SEASONS):
        carry = jax.block_until_ready(step.advance(carry, theta, count))
        found.append(carry)
    return found


def _frozen(step: PureStep, carry: Carry, theta: Theta) -> Callable[[Any], Any]:
    """Rate of change of a tracer ``(x, y, z)`` in the circulation of a state [units/s]; forcing left out."""
    state = step.veros_state(carry, theta)
    vs = state.variables
    eke.set_eke_diffusivities(state)
    tke.set_tke_diffusivities(state)
    vs.update(isoneutral.isoneutral_diffusion_pre(state))

    def rate(tracer: Any) -> Any:
        tracer = utilities.enforce_boundaries(tracer, True)
        levels = time_levels.TimeLevels([tracer] * 3)
        out = thermodynamics.advect_tracer(state, tracer)
        for along, skew, iso in ((vs.K_iso, 0.0, True), (0.0, vs.K_gm, False)):
            fluxes = diffusion._calc_tracer_fluxes(state, levels, along, skew, iso=iso)
            out = out + diffusion._calc_explicit_part(state, *fluxes)
        mixing = ((vs.kappaH + vs.K_33) * vs.maskW)[:, :, :-1]
        inner = mixing * (tracer[:, :, 1:] - tracer[:, :, :-1]) / vs.dzw[:-1]
        flux = jnp.pad(inner, ((0, 0), (0, 0), (1, 1)))
        return (out + (flux[:, :, 1:] - flux[:, :, :-1]) / vs.dzt) * vs.maskT

    return rate


def _probe(step: PureStep) -> Any:
    """Compiled: how the rate of temperature or salinity answers to each of several disturbances."""

    def answers(carry: Carry, theta: Theta, temperature: Any, disturbances: Any) -> Any:
        with traceable(step.solver):
            rate = _frozen(step, carry, theta)
            base = jnp.where(temperature, carry["temp"][NOW], carry["salt"][NOW])
            return jax.lax.map(lambda one: jax.jvp(rate, (base,), (one,))[1], disturbances)

    return jax.jit(answers)


def _matrix(
    probe: Any, seasons: Sequence[Carry], theta: Theta, temperature: bool, shape: tuple[int, ...]
) -> sparse.csr_matrix:
    """Mean over the seasons of the matrix that takes a tracer to its rate [s-1]; rows and columns are cells ``(x, y, z)``."""
    nx, ny, nz = shape
    colours = [(i, j, k) for i in range(nx) for j in range(min(STRIDE, ny)) for k in range(min(STRIDE, nz))]
    disturbances = np.zeros((len(colours), nx + 4, ny + 4, nz))
    for n, (i, j, k) in enumerate(colours):
        disturbances[n, 2 + i, 2 + j : ny + 2 : STRIDE, k::STRIDE] = 1.0
    found = [np.asarray(probe(carry, theta, temperature, disturbances)) for carry in seasons]
    answers = np.mean(found, axis=0)[:, 2:-2, 2:-2]
    cells = np.arange(nx * ny * nz).reshape(shape)
    colour, x, y, z = np.nonzero(answers)
    column, first_y, first_z = np.array(colours)[colour].T
    # the disturbed cell of that colour which is nearest is the one that was felt
    from_y = _nearest(y, first_y, ny)
    from_z = _nearest(z, first_z, nz)
    rows, columns = cells[x, y, z], cells[column, from_y, from_z]
    return sparse.csr_matrix((answers[colour, x, y, z], (rows, columns)), shape=(cells.size, cells.size))


def _nearest(place: np.ndarray, first: np.ndarray, size: int) -> np.ndarray:
    """The nearest of `first`, `first` + 5, ... below `size`."""
    last = (size - 1 - first) // STRIDE
    return first + STRIDE * np.clip(np.rint((place - first) / STRIDE).astype(int), 0, last)
