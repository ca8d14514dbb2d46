"""Training data: snapshots of a store in memory, and their parameters scaled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError, reading
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.variables import OPTIONAL_VARIABLES, held
from warmstart.regression.layout import Layout

#: Prefix of the forcing profiles in a store.
FORCING = "forcing_"


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Snapshots of one split.

    Attributes
    ----------
    fields : packed states ``(sample, channel, y, x)``, units of the variables table, NaN on land.
    member : ``(sample,)``.
    drift : of the deep ocean in each snapshot's run [K per century], ``(sample,)``.
    year : model years since the start, ``(sample,)``.
    values : parameter name to ``(sample,)``, units of the parameters table.
    forcing : profile name to ``(sample, y)``.
    described : the parameters.
    """

    fields: np.ndarray
    member: np.ndarray
    drift: np.ndarray
    year: np.ndarray
    values: dict[str, np.ndarray]
    forcing: dict[str, np.ndarray]
    described: dict[str, parameters.Parameter] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.member)

    @property
    def members(self) -> np.ndarray:
        """Numbers of the members, ascending."""
        return np.unique(self.member)

    def first(self, of: np.ndarray) -> np.ndarray:
        """The entries of `of` ``(sample, ...)`` at the first snapshot of each member."""
        return of[np.unique(self.member, return_index=True)[1]]

    def digest(self) -> str:
        """Hash of the states, parameters and forcing."""
        digest = hashlib.sha256(np.nan_to_num(self.fields).tobytes())
        digest.update(json.dumps({n: v.tolist() for n, v in sorted(self.values.items())}).encode())
        digest.update(self.member.tobytes())
        for name, profiles in sorted(self.forcing.items()):
            digest.update(name.encode() + np.nan_to_num(profiles).tobytes())
        return digest.hexdigest()[:16]


def read(store: str | Path, layout: Layout, split: str, phase: str = "equilibrium") -> Snapshots:
    """Read the snapshots of one split and phase into memory.

    Parameters
    ----------
    store : a store of states, as ``dataset`` writes it.
    layout : the channels; its grid must be that of the store.
    split : ``"train"``, ``"validation"`` or ``"test"``.
    phase : ``"equilibrium"`` or ``"transient"``.

    Returns
    -------
    The snapshots; none if the store has no such member.

    Raises
    ------
    UserError
        If the store is no store, or a state is not finite in the sea.
    """
    ds = open_store(store)
    # compared as they are: zarr's variable-length strings do not convert to numpy's fixed-length ones
    chosen = np.flatnonzero((ds["split"].values == split) & (ds["phase"].values == phase))
    ds = ds.isel(sample=chosen).load()
    count = len(chosen)

    def column(name: str) -> np.ndarray:
        return ds[name].values if name in ds else np.full(count, np.nan)

    fields = layout.pack(ds) if count else np.zeros((0, *layout.shape))
    forcing = {str(n).removeprefix(FORCING): ds[n].values for n in ds.data_vars if str(n).startswith(FORCING)}
    values = parameters.extract(ds)
    forcing |= diffusivity_profiles(values, layout)
    return Snapshots(
        fields, ds["member"].values, column("drift"), column("year"), values, forcing, parameters.carried(ds)
    )


def diffusivity_profiles(values: Mapping[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    """Logarithm of the diffusivities along the meridian, as DINO distributes them.

    Parameters
    ----------
    values : parameters, each ``(sample,)``; those that are missing have no profile.
    layout : whose grid gives the latitudes.

    Returns
    -------
    ``vertical_diffusivity`` (the same everywhere) and ``eddy_diffusivity`` (times the cosine of latitude), ``(sample, y)``.

    Examples
    --------
    >>> import warmstart as ws
    >>> layout = Layout(ws.basin(nx=6, ny=8, nz=4)[1])
    >>> diffusivity_profiles({"vertical_diffusivity": np.array([1.0])}, layout)["vertical_diffusivity"].shape
    (1, 8)
    """
    cosine = np.log(np.maximum(np.cos(np.deg2rad(layout.grid.gphit.values.mean(1))), 1e-3))
    shapes = {"vertical_diffusivity": np.zeros_like(cosine), "eddy_diffusivity": cosine}
    return {
        n: np.log(np.maximum(values[n], 1e-12))[:, None] + shape for n, shape in shapes.items() if n in values
    }


def open_store(store: str | Path) -> xr.Dataset:
    """Open a store of states, lazily.

    Raises
    ------
    UserError
        If it is missing, or has no ``member``, ``split`` and ``phase``.

    Examples
    --------
    >>> open_store("no-such.zarr")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such.zarr does not exist; give an existing NetCDF file or zarr store
    """
    ds = files.open_dataset(store)
    missing = [n for n in ("member", "split", "phase") if n not in ds.variables or ds[n].dims != ("sample",)]
    if missing:
        raise UserError(
            f"{store} has no {', '.join(missing)} along sample; expected a store made by 'warmstart dataset'"
        )
    return ds


def variables_of(ds: xr.Dataset) -> tuple[str, ...]:
    """Variables of the states in a store, in their order: the sea level may be missing.

    Examples
    --------
    >>> variables_of(xr.Dataset({"so": 35.0, "thetao": 4.0}))
    ('thetao', 'so', 'uo', 'vo')
    """
    return tuple(n for n in held(ds) if n in ds or n not in OPTIONAL_VARIABLES)


def declared_ranges(ds: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Ranges that the ensemble's plan sampled, where the store states them (attribute ``parameter_ranges``, JSON)."""
    where = f"the parameter_ranges of {ds.encoding.get('source', 'the store')}"
    with reading(where, "expected parameter names with [lowest, highest]; make the store again"):
        declared: Any = ds.attrs.get("parameter_ranges", {})
        if isinstance(declared, str):
            declared = json.loads(declared)
        return {str(n): (float(low), float(high)) for n, (low, high) in dict(declared).items()}
