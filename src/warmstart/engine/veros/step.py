"""The Veros step as one pure JAX function, with physical parameters and time steps as traced inputs.

One compilation serves every member of an ensemble: parameters enter as a dictionary of arrays (:meth:`PureStep.theta`),
the state as a dictionary of arrays (*carry*) in which a field with time levels is a tuple ``(taum1, tau, taup1)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from veros.core import advection, eke, isoneutral, momentum, thermodynamics, tke, utilities
from veros.core.operators import at

from warmstart.engine import dino
from warmstart.engine.veros import levels, tracing
from warmstart.engine.veros.restart import LEVELS, PLAIN
from warmstart.engine.veros.setup import FORCING, STEEP_FRACTION, DinoSetup, lateral_viscosity, wind_forcing
from warmstart.engine.veros.solver import DirectSolver

Carry = dict[str, Any]
Theta = dict[str, Any]

#: Time level of the newest state in a carry (0 older, 2 scratch), as in Veros between two steps.
NOW = 1
#: Veros's indices of the time levels while a step runs.
TAU = {"taum1": 0, "tau": 1, "taup1": 2}


class PureStep:
    """One Veros step, and loops over it, for a given grid.

    Parameters
    ----------
    simulation : an initialised setup of :func:`warmstart.engine.veros.setup.make_setup`.
    solver : elliptic solver with Veros's ``solve``; None inverts the matrix of the setup.

    Examples
    --------
    >>> step = PureStep(make_setup(4.0, 18, defaults(), 1800.0, 1800.0))  # doctest: +SKIP
    >>> carry = step.advance(step.initial(), step.theta(defaults(), 1800.0, 172800.0), 180)  # doctest: +SKIP
    """

    def __init__(self, simulation: DinoSetup, solver: Any = None) -> None:
        self.simulation = simulation
        self.state = simulation.state
        self.constants = {name: np.asarray(value) for name, value in self.state.variables.items()}
        self.settings = dict(self.state.settings.items())
        self.solver = solver or DirectSolver(self.state)
        meta = self.state.var_meta
        self.has_levels = {n for n in self.constants if meta[n].dims and meta[n].dims[-1] == "timesteps"}

    def initial(self) -> Carry:
        """Return the state of rest that the setup was initialised with."""
        return self.unpack({name: self.constants[name] for name in (*LEVELS, *PLAIN)})

    def unpack(self, fields: Mapping[str, Any]) -> Carry:
        """Turn restart fields (trailing axis of three time levels) into a carry."""
        return {
            name: tuple(jnp.asarray(np.ascontiguousarray(np.asarray(fields[name])[..., i])) for i in range(3))
            if name in LEVELS
            else jnp.asarray(fields[name])
            for name in (*LEVELS, *PLAIN)
        }

    def pack(self, carry: Carry) -> dict[str, np.ndarray]:
        """Turn a carry into restart fields; the inverse of :meth:`unpack`."""
        return {
            name: np.stack([np.asarray(a) for a in value], axis=-1)
            if isinstance(value, tuple)
            else np.asarray(value)
            for name, value in carry.items()
        }

    def theta(self, parameters: Mapping[str, float], dt_momentum: float, dt_tracer: float) -> Theta:
        """Gather what differs between members, as arrays of fixed shape.

        Parameters
        ----------
        parameters : a value for each parameter of the table.
        dt_momentum, dt_tracer : time steps [s].

        Returns
        -------
        Settings and variables of Veros that the step takes as inputs.
        """
        axes = self.simulation.axes
        stress, tke_flux = wind_forcing(axes, parameters, self.constants["maskU"][:, :, -1])
        eddy = parameters["eddy_diffusivity"] * np.cos(self.constants["yt"] * dino.RAD)[None, :, None]
        values = {
            **{name: parameters[name] for name in FORCING},
            "surface_taux": stress,
            "forc_tke_surface": tke_flux,
            "dt_mom": dt_momentum,
            "dt_tracer": dt_tracer,
            "kappaH_min": parameters["vertical_diffusivity"],
            "kappaM_min": parameters["vertical_viscosity"],
            "K_gm_0": eddy,
            "K_iso_0": eddy,
            "K_iso_steep": STEEP_FRACTION * parameters["eddy_diffusivity"],
            "r_bot": parameters["bottom_drag"],
            "A_h": lateral_viscosity(parameters["lateral_viscosity_factor"], axes.resolution),
        }
        return {name: jnp.asarray(value, dtype="float64") for name, value in values.items()}

    def step(self, carry: Carry, theta: Theta, constants: Mapping[str, Any] | None = None) -> Carry:
        """Advance by one step; pure, to be traced.

        Parameters
        ----------
        carry : state, from :meth:`initial` or :meth:`unpack`.
        theta : inputs, from :meth:`theta`.
        constants : stand-ins for constants of the grid, traced instead of folded into the program; then, and with
            the same compiler flags, the program rounds exactly as Veros's own kernels do.

        Returns
        -------
        The state one step later, its time levels rotated so that ``NOW`` is the newest.
        """
        variables: dict[str, Any] = {**self.constants, **(constants or {}), **carry, **TAU, "itt": 1}
        variables |= {name: theta[name] for name in theta if name in self.constants}
        for name in self.has_levels:
            value = variables[name]
            variables[name] = levels.TimeLevels(
                value if isinstance(value, tuple) else [jnp.asarray(value[..., i]) for i in range(3)]
            )
        settings = self.settings | {name: theta[name] for name in theta if name in self.settings}
        state = tracing.state_with(self.state, variables, settings)
        with tracing.traceable(self.solver):
            _veros_step(self.simulation, state)
        new = state.variables
        # taum1 <- tau, tau <- taup1: with fixed indices one traced step serves all three rotations
        after = {name: tuple(getattr(new, name).levels[i] for i in (1, 2, 0)) for name in LEVELS}
        after |= {name: getattr(new, name) for name in PLAIN}
        after["time"] = carry["time"] + theta["dt_tracer"]
        return after

    @cached_property
    def advance(self) -> Any:
        """Compiled ``advance(carry, theta, n) -> carry``: `n` steps; the same program for every `n`."""
        return jax.jit(self._loop)

    @cached_property
    def advance_members(self) -> Any:
        """As :attr:`advance`, with a leading member axis on carry, theta and the numbers of steps.

        A member that has done its steps stays as it is while the others go on.
        """

        def one(carry: Carry, theta: Theta, going: Any) -> Carry:
            return jax.tree.map(lambda new, old: jnp.where(going, new, old), self.step(carry, theta), carry)

        def loop(carry: Carry, theta: Theta, n: Any) -> Carry:
            step = jax.vmap(one)
            n = jnp.broadcast_to(jnp.asarray(n), carry["time"].shape)
            return jax.lax.fori_loop(0, jnp.max(n), lambda i, c: step(c, theta, i < n), carry)

        return jax.jit(loop)

    def _loop(self, carry: Carry, theta: Theta, n: Any) -> Carry:
        return jax.lax.fori_loop(0, n, lambda _, c: self.step(c, theta), carry)


def _veros_step(simulation: DinoSetup, state: Any) -> None:
    """The routines of Veros's own step, in its order, without clocks, output and time-level rotation."""
    simulation.set_forcing(state)
    eke.set_eke_diffusivities(state)
    tke.set_tke_diffusivities(state)
    momentum.momentum(state)
    thermodynamics.thermodynamics(state)
    advection.calculate_velocity_on_wgrid(state)
    tke.integrate_tke(state)
    vs = state.variables
    for name in ("u", "v", "tke"):
        field = getattr(vs, name)
        newest = utilities.enforce_boundaries(field[..., TAU["taup1"]], True)
        setattr(vs, name, levels.update(field, at[..., TAU["taup1"]], newest))
    momentum.vertical_velocity(state)
    isoneutral.isoneutral_diag_streamfunction(state)
