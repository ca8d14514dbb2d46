"""How reliable is the default? Training members, each left out of a training of its own: six times as many as are held out.

python experiments/left-out/run.py states.zarr -w work/left-out

Trains the shipped configuration once for each group of training members without them (validation members stop it as ever, test
members are not read), draws the group, and scores it as `experiments/rivals` scores held-out members. Writes summary.csv beside
this file: split ``left out`` are all training members. The generators see fewer members than the shipped one, and err more.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from baselines import climatology
from forecasts import score, summarise, write_table
from members import header, members, mesh, resplit, trained

from warmstart.io.files import open_dataset
from warmstart.verbs.generate import generate

HERE = Path(__file__).parent
CONFIG = HERE.parents[1] / "examples" / "dino-4deg.yaml"
LEFT_OUT = "left out"
log = logging.getLogger("left-out")


def main() -> None:
    """Train, draw, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-w", "--work", type=Path, required=True, help="where generators and scores are kept")
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    parser.add_argument("--groups", type=int, default=6)
    parser.add_argument("--states", type=int, default=19)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    tables = [
        group(options.store, options.work, i, options.groups, options.states) for i in range(options.groups)
    ]
    table = summarise(pd.concat(tables, ignore_index=True))
    said = header(options.store) | {"groups": f"{options.groups}, each left out of a training of its own"}
    write_table(table, options.output / "summary.csv", said)


def group(source: Path, work: Path, index: int, groups: int, states: int) -> pd.DataFrame:
    """Scores of every so manyth training member by a generator that has not seen them; kept in `work`."""
    kept = work / f"scores_{index}.csv"
    if kept.exists():
        return pd.read_csv(kept, keep_default_na=False, na_values={"value": [""]})
    store = work / f"store_{index}.zarr"
    if not store.exists():
        ds = open_dataset(source)
        split, member = ds["split"].values.copy(), ds["member"].values
        training = np.unique(member[split == "train"])
        split[np.isin(member, training[index::groups])] = LEFT_OUT
        resplit(source, store, split)
    generator, grid, tables = trained(store, CONFIG, work / f"generator_{index}"), mesh(store), []
    for member in members(store, (LEFT_OUT,)):
        known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
        for rival, drawn in (
            ("climatology", climatology(store, member.values, n=states)),
            ("default", generate(generator, known, n=states, seed=member.seed, extrapolate=True)),
        ):
            scores = score(drawn, member.truth, grid)
            tables.append(
                scores.assign(rival=rival, given="parameters", split=LEFT_OUT, member=member.number)
            )
        log.info("member %d", member.number)
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(kept, index=False)
    return table


if __name__ == "__main__":
    main()
