"""Turn a folder of compressed members, as ``data/export.py`` wrote them, into one store of states to train on.

python data/collect.py data/dino-4deg states.zarr
"""

import sys
from pathlib import Path

import numpy as np

from warmstart.data.store import FORCING, Member, store
from warmstart.files import open_dataset, open_grid
from warmstart.parameters import extract


def main(folder: Path, output: Path) -> None:
    """Gather every ``member_NNN.nc`` of the folder."""
    paths = sorted(folder.glob("member_*.nc"))
    if not paths:
        sys.exit(f"{folder} holds no member_NNN.nc; expected what data/export.py writes")
    print(store([member(path) for path in paths], folder, output).to_string(index=False))


def member(path: Path) -> Member:
    """What a file says of itself, not its states."""
    mesh = open_grid(path)
    with open_dataset(path) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
        return Member(
            index=int(ds.attrs["member"]), path=path, grid=mesh, chosen=np.arange(ds.sizes["time"]),
            drift=float(ds.attrs["drift_K_per_century"]), verdict=str(ds.attrs["verdict"]), values=values,
            forcing=tuple(name for name in FORCING if name in ds), version=str(ds.attrs["warmstart_version"]),
        )  # fmt: skip


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
