"""What a quantity is, its regression on the parameters, and where those that there are come from.

A quantity is measured of a state, regressed on the parameters beside the state, and imposed on every generated state. It is one
file of this folder with a class and one instance of it, ``QUANTITY``; nothing else names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import xarray as xr

from warmstart.generator.constraints.constraint import Constraint
from warmstart.ocean.grid import Grid
from warmstart.regression import mean
from warmstart.regression.mean import MeanModel
from warmstart.regression.normalizer import Normalizer


class Draws(Protocol):
    """Where random numbers come from."""

    def integer(self, count: int) -> int:
        """One of 0 to `count` - 1, all equally likely."""


class Quantity(Protocol):
    """Something that is measured of a state, regressed on the parameters, and imposed on what is generated.

    A class that derives from this one has to say `name`, `needs`, `changes`, `records`, :meth:`weights`, :meth:`measure`
    and :meth:`impose`; the rest has defaults.

    Attributes
    ----------
    name : in the configuration (``quantities``), and of its arrays in the folder of a generator.
    title : in the model card.
    needs : variables that it is measured of.
    changes : variables that imposing it changes. What changes temperature or salinity is imposed before columns are made
        stable, what changes currents only afterwards.
    records : unit and meaning of each number that imposing it records.
    after : names of quantities that have to be imposed before it.
    share : of the way that a state is moved to it where the configuration says nothing.
    drawn : whether a state is given the residual of a left-out training snapshot too, or what is expected alone.
    from_state : whether it is measured of the expected state where no regression can be asked; else it is not imposed then.
    scales : how many numbers its values are divided by: one for each first index, one for all, or none.
    former : part and key that switched it in configurations of former versions.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    changes: ClassVar[tuple[str, ...]]
    records: ClassVar[Mapping[str, tuple[str, str]]]
    after: ClassVar[tuple[str, ...]] = ()
    share: ClassVar[float] = 1.0
    drawn: ClassVar[bool] = False
    from_state: ClassVar[bool] = False
    scales: ClassVar[int] = 0
    former: ClassVar[tuple[str, str] | None] = None

    def weights(self, grid: Grid) -> np.ndarray:
        """How much each value counts in the regression, in the shape of :meth:`measure`; 0 where there is none."""

    def measure(self, state: xr.Dataset, grid: Grid) -> np.ndarray:
        """Measure it of a state ``(z, y, x)``."""

    def impose(self, target: np.ndarray, share: float) -> Constraint:
        """Make the constraint that moves a state by a share of the way to a target in the shape of :meth:`measure`."""

    def regressed(self, values: np.ndarray) -> np.ndarray:
        """What is regressed, from values ``(..., value)`` where the weights are not 0."""
        return values

    def restored(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """The inverse of :meth:`regressed`, within what the mesh allows: ``(value,)``."""
        return values

    def scale(self, members: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """What values are divided by, ``(scales,)``, from those of members ``(member, value)``; asked where `scales` is not 0."""
        return np.ones(self.scales)


@dataclass(frozen=True, eq=False)
class QuantityModel:
    """A quantity as a function of the parameters.

    Attributes
    ----------
    quantity : which.
    grid : the mesh.
    model : of its values where its weights are not 0, divided by the scale: ``(value,)``.
    scale : ``(scales,)``; None where they are not divided.
    residuals : of snapshots of the training members from what a model predicts that has not seen their member, divided by
        the scale, ``(snapshot, value)``; None where they are not drawn.
    """

    quantity: Quantity
    grid: Grid
    model: MeanModel
    scale: np.ndarray | None = None
    residuals: np.ndarray | None = None

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """What is regressed ``(value,)``, for :meth:`target`, predicted from scaled parameters ``(parameter,)``."""
        return self._sized(self.model.predict(inputs))

    def target(self, predicted: np.ndarray, noise: Draws | None = None) -> np.ndarray:
        """What a state is given, in the shape of :meth:`Quantity.measure`; 0 where its weights are.

        Parameters
        ----------
        predicted : as of :meth:`predict`.
        noise : what the residual is drawn with; None takes what is expected.
        """
        if noise is not None and self.residuals is not None:
            predicted = predicted + self._sized(self.residuals[noise.integer(len(self.residuals))])
        inside = self.quantity.weights(self.grid) > 0
        found = np.zeros(inside.shape)
        found[inside] = self.quantity.restored(predicted, self.grid)
        return found

    def expected(self, inputs: np.ndarray) -> np.ndarray:
        """The target for scaled parameters ``(parameter,)`` without a residual."""
        return self.target(self.predict(inputs))

    def _sized(self, values: np.ndarray) -> np.ndarray:
        """Values of the model times their scale."""
        return values if self.scale is None else values * spread_out(self.scale, self.quantity, self.grid)


def spread_out(scale: np.ndarray, quantity: Quantity, grid: Grid) -> np.ndarray:
    """The scale of each value, ``(value,)``."""
    inside = quantity.weights(grid) > 0
    return np.asarray(np.broadcast_to(scale.reshape(-1, *[1] * (inside.ndim - 1)), inside.shape)[inside])


def fit(
    quantity: Quantity,
    states: np.ndarray,
    member: np.ndarray,
    inputs: np.ndarray,
    normalizer: Normalizer,
    weigh: bool = True,
    model: str = "gaussian-process",
) -> QuantityModel | None:
    """Fit a quantity to the snapshots of the training members.

    Parameters
    ----------
    quantity : which.
    states : standardised snapshots, ``(sample, wet)``.
    member : which member each is of, 0 to the number of members.
    inputs : scaled parameters of each member, ``(member, parameter)``.
    normalizer : of the states, with their layout.
    weigh : whether a Gaussian process weighs its inputs by their relevance.
    model : as :func:`warmstart.regression.mean.fit`.

    Returns
    -------
    The model; None where the states lack a variable that it needs, or the mesh has no place for it.
    """
    layout = normalizer.layout
    grid, weights = layout.grid, quantity.weights(layout.grid)
    inside = weights > 0
    if not set(quantity.needs) <= set(layout.variables) or not inside.any():
        return None
    snapshots = layout.unpack(normalizer.restore(layout.from_wet(states)))
    known = np.stack([quantity.measure(snapshots.isel(sample=i), grid)[inside] for i in range(len(states))])
    members = quantity.regressed(np.stack([known[member == i].mean(0) for i in range(len(inputs))]))
    share = weights[inside] / weights[inside].sum()
    scale, each = None, np.ones(1)
    if quantity.scales:
        scale = quantity.scale(members, share)
        each = spread_out(scale, quantity, grid)
    residuals = None
    if quantity.drawn:
        left_out = mean.crossfit(members / each, inputs, share, model=model, weigh=weigh)[0]
        residuals = quantity.regressed(known) / each - left_out[member]
    return QuantityModel(
        quantity, grid, mean.fit(members / each, inputs, share, model=model, weigh=weigh), scale, residuals
    )
