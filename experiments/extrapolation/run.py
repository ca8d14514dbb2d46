"""Members outside the training box in one parameter: trains without them, scores them apart from those inside.

python experiments/extrapolation/run.py states.zarr -w work/extrapolation --parameter vertical_diffusivity

All members in the upper --share of the parameter's range are kept from training and validation. Writes PARAMETER.csv beside
this file: split ``inside`` are validation and test members within the box, ``outside`` those beyond it; ``flagged`` says in
how many of the cases the generator refused the parameters as out of range.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

import baselines
from forecasts import COLUMNS, score, summarise, write_table
from members import Member, header, members, mesh, resplit, trained

from warmstart.errors import UserError
from warmstart.generator.model import Generator
from warmstart.io.files import open_dataset
from warmstart.ocean.parameters import get
from warmstart.store.reader import declared_ranges
from warmstart.verbs.generate import generate

HERE = Path(__file__).parent
RIVALS = {
    "default": HERE.parents[1] / "examples" / "dino-4deg.yaml",
    **{
        name: HERE.parent / "rivals" / f"{name}.yaml"
        for name in ("ridge", "gaussian-process", "gaussian-residual")
    },
}
log = logging.getLogger("extrapolation")


def main() -> None:
    """Relabel, train, draw, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-w", "--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--parameter", default="vertical_diffusivity")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--states", type=int, default=39)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / f"{options.parameter}.zarr"
    if not store.exists():
        relabel(options.store, store, options.parameter, options.share)
    grid, tables = mesh(store), []
    held_out = list(members(store, ("validation", "inside", "outside")))
    sources = {
        name: trained(store, config, options.work / options.parameter / name)
        for name, config in RIVALS.items()
    }
    for rival in ("climatology", "nearest", *sources):
        for member in held_out:
            if rival in sources:
                states, flagged = drawn(sources[rival], member, options.states)
            else:
                count = options.states if rival == "climatology" else member.truth.sizes["sample"]
                states, flagged = getattr(baselines, rival)(store, member.values, n=count), float("nan")
            table = pd.concat(
                [
                    score(states, member.truth, grid),
                    pd.DataFrame([("flagged", "", "", "1", flagged)], columns=list(COLUMNS)),
                ]
            )
            split = "outside" if member.split == "outside" else "inside"
            tables.append(table.assign(rival=rival, given="parameters", split=split, member=member.number))
            log.info("%s: member %d, %s", rival, member.number, split)
    table = summarise(pd.concat(tables, ignore_index=True))
    said = header(options.store) | {"outside": f"upper {options.share:g} of the range of {options.parameter}"}
    write_table(table, options.output / f"{options.parameter}.csv", said)


def relabel(source: Path, output: Path, parameter: str, share: float) -> None:
    """Copy a store with the members beyond a limit as split ``outside`` and its test members as ``inside``."""
    ds = open_dataset(source)
    ranges = declared_ranges(ds)
    low, high = ranges.get(parameter, (float(ds[parameter].min()), float(ds[parameter].max())))
    p = get(parameter)
    at = np.log if p.scale == "log" else np.asarray
    place = (at(ds[parameter].values) - at(low)) / (at(high) - at(low))
    split = np.where(
        place > 1 - share, "outside", np.where(ds["split"].values == "test", "inside", ds["split"].values)
    )
    edge = at(low) + (1 - share) * (at(high) - at(low))
    box = ranges | {parameter: (low, float(np.exp(edge) if p.scale == "log" else edge))}
    resplit(source, output, split, parameter_ranges=json.dumps(box))


def drawn(generator: Generator, member: Member, count: int) -> tuple[xr.Dataset, float]:
    """States of a member, and whether its parameters were refused before."""
    known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
    count = 1 if generator.config.config.residual.model == "none" else count
    try:
        return generate(generator, known, n=count, seed=member.seed), 0.0
    except UserError:
        return generate(generator, known, n=count, seed=member.seed, extrapolate=True), 1.0


if __name__ == "__main__":
    main()
