"""Mean models as named arrays, the way a checkpoint stores them, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from warmstart.data.layout import Layout
from warmstart.generator.spinup import AgeModel, SpinupModel
from warmstart.regression.mean import MeanModel

#: Fields of a mean model. A single state is kept in single precision and sets of patterns in half: five parts in ten
#: thousand of a pattern are nothing beside the residual, and patterns are most of a generator's weight.
FIELDS = ("offset", "basis", "coefficients", "inputs", "relevance", "part", "candidates", "posterior")
PROCESSES = ("expected", "increment", "joint")


def half(patterns: np.ndarray) -> np.ndarray:
    """Patterns in half precision; in single where a value is too large for it.

    Examples
    --------
    >>> half(np.ones(2)).dtype, half(np.array([1e6])).dtype
    (dtype('float16'), dtype('float32'))
    """
    largest = np.abs(patterns).max(initial=0.0)
    return patterns.astype("float16" if largest < np.finfo("float16").max else "float32")


def flatten(model: MeanModel, prefix: str) -> dict[str, np.ndarray]:
    """Arrays ``prefix.field`` of a mean model."""
    arrays = {f"{prefix}.{n}": getattr(model, n) for n in FIELDS}
    return arrays | {
        f"{prefix}.offset": model.offset.astype("float32"),
        f"{prefix}.basis": half(model.basis),
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
    arrays = {f"spinup.{n}": getattr(model, n).astype("float32") for n in ("centre", "features")}
    arrays["spinup.basis"] = half(model.basis)
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
