"""Does one stream of noise a sample draw states as good as two with one seed did? Validation members, by every score.

python experiments/one-stream/run.py states.zarr

Former versions took the latent from one generator of random numbers and the residual of the transports from another one with the same
seed. Draws the same states with both, scores them, and writes scores.csv beside this file: metric, variable, the mean over the members with
one stream and with two, their difference, and its standard error over members.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import score, write_table
from members import header, members, mesh

from warmstart.generator import draw
from warmstart.generator.checkpoint import load
from warmstart.generator.noise import Stream
from warmstart.verbs.generate import generate

HERE = Path(__file__).parent
KEPT = ("crps", "rmse", "metric_crps", "forecast_mean")


class TwoStreams(Stream):
    """What was: whole numbers from a generator of their own, with the same seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed = seed

    def integer(self, count: int) -> int:
        """The first of 0 to `count` - 1 of this seed."""
        return int(np.random.default_rng(self.seed).integers(count))


def main() -> None:
    """Draw and score with both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-g", "--generator", default="dino-4deg", help="folder or shipped name")
    parser.add_argument("--states", type=int, default=19, help="states a forecast")
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    options = parser.parse_args()
    grid, generator, tables = mesh(options.store), load(options.generator), []
    for member in members(options.store, ("validation",)):
        known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
        for name, noise in (("two", TwoStreams), ("one", Stream)):
            draw.Stream = noise
            states = generate(generator, known, n=options.states, seed=member.seed, extrapolate=True)
            table = score(states, member.truth, grid)
            chosen = table["metric"].isin(KEPT) & table["depth"].isin(["", "all"])
            tables.append(table[chosen].assign(streams=name, member=member.number))
    keys = ["metric", "variable", "unit", "member"]
    wide = pd.concat(tables).pivot_table(index=keys, columns="streams", values="value", sort=False)
    wide["difference"] = wide["one"] - wide["two"]
    by = wide.groupby(keys[:3], sort=False)
    found = by[["one", "two", "difference"]].mean()
    found["standard_error"] = by["difference"].std() / np.sqrt(by["difference"].count())
    found["relative"] = found["difference"] / found["two"].where(found["two"] != 0)
    found["members"], found["states"] = by["difference"].count(), options.states
    write_table(found.reset_index(), options.output / "scores.csv", header(options.store))


if __name__ == "__main__":
    main()
