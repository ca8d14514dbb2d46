"""Baselines with the signature of ``generate``: what a generated state has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.checkpoint import load
from warmstart.generator.draw import expect, finish, sample
from warmstart.generator.model import Generator
from warmstart.generator.request import Request, request
from warmstart.io import files, outputs
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import scaled
from warmstart.regression.layout import Layout
from warmstart.store import reader
from warmstart.store.reader import Snapshots


@outputs.writes(folder=False)
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
    generator, parameters, n, seed, output, extrapolate, overwrite : as :func:`warmstart.verbs.generate.generate`;
        all samples are the same.

    Returns
    -------
    States, as :func:`warmstart.verbs.generate.generate`.

    Raises
    ------
    UserError
        As :func:`warmstart.verbs.generate.generate`.

    Examples
    --------
    >>> regression("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    loaded = generator if isinstance(generator, Generator) else load(generator)
    values, outside = request(loaded, parameters, extrapolate)
    asked = Request(values, None, tuple(outside))
    known = expect(loaded, asked, "none")
    return _written(
        finish(sample(known, range(1)) * n, known, seed), "regression", loaded.grid, output, overwrite
    )


@outputs.writes(folder=False)
def climatology(
    store: str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
) -> xr.Dataset:
    """Take states of the training members, whatever the parameters: what is known before anything is asked.

    Parameters
    ----------
    store : a store of states.
    parameters, n, seed, output, overwrite : as :func:`regression`; sample i is an equilibrium snapshot of the
        (seed + i)-th training member, cyclically.
    extrapolate : accepted for the common signature.

    Returns
    -------
    States as simulated, with the parameters asked for; the coordinate ``member`` says whose they are.

    Raises
    ------
    UserError
        If the store or a parameter is wrong.

    Examples
    --------
    >>> climatology("no-such.zarr", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    snapshots, layout, values, _ = _opened(store, parameters)
    order = np.concatenate([_turns(snapshots, m) for m in _rounds(snapshots)])
    chosen = order[(seed + np.arange(n)) % len(order)]
    return _simulated(snapshots, layout, chosen, values, seed, "climatology", output, overwrite)


@outputs.writes(folder=False)
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
    snapshots, layout, values, ranges = _opened(store, parameters)
    distance = ((scaled(snapshots.values, ranges) - scaled(values, ranges)) ** 2).sum(-1)
    member = int(snapshots.member[distance.argmin()])
    pool = np.flatnonzero(snapshots.member == member)
    chosen = pool[(seed + np.arange(n)) % len(pool)]
    states = _simulated(snapshots, layout, chosen, values, seed, "nearest", None, overwrite)
    states = states.assign_attrs(nearest_member=member)
    if output is not None:
        files.write_dataset(output, states, layout.grid, overwrite)
    return states


def _opened(
    store: str | Path, given: Mapping[str, Any]
) -> tuple[Snapshots, Layout, dict[str, float], dict[str, tuple[float, float]]]:
    """Training snapshots of a store, the parameters asked for, and the ranges of those that vary."""
    ds = reader.open_store(store)
    layout = Layout(files.open_grid(store))
    snapshots = reader.read(store, layout, "train")
    if not len(snapshots):
        raise UserError(f"{store} has no training member with equilibrium states; simulate one")
    declared = reader.declared_ranges(ds)
    ranges = {
        name: declared.get(name, (float(v.min()), float(v.max())))
        for name, v in snapshots.values.items()
        if np.ptp(v) > 0
    }
    values = {name: float(v[0]) for name, v in snapshots.values.items()}
    values |= {name: parameters.get(name).default for name in ranges}
    values |= {name: parameters.parse(value, name) for name, value in given.items()}
    return snapshots, layout, values, ranges


def _simulated(
    snapshots: Snapshots, layout: Layout, chosen: np.ndarray, values: dict[str, float], seed: int, name: str,
    output: str | Path | None, overwrite: bool,
) -> xr.Dataset:  # fmt: skip
    """Snapshots as a states Dataset with the parameters asked for."""
    count = len(chosen)
    coords = {
        "seed": ("sample", np.arange(seed, seed + count)),
        "member": ("sample", snapshots.member[chosen], {"long_name": "simulation that the state is of"}),
    }
    states = layout.unpack(snapshots.fields[chosen], coords)
    states = parameters.attach(states, {n: np.full(count, v) for n, v in values.items()}, "sample")
    states = states.assign_attrs(files.provenance(seed=seed) | {"baseline": name})
    if output is not None:
        files.write_dataset(output, states, layout.grid, overwrite)
    return states


def _turns(snapshots: Snapshots, turn: int) -> np.ndarray:
    """The `turn`-th snapshot of every member that has so many."""
    first = [np.flatnonzero(snapshots.member == m) for m in snapshots.members]
    return np.array([pool[turn] for pool in first if len(pool) > turn], int)


def _rounds(snapshots: Snapshots) -> range:
    """How many turns there are."""
    return range(int(np.unique(snapshots.member, return_counts=True)[1].max()))


def _written(ds: xr.Dataset, name: str, grid: Grid, output: str | Path | None, overwrite: bool) -> xr.Dataset:
    """Label the states as a baseline's and write them."""
    spreads = [a for a in ds.attrs if a.startswith("predicted_spread_")]
    ds = ds.assign_attrs(baseline=name)
    for attr in spreads:
        del ds.attrs[attr]
    if output is not None:
        files.write_dataset(output, ds, grid, overwrite)
    return ds
