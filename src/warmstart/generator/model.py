"""The generator in memory: what it was trained on, its mean, its residual, its network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from warmstart.errors import UserError
from warmstart.generator.network.denoiser import FLAGS, STATE_FLAGS, Denoiser
from warmstart.generator.network.unet import UNet
from warmstart.generator.quantities.quantity import QuantityModel
from warmstart.generator.residual import Law
from warmstart.generator.settings import SavedConfig
from warmstart.generator.space import Coordinates
from warmstart.generator.young_state import SpinupModel
from warmstart.ocean.grid import Grid
from warmstart.regression.layout import Layout
from warmstart.regression.mean import MeanModel
from warmstart.regression.normalizer import Normalizer
from warmstart.regression.theory import Theory, theory_of


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator in memory.

    Attributes
    ----------
    config : what it was trained with and on.
    layout, normalizer : channels, and their means and standard deviations.
    mean : the mean as a function of the parameters.
    spinup : the mean as a function of an initial state, with and without parameters; None where it takes none.
    laws : of the residual, for each of what may be given: ``parameters``, ``state``, ``both``.
    forcing : linear map from scaled parameters to standardised forcing profiles, ``(1 + parameter, forcing, y)``.
    denoiser : the network in its preconditioning; None where the residual needs none.
    quantities : what has a regression of its own, by name; without those that the configuration leaves as they are drawn, and
        those that generators of earlier versions lack.
    name, hash : where it came from, and a hash of weights, configuration and normaliser.
    """

    config: SavedConfig
    layout: Layout
    normalizer: Normalizer
    mean: MeanModel
    spinup: SpinupModel | None
    laws: dict[str, Law]
    forcing: np.ndarray
    denoiser: Denoiser | None
    quantities: Mapping[str, QuantityModel] = field(default_factory=dict)
    name: str = ""
    hash: str = ""

    def __repr__(self) -> str:
        seen, ages = self.config.parameters, self.config.ages
        values = [f"  {n}: {low:g} to {high:g} {seen[n].units}" for n, (low, high) in self.ranges.items()]
        lines = [
            f"<Generator {self.name} {self.hash}: {self.config.config.residual.model}>",
            f"states: {' '.join(self.layout.variables)} on {' x '.join(map(str, self.grid.shape))} cells",
            f"trained on: {len(self.config.training_members)} simulations",
            f"takes states of: {min(ages):g} to {max(ages):g} years" if ages else "takes no states",
            "parameters:",
        ]
        return "\n".join(lines + (values or ["  none"]))

    @property
    def grid(self) -> Grid:
        """The mesh it serves."""
        return self.layout.grid

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter that it depends on."""
        return {n: (p.low, p.high) for n, p in self.config.parameters.items() if p.varies}

    @property
    def coordinates(self) -> Coordinates:
        """Of the residual about the mean that is given the parameters."""
        return self.laws["parameters"].coordinates

    @property
    def all_coordinates(self) -> dict[str, Coordinates]:
        """Of the residual, by what the mean is given: the same modes, other standard deviations."""
        return {given: law.coordinates for given, law in self.laws.items()}

    def predict(
        self, inputs: np.ndarray | None, initial: tuple[np.ndarray, float] | None
    ) -> tuple[np.ndarray, float]:
        """Mean state from what is given.

        Parameters
        ----------
        inputs : scaled parameters, ``(parameter,)``; None where they are not given.
        initial : state ``(wet,)`` in standardised units and its years of spin-up; None where it is not given.

        Returns
        -------
        mean : ``(wet,)``, standardised units.
        spread : its predictive standard deviation, standardised units.

        Raises
        ------
        UserError
            If a state is given to a generator that takes none.
        """
        if initial is None:
            if inputs is None:
                raise UserError("nothing to predict from: give parameters, an initial state, or both")
            known = self.known(inputs)
            return self.mean.predict(known), self.mean.spread(known)
        (state, age), spinup = initial, self.takes_states()
        if inputs is None:
            return spinup.predict(self.mean.offset, np.zeros(0), state, age, "state")
        known = self.known(inputs)
        return spinup.predict(self.mean.predict(known), known, state, age, "both")

    def known(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs of the mean model from scaled parameters ``(..., parameter)``: with the features of theory, if it takes them."""
        return self.theory.extend(inputs) if self.theory is not None else inputs

    @functools.cached_property
    def theory(self) -> Theory | None:
        """What theory adds to the inputs of the mean model."""
        if not self.config.config.mean.theory:
            return None
        fixed = {n: p.low for n, p in self.config.parameters.items() if not p.varies}
        return theory_of(self.ranges, fixed)

    def takes_states(self) -> SpinupModel:
        """The model of initial states; refused if there is none."""
        if self.spinup is None:
            raise UserError(
                "this generator takes no initial state: it was trained on a store without transients, or with "
                "condition.initial_state: false; give parameters only, or train another"
            )
        return self.spinup


def build_denoiser(config: SavedConfig, coordinates: Coordinates) -> Denoiser:
    """Make the untrained network of a configuration, in the coordinates of its residual."""
    layout = coordinates.layout
    features = len(config.inputs) + (STATE_FLAGS if config.ages else FLAGS)
    maps = len(config.forcing) + (layout.shape[0] if config.ages else 0)
    static = torch.as_tensor(layout.static_maps())
    net = UNet(layout.shape[0], maps, features, static, config.config.network, layout.grid.periodic_x)
    return Denoiser(net, coordinates)
