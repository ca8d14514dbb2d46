"""Mean models as named arrays, the way a checkpoint stores them, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from warmstart.data.layout import Layout
from warmstart.generator.mean import MeanModel
from warmstart.generator.spinup import AgeModel, SpinupModel

#: Fields of a mean model; those as large as a state are kept in single precision.
FIELDS = ("offset", "basis", "coefficients", "inputs", "relevance", "candidates", "posterior")
LARGE = ("offset", "basis")
PROCESSES = ("expected", "increment", "joint")


def flatten(model: MeanModel, prefix: str) -> dict[str, np.ndarray]:
    """Arrays ``prefix.field`` of a mean model."""
    return {
        f"{prefix}.{n}": getattr(model, n).astype("float32") if n in LARGE else getattr(model, n)
        for n in FIELDS
    }


def read_mean(arrays: Mapping[str, np.ndarray], prefix: str) -> MeanModel:
    """The inverse of :func:`flatten`.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    return MeanModel(*(arrays[f"{prefix}.{n}"] for n in FIELDS))


def flatten_spinup(model: SpinupModel) -> dict[str, np.ndarray]:
    """Arrays ``spinup.…`` of the model of initial states."""
    arrays = {f"spinup.{n}": getattr(model, n).astype("float32") for n in ("centre", "basis", "features")}
    for given, models in model.models.items():
        for i, at in enumerate(models):
            prefix = f"spinup.{given}.{i}"
            for name in PROCESSES:
                arrays |= flatten(getattr(at, name), f"{prefix}.{name}")
            arrays |= {
                f"{prefix}.features_centre": at.centre,
                f"{prefix}.features_scale": np.array([at.scale]),
                f"{prefix}.weights": at.weights,
            }
    return arrays


def read_spinup(arrays: Mapping[str, np.ndarray], layout: Layout, ages: tuple[float, ...]) -> SpinupModel:
    """The inverse of :func:`flatten_spinup`.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    models = {
        given: tuple(
            AgeModel(
                read_mean(arrays, f"spinup.{given}.{i}.expected"),
                read_mean(arrays, f"spinup.{given}.{i}.increment"),
                read_mean(arrays, f"spinup.{given}.{i}.joint"),
                arrays[f"spinup.{given}.{i}.features_centre"],
                float(arrays[f"spinup.{given}.{i}.features_scale"][0]),
                arrays[f"spinup.{given}.{i}.weights"],
            )
            for i in range(len(ages))
        )
        for given in ("state", "both")
    }
    centre, basis, features = (arrays[f"spinup.{n}"] for n in ("centre", "basis", "features"))
    return SpinupModel(layout, np.array(ages), centre, basis, features, models)
