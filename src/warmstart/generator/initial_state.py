"""The initial state that a user hands over: read, checked, standardised, and its age."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.model import Generator
from warmstart.io import files
from warmstart.ocean.places import bare

log = logging.getLogger(__name__)

#: How far a state may lie outside the training states of its age, in units of their range about their mean.
FARTHEST = 2.0


def read(
    generator: Generator, initial: xr.Dataset | str | Path, age: float | None = None
) -> tuple[np.ndarray, float, dict[str, Any], list[str]]:
    """Read one initial state for a generator.

    Parameters
    ----------
    generator : that shall continue from it.
    initial : the state, ``([sample|time,] z, y, x)`` on the generator's mesh: a Dataset or a states file.
    age : as in :func:`warmstart.verbs.generate.generate`.

    Returns
    -------
    state : ``(wet,)``, standardised units.
    age : years of spin-up.
    notes : attributes for the file of what is generated.
    outside : in what it is unlike the states of training, one phrase each.

    Raises
    ------
    UserError
        If it is of another mesh, not finite at sea, more than one and the age picks none, or the generator takes none.
    """
    spinup = generator.takes_states()
    name = "the initial state" if isinstance(initial, xr.Dataset) else str(initial)
    if age is not None and not (np.isfinite(age) and age > 0):
        raise UserError(f"age is {age}; expected a positive number of years since the start of the spin-up")
    if isinstance(initial, xr.Dataset):
        ds = bare(initial)
    else:
        _require_mesh(generator, Path(initial))
        ds = files.open_dataset(initial)
    ds, stated = _one(ds, name, age)
    wet = _packed(generator, ds, name)
    years = age if age is not None else stated
    notes: dict[str, Any] = {"initial_state": name}
    if years is None:
        years = spinup.guess_age(wet)
        log.info("%s states no age; it looks like %.0f years of spin-up", name, years)
        notes["initial_state_age_guessed"] = years
    else:
        notes["initial_state_age"] = years
    far, outside = spinup.outside(wet, years), []
    if far > FARTHEST:
        outside.append(
            f"{name} lies {far:.1f} times as far from the training states of its age ({years:.0f} years) as the farthest of them"
        )
    if not trained_age(generator, years):
        outside.append(
            f"the age of {name} is {years:g} years; trained on {spinup.ages[0]:g} to {spinup.ages[-1]:g}"
        )
    return wet, float(years), notes, outside


def trained_age(generator: Generator, years: float) -> bool:
    """Whether a state of this age [years] is about as old as those of training."""
    ages = generator.takes_states().ages
    return bool(ages[0] * 0.5 <= years <= ages[-1] * 2)


def _require_mesh(generator: Generator, path: Path) -> None:
    """Refuse a file whose mesh is another one; a file without a mesh is judged by its shape."""
    try:
        grid = files.open_grid(path)
    except UserError as error:
        if "carries no mesh" not in str(error):
            raise
        return
    generator.grid.require_same(grid, str(path))


def _one(ds: xr.Dataset, name: str, age: float | None) -> tuple[xr.Dataset, float | None]:
    """The one state that is meant, and the age it states."""
    lead = [str(d) for d in ds.dims if d in ("sample", "time")]
    years = ds["year"].values.astype(float).reshape(-1) if "year" in ds.variables else None
    count = int(np.prod([ds.sizes[d] for d in lead])) if lead else 1
    if len(lead) > 1:
        raise UserError(f"{name} has the dims {', '.join(lead)}; expected one state ([sample|time,] z, y, x)")
    index = 0
    if count > 1:
        matching = [] if years is None or age is None else np.flatnonzero(np.isclose(years, age)).tolist()
        if len(matching) != 1:
            held = "" if years is None else f" of the years {', '.join(f'{y:g}' for y in years)}"
            raise UserError(
                f"{name} holds {count} states{held}; choose one with --age (age=...), or hand over a single one"
            )
        index = matching[0]
    if lead:
        ds = ds.isel({lead[0]: index})
    known = years is not None and np.isfinite(years[index]) and years[index] > 0
    return ds, float(years[index]) if years is not None and known else None


def _packed(generator: Generator, ds: xr.Dataset, name: str) -> np.ndarray:
    """Standardised wet values."""
    layout = generator.layout
    for variable in layout.variables:
        if variable not in ds:
            continue
        expected = layout.grid.shape if "z" in ds[variable].dims else layout.grid.shape[1:]
        if ds[variable].shape != expected:
            raise UserError(
                f"{name} is on another grid: {variable} has the shape {ds[variable].shape}; the generator serves "
                f"{layout.grid!r}; add --regrid (generate --from) to move it there, or move it with warmstart.regrid"
            )
    try:
        fields = layout.pack(ds)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return layout.to_wet(generator.normalizer.standardise(fields))[0]
