"""Baselines with the signature of ``generate``: what a generated state has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import files
from warmstart.data import batches
from warmstart.data.batches import scaled
from warmstart.data.layout import Layout
from warmstart.errors import UserError
from warmstart.generator.checkpoint import Generator, load
from warmstart.generator.generate import constrained, finish, request, sample


def regression(
    generator: Generator | str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
) -> xr.Dataset:
    """Predict the mean state: the generator without its residual.

    Parameters
    ----------
    generator, parameters, n, seed, output, extrapolate, overwrite : as :func:`warmstart.generator.generate.generate`;
        all samples are the same.

    Returns
    -------
    States, as :func:`warmstart.generator.generate.generate`.

    Raises
    ------
    UserError
        As :func:`warmstart.generator.generate.generate`.

    Examples
    --------
    >>> regression("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    _claim(output, overwrite)
    loaded = generator if isinstance(generator, Generator) else load(generator)
    values, outside = request(loaded, parameters, extrapolate)
    states = sample(loaded, values, range(1), "none") * n
    return _written(finish(states, loaded, values, seed, outside), "regression", loaded, output, overwrite)


def climatology(
    generator: Generator | str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
) -> xr.Dataset:
    """Give the mean state of the training members, whatever the parameters.

    Parameters
    ----------
    generator, parameters, n, seed, output, extrapolate, overwrite : as :func:`regression`.

    Returns
    -------
    States, as :func:`regression`; its parameters are those asked for.

    Raises
    ------
    UserError
        As :func:`regression`.

    Examples
    --------
    >>> climatology("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    _claim(output, overwrite)
    loaded = generator if isinstance(generator, Generator) else load(generator)
    values, outside = request(loaded, parameters, extrapolate)
    states = [constrained(loaded, loaded.mean.offset)] * n
    return _written(finish(states, loaded, values, seed, outside), "climatology", loaded, output, overwrite)


def nearest(
    store: str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
) -> xr.Dataset:
    """Take states of the training member whose scaled parameters are nearest: what a modeller without a generator does.

    Parameters
    ----------
    store : a store of states.
    parameters, n, seed, output, overwrite : as :func:`regression`; sample i is the (seed + i)-th equilibrium snapshot of
        the member, cyclically.
    extrapolate : accepted for the common signature; the nearest member always exists.

    Returns
    -------
    States as simulated, with the parameters asked for; the attribute ``nearest_member`` says whose they are.

    Raises
    ------
    UserError
        If the store or a parameter is wrong.

    Examples
    --------
    >>> nearest("no-such.zarr", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    from warmstart import parameters as table

    _claim(output, overwrite)
    ds = batches.open_store(store)
    grid = files.open_grid(store)
    layout = Layout(grid)
    snapshots = batches.read(store, layout, "train")
    if not len(snapshots):
        raise UserError(f"{store} has no training member with equilibrium states; simulate one")
    declared = batches.declared_ranges(ds)
    ranges = {
        name: declared.get(name, (float(v.min()), float(v.max())))
        for name, v in snapshots.values.items()
        if np.ptp(v) > 0
    }
    values = {name: float(v[0]) for name, v in snapshots.values.items()}
    values |= {name: table.get(name).default for name in ranges}
    values |= {name: table.parse(value, name) for name, value in parameters.items()}
    distance = ((scaled(snapshots.values, ranges) - scaled(values, ranges)) ** 2).sum(-1)
    member = snapshots.member[distance.argmin()]
    pool = np.flatnonzero(snapshots.member == member)
    chosen = [pool[(seed + i) % len(pool)] for i in range(n)]
    states = layout.unpack(snapshots.fields[chosen], {"seed": ("sample", np.arange(seed, seed + n))})
    states = table.attach(states, {name: np.full(n, v) for name, v in values.items()}, "sample")
    states = states.assign_attrs(
        files.provenance(seed=seed) | {"baseline": "nearest", "nearest_member": int(member)}
    )
    if output is not None:
        files.write_dataset(output, states, grid, overwrite)
    return states


def _claim(output: str | Path | None, overwrite: bool) -> None:
    """Refuse an existing output before any work."""
    if output is not None:
        files.refuse_existing(output, overwrite)


def _written(
    ds: xr.Dataset, name: str, generator: Generator, output: str | Path | None, overwrite: bool
) -> xr.Dataset:
    """Label the states as a baseline's and write them."""
    spreads = [a for a in ds.attrs if a.startswith("predicted_spread_")]
    ds = ds.assign_attrs(baseline=name)
    for attr in spreads:
        del ds.attrs[attr]
    if output is not None:
        files.write_dataset(output, ds, generator.grid, overwrite)
    return ds
