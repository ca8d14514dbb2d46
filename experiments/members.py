"""Held-out members for the experiments: their truth, what a forecast is given of them, and the header of a result table."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from records import made_with

from warmstart.generator.checkpoint import load
from warmstart.generator.model import Generator
from warmstart.io.files import open_dataset, open_grid
from warmstart.io.outputs import replacing
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import extract
from warmstart.verbs.train import train


@dataclass(frozen=True, eq=False)
class Member:
    """A held-out member.

    Attributes
    ----------
    number, split : which.
    truth : its equilibrium snapshots.
    transients : its states on the way, with ``year``.
    values : its parameters.
    """

    number: int
    split: str
    truth: xr.Dataset
    transients: xr.Dataset
    values: dict[str, float]

    @property
    def seed(self) -> int:
        """Of its first state. With the same seeds for all, a mean over members would keep the error of so many draws of noise."""
        return 1000 * self.number


def members(store: Path, splits: tuple[str, ...]) -> Iterator[Member]:
    """The members of the splits, one after the other."""
    ds = open_dataset(store)
    for number in np.unique(ds["member"].values):
        own = ds.isel(sample=np.flatnonzero(ds["member"].values == number))
        split = str(own["split"].values[0])
        if split not in splits:
            continue
        own = own.load()
        settled = own["phase"].values == "equilibrium"
        truth = own.isel(sample=np.flatnonzero(settled))
        values = {n: float(v[0]) for n, v in extract(truth).items()}
        yield Member(int(number), split, truth, own.isel(sample=np.flatnonzero(~settled)), values)


def training_states(store: Path) -> xr.Dataset:
    """One equilibrium snapshot of each training member."""
    ds = open_dataset(store)
    chosen = np.flatnonzero((ds["split"].values == "train") & (ds["phase"].values == "equilibrium"))
    first = np.unique(ds["member"].values[chosen], return_index=True)[1]
    return ds.isel(sample=chosen[first]).load()


def mesh(store: Path) -> Grid:
    """The mesh of the store."""
    return open_grid(store)


def young_state(member: Member, year: float) -> xr.Dataset | None:
    """The member's transient of a year, without its label; None if there is none."""
    found = np.flatnonzero(np.isclose(member.transients["year"].values.astype(float), year))
    if not len(found):
        return None
    return (
        member.transients[["thetao", "so", "uo", "vo", "zos"]]
        .isel(sample=int(found[0]))
        .reset_coords(drop=True)
    )


def resplit(source: Path, output: Path, split: np.ndarray, **attributes: str) -> None:
    """Copy a store with another split ``(sample,)`` and other attributes."""
    ds, grid = open_dataset(source).load(), mesh(source)
    ds = ds.assign_coords(split=("sample", split.astype(object))).drop_encoding().assign_attrs(attributes)
    with replacing(output) as temporary:
        ds.to_zarr(temporary, zarr_format=3, consolidated=False)
        grid.ds.drop_encoding().to_zarr(temporary, group="grid", mode="a", zarr_format=3, consolidated=False)


def trained(store: Path, config: Path, folder: Path) -> Generator:
    """A generator, trained now if its folder is not there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        train(store, config, folder)
    return load(folder)


def header(store: Path) -> dict[str, object]:
    """What a table of scores was made with, the members of the store among it."""
    ds = open_dataset(store)
    counts = {
        s: len(np.unique(ds["member"].values[ds["split"].values == s]))
        for s in ("train", "validation", "test")
    }
    return made_with() | {
        "torch": importlib.metadata.version("torch"),
        "members": ", ".join(f"{n} {s}" for s, n in counts.items()),
    }
