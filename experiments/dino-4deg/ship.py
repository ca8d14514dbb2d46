"""Put a trained generator into the package: with what is normal (reference.csv) and a held-out truth and its spin-up (control.nc).

python experiments/dino-4deg/ship.py states.zarr generator src/warmstart/pretrained/dino-4deg
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from warmstart.io.files import open_dataset, open_grid, provenance, write_dataset
from warmstart.io.outputs import replacing
from warmstart.verbs.check import measure_reference

HELD_OUT = 7  #: the test member whose parameters the demo asks for


def main(store: Path, generator: Path, output: Path) -> None:
    """Copy the generator, measure the training members, and store the states of the held-out one, spin-up included."""
    ds, grid = open_dataset(store), open_grid(store)
    truth = ds.isel(sample=(ds.member == HELD_OUT).values).load()
    with replacing(output, overwrite=True, ours=True) as folder:
        folder.mkdir()
        for name in ("weights.safetensors", "config.yaml", "normalizer.nc", "README.md"):
            shutil.copy(generator / name, folder / name)
        measure_reference(store, folder / "reference.csv")
        write_dataset(folder / "control.nc", plain(truth).assign_attrs(provenance()), grid)


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Drop what zarr left in the encodings."""
    ds = ds.drop_encoding()
    for name in [n for n in ds.variables if ds[n].dtype.kind not in "fi"]:
        ds[name] = (ds[name].dims, np.array(ds[name].values.tolist()), ds[name].attrs)
    return ds


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
