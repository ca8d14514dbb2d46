"""Turn a folder of compressed members, as ``data/export.py`` wrote them, into one store of states to train on.

python data/collect.py data/dino-4deg states.zarr examples/ensemble-dino-4deg.yaml

The plan says in which ranges the parameters were sampled; without it they are those of the training members.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from warmstart.config import dump_yaml
from warmstart.data.store import FORCING, Member, store
from warmstart.engine.plan import load_plan
from warmstart.files import open_dataset, open_grid
from warmstart.parameters import extract


def main(folder: Path, output: Path, plan: Path | None = None) -> None:
    """Gather every ``member_NNN.nc`` of the folder."""
    paths = sorted(folder.glob("member_*.nc"))
    if not paths:
        sys.exit(f"{folder} holds no member_NNN.nc; expected what data/export.py writes")
    with tempfile.TemporaryDirectory() as runs:
        if plan is not None:
            dump_yaml({"ranges": {n: list(span) for n, span in load_plan(plan).ranges.items()}}, Path(runs) / "plan.yaml")
        print(store([member(path) for path in paths], Path(runs), output).to_string(index=False))


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
    main(*map(Path, sys.argv[1:4]))
