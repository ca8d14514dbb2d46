"""Put a trained generator into the package: with what is normal (reference.csv) and a held-out truth and its spin-up (control.nc).

python experiments/dino-4deg/ship.py states.zarr generator src/warmstart/pretrained/dino-4deg diffusion=other

Further generators, NAME=FOLDER, that differ in their network only go into a folder of that name, without what they share.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from warmstart.io.files import open_dataset, open_grid, provenance, write_dataset
from warmstart.io.outputs import replacing
from warmstart.verbs.check import measure_reference

HELD_OUT = 7  #: the test member whose parameters the demo asks for


def main(store: Path, generator: Path, output: Path, *further: str) -> None:
    """Copy the generator and further networks, measure the training members, and store the states of the held-out one, spin-up included."""
    ds, grid = open_dataset(store), open_grid(store)
    truth = ds.isel(sample=(ds.member == HELD_OUT).values).load()
    with replacing(output, overwrite=True, ours=True) as folder:
        folder.mkdir()
        for name in ("weights.safetensors", "config.yaml", "normalizer.nc", "README.md"):
            shutil.copy(generator / name, folder / name)
        for name, _, other in (words.partition("=") for words in further):
            (folder / name).mkdir()
            for file in ("config.yaml", "README.md"):
                shutil.copy(Path(other) / file, folder / name / file)
            (folder / name / "weights.safetensors").write_bytes(difference(generator, Path(other)))
        measure_reference(store, folder / "reference.csv")
        write_dataset(folder / "control.nc", plain(truth).assign_attrs(provenance()), grid)


def difference(generator: Path, other: Path) -> bytes:
    """The arrays of another generator that are not those of the first."""
    first, second = (load_file(folder / "weights.safetensors") for folder in (generator, other))
    if set(first) != set(second):
        raise SystemExit(f"{other} is no other network of {generator}: they hold different arrays")
    return to_bytes({n: a for n, a in second.items() if a.tobytes() != first[n].tobytes()})


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Drop what zarr left in the encodings."""
    ds = ds.drop_encoding()
    for name in [n for n in ds.variables if ds[n].dtype.kind not in "fi"]:
        ds[name] = (ds[name].dims, np.array(ds[name].values.tolist()), ds[name].attrs)
    return ds


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *sys.argv[4:])
