"""The Veros step as one pure JAX function, with physical parameters and time steps as traced inputs.

One compilation serves every member of an ensemble: parameters enter as a dictionary of arrays (:meth:`PureStep.theta`),
the state as a dictionary of arrays (*carry*) in which a field with time levels is a tuple ``(taum1, tau, taup1)``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import veros.core.operators as operators
from veros.core import advection, eke, isoneutral, momentum, thermodynamics, tke, utilities
from veros.core.operators import at
from veros.routines import VerosKernel
from veros.state import VerosState

from warmstart.engines import dino
from warmstart.engines.veros import time_levels
from warmstart.engines.veros.arrays import LEVELS, PLAIN
from warmstart.engines.veros.setup import (
    FORCING,
    STEEP_FRACTION,
    DinoSetup,
    lateral_viscosity,
    seos,
    wind_forcing,
)
from warmstart.engines.veros.solver import DirectSolver

Carry = dict[str, Any]
Theta = dict[str, Any]

#: Time level of the newest state in a carry (0 older, 2 scratch), as in Veros between two steps.
NOW = 1
#: Veros's indices of the time levels while a step runs.
TAU = {"taum1": 0, "tau": 1, "taup1": 2}


class Bag:
    """Variables or settings as plain attributes: traced values may be assigned, nothing is checked."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        vars(self).update(content)

    def unlock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def update(self, other: Any = None, **new: Any) -> Bag:
        if other is not None:
            new = dict(zip(other._fields, other, strict=True)) if hasattr(other, "_fields") else dict(other)
        vars(self).update(new)
        return self

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)

    def items(self) -> Any:
        return vars(self).items()


def state_with(template: VerosState, variables: Mapping[str, Any], settings: Mapping[str, Any]) -> VerosState:
    """Make a Veros state with the dimensions of `template` and unchecked variables and settings."""
    state = VerosState.__new__(VerosState)
    vars(state).update(vars(template))
    state._variables, state._settings = Bag(variables), Bag(settings)
    return state


def _unrolled(lower: int, upper: int, body: Any, value: Any) -> Any:
    """Veros's ``for_loop`` with static indices."""
    for i in range(lower, upper):
        value = body(i, value)
    return value


REPLACED = {
    "update": time_levels.update,
    "update_add": time_levels.update_add,
    "update_multiply": time_levels.update_multiply,
    "for_loop": _unrolled,
}


def _plain_call(kernel: VerosKernel, *args: Any, **kwargs: Any) -> Any:
    bound = kernel.func_sig.bind(*args, **kwargs)
    bound.apply_defaults()
    function = getattr(kernel.function, "__wrapped__", kernel.function)
    return function(*bound.arguments.values())


def _holders(original: Any, name: str) -> list[Any]:
    """Modules of Veros's core that hold `original` under `name`."""
    loaded = [module for key, module in list(sys.modules.items()) if key.startswith("veros.core")]
    return [module for module in loaded if module is not None and vars(module).get(name) is original]


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    former = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, former)


@contextlib.contextmanager
def traceable(solver: Any) -> Iterator[None]:
    """Let Veros's routines be traced by JAX while the block runs.

    Parameters
    ----------
    solver : object with Veros's ``solve(state, rhs, x0, boundary_val)``.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(seos())
        stack.enter_context(_replaced(VerosKernel, "__call__", _plain_call))
        stack.enter_context(_replaced(operators, "flush", lambda: None))
        for name, replacement in REPLACED.items():
            for module in _holders(getattr(operators, name), name):
                stack.enter_context(_replaced(module, name, replacement))
        # the package attribute of that name is the routine, not the module
        stream = sys.modules["veros.core.external.solve_stream"]
        stack.enter_context(_replaced(stream, "get_linear_solver", lambda state: solver))
        yield


class PureStep:
    """One Veros step, and loops over it, for a given grid.

    Parameters
    ----------
    simulation : an initialised setup of :func:`warmstart.engines.veros.setup.make_setup`.
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
        state = self.veros_state(carry, theta, constants)
        with traceable(self.solver):
            _veros_step(self.simulation, state)
        new = state.variables
        # taum1 <- tau, tau <- taup1: with fixed indices one traced step serves all three rotations
        after = {name: tuple(getattr(new, name).levels[i] for i in (1, 2, 0)) for name in LEVELS}
        after |= {name: getattr(new, name) for name in PLAIN}
        after["time"] = carry["time"] + theta["dt_tracer"]
        return after

    def veros_state(
        self, carry: Carry, theta: Theta, constants: Mapping[str, Any] | None = None
    ) -> VerosState:
        """The state as Veros's routines take it, while one is traced; arguments as of :meth:`step`."""
        variables: dict[str, Any] = {**self.constants, **(constants or {}), **carry, **TAU, "itt": 1}
        variables |= {name: theta[name] for name in theta if name in self.constants}
        for name in self.has_levels:
            value = variables[name]
            variables[name] = time_levels.TimeLevels(
                value if isinstance(value, tuple) else [jnp.asarray(value[..., i]) for i in range(3)]
            )
        settings = self.settings | {name: theta[name] for name in theta if name in self.settings}
        return state_with(self.state, variables, settings)

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
        setattr(vs, name, time_levels.update(field, at[..., TAU["taup1"]], newest))
    momentum.vertical_velocity(state)
    isoneutral.isoneutral_diag_streamfunction(state)
