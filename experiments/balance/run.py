"""How much of their departure from thermal wind should generated currents lose? Validation members, by what moves with the currents.

python experiments/balance/run.py states.zarr

Draws the same states with several shares (`quantities.currents`), towards the ageostrophic flow of the regression on the parameters, and of the
expected state. Writes scores.csv beside this file: share, towards what, what was scored, its mean over the members, and that relative to
share 0; of residuals of balance also the truth's.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import score, write_table
from members import header, members, mesh

from warmstart.generator.checkpoint import load
from warmstart.generator.model import Generator
from warmstart.verbs.generate import generate

HERE = Path(__file__).parent
REGRESSION, EXPECTED = "regression", "expected state"
CASES = (
    *((share, REGRESSION) for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
    *((share, EXPECTED) for share in (0.5, 0.75, 1.0)),
)
METRICS = (
    "thermal_wind_residual", "geostrophic_residual", "heat_transport_north", "heat_transport_south", "salt_transport",
    "overturning_north", "overturning_density_north", "overturning_density_abyssal", "channel_transport", "kinetic_energy",
)  # fmt: skip
KEPT = ("crps", "metric_crps", "forecast_mean", "truth_mean")


def main() -> None:
    """Draw and score with each share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-g", "--generator", default="dino-4deg", help="folder or shipped name")
    parser.add_argument("--states", type=int, default=9, help="states a forecast")
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    options = parser.parse_args()
    grid, generator, tables = mesh(options.store), load(options.generator), []
    for member in members(options.store, ("validation",)):
        known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
        for share, towards in CASES:
            states = generate(
                balanced(generator, share, towards),
                known,
                n=options.states,
                seed=member.seed,
                extrapolate=True,
            )
            table = score(states, member.truth, grid, METRICS)
            chosen = table["metric"].isin(KEPT) & table["depth"].isin(["", "all"])
            tables.append(table[chosen].assign(share=share, towards=towards, member=member.number))
    means = pd.concat(tables).groupby(["share", "towards", "metric", "variable"], sort=False)["value"].mean()
    without = means.xs(CASES[0])
    found = means.reset_index()
    found["relative"] = [
        row.value / without[row.metric, row.variable] if without[row.metric, row.variable] else float("nan")
        for row in found.itertuples()
    ]
    found["members"], found["states"] = len(tables) // len(CASES), options.states
    write_table(found, options.output / "scores.csv", header(options.store))


def balanced(generator: Generator, share: float, towards: str) -> Generator:
    """The generator with another share, towards one or the other."""
    settings = generator.config.config
    config = settings.model_copy(update={"quantities": settings.quantities | {"currents": share}})
    kept = {n: q for n, q in generator.quantities.items() if n != "currents" or towards == REGRESSION}
    return replace(generator, config=generator.config.model_copy(update={"config": config}), quantities=kept)


if __name__ == "__main__":
    main()
