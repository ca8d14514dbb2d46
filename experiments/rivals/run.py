"""All rivals on the same held-out members: trains what is not trained yet, draws what is not drawn yet, scores, writes tables.

python experiments/rivals/run.py states.zarr -w work/rivals --splits validation
python experiments/rivals/run.py states.zarr -w work/rivals --splits validation test

Writes scores.csv (a row a rival, member and score) and summary.csv (means over members) beside this file. A rival that is
given an initial state has the member's own transient of the year --age. Interrupted, the same command continues.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

import baselines
import dino_fusion
from forecasts import novelty, score, summarise, write_table
from members import Member, header, members, mesh, training_states, young_state

from warmstart.generator.checkpoint import load
from warmstart.io.files import open_dataset, write_dataset
from warmstart.io.outputs import replacing
from warmstart.ocean.grid import Grid
from warmstart.verbs.generate import generate
from warmstart.verbs.train import train

HERE = Path(__file__).parent
log = logging.getLogger("rivals")

#: Rivals that are a training configuration, the default first.
TRAINED = {
    "default": HERE.parents[1] / "examples" / "dino-4deg.yaml",
    "diffusion": HERE.parents[1] / "examples" / "dino-4deg-diffusion.yaml",
    **{p.stem: p for p in sorted(HERE.glob("*.yaml"))},
}
#: Rivals that are no generator: function and its source.
SIMULATED = {"climatology": baselines.climatology, "nearest": baselines.nearest}
RECIPES = {"dino-fusion": False, "dino-fusion-parameters": True}
RIVALS = (*SIMULATED, *TRAINED, *RECIPES)
GIVEN = ("parameters", "state", "both")
Draw = Callable[[Member, str], xr.Dataset | None]


def main() -> None:
    """Train, draw, score, write."""
    options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    grid, training, tables = mesh(options.store), training_states(options.store), []
    held_out = list(members(options.store, tuple(options.splits)))
    for rival in options.only or RIVALS:
        draw = rivals_draw(rival, options)
        for given in GIVEN if rival == "default" else options.given:
            for member in held_out:
                path = options.work / rival / given / f"member_{member.number:03d}.nc"
                forecast = cached(path, draw, member, given, grid)
                if forecast is None:
                    continue
                table = scored(path.with_suffix(".csv"), forecast, member, training, grid)
                labels = {"rival": rival, "given": given, "split": member.split, "member": member.number}
                tables.append(table.assign(**labels, states=forecast.sizes["sample"]))
                log.info("%s, given %s: member %d", rival, given, member.number)
    scores = pd.concat(tables, ignore_index=True)
    scores = scores[
        ["rival", "given", "split", "member", "states", "metric", "variable", "depth", "unit", "value"]
    ]
    said = header(options.store) | {"initial state": f"year {options.age:g}"}
    write_table(scores, options.output / "scores.csv", said)
    write_table(summarise(scores), options.output / "summary.csv", said)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument(
        "-w", "--work", type=Path, required=True, help="folder for trained rivals and their states"
    )
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument("--splits", nargs="+", default=["validation"], choices=["validation", "test"])
    parser.add_argument("--only", nargs="+", choices=RIVALS)
    parser.add_argument(
        "--given",
        nargs="+",
        default=GIVEN,
        choices=GIVEN,
        help="what rivals are given; the default all of it",
    )
    parser.add_argument("--states", type=int, default=39, help="states a forecast")
    parser.add_argument(
        "--slow-states", type=int, default=9, help="states a forecast of DINO-Fusion, a minute of CPU each"
    )
    parser.add_argument("--recipe-steps", type=int, default=3000, help="training steps of DINO-Fusion")
    parser.add_argument("--age", type=float, default=50.0, help="year of the initial state")
    return parser.parse_args()


def rivals_draw(rival: str, options: argparse.Namespace) -> Draw:
    """How a rival draws states of one member from what it is given; None where it can not be given that."""
    folder = options.work / "trained" / rival
    folder.parent.mkdir(exist_ok=True)
    if rival in SIMULATED:

        def draw(member: Member, given: str) -> xr.Dataset | None:
            if given != "parameters":
                return None
            # the states of the nearest member are its snapshots, and no more
            count = options.states if rival == "climatology" else member.truth.sizes["sample"]
            return SIMULATED[rival](options.store, member.values, n=count)
    elif rival in RECIPES:
        if not folder.exists():
            dino_fusion.train(options.store, folder, RECIPES[rival], steps=options.recipe_steps, say=log.info)
        model = dino_fusion.load(folder)

        def draw(member: Member, given: str) -> xr.Dataset | None:
            if given != "parameters":
                return None
            known = {n: v for n, v in member.values.items() if n in model.config.ranges}
            if not known and (shared := options.work / rival / "shared.nc").exists():
                return open_dataset(shared).load()
            states = dino_fusion.generate(
                model, known, n=options.slow_states, seed=member.seed if known else 0
            )
            if not known:
                (options.work / rival).mkdir(exist_ok=True)
                write_dataset(shared, states, model.layout.grid)
            return states
    else:
        if not folder.exists():
            train(options.store, TRAINED[rival], folder, progress=sys.stderr.isatty())
        generator = load(folder)
        model = generator.config.config.residual.model

        def draw(member: Member, given: str) -> xr.Dataset | None:
            start = None if given == "parameters" else young_state(member, options.age)
            if given != "parameters" and (start is None or generator.spinup is None):
                return None
            known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
            return generate(
                generator, None if given == "state" else known, n=1 if model in ("none", "deterministic") else options.states,
                initial=start, age=None if start is None else options.age, extrapolate=True, seed=member.seed,
            )  # fmt: skip

    return draw


def cached(path: Path, draw: Draw, member: Member, given: str, grid: Grid) -> xr.Dataset | None:
    """The states in the file, or drawn now and kept."""
    if path.exists():
        return open_dataset(path).load()
    states = draw(member, given)
    if states is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dataset(path, states, grid)
    return states


def scored(
    path: Path, forecast: xr.Dataset, member: Member, training: xr.Dataset, grid: Grid
) -> pd.DataFrame:
    """The scores in the file, or taken now and kept."""
    if path.exists():
        return pd.read_csv(path, dtype={"unit": str}).fillna({"depth": ""})
    table = score(forecast, member.truth, grid)
    if {"thetao", "so"} <= set(forecast.data_vars):
        table = pd.concat([table, novelty(forecast, member.truth, training, grid)])
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return table


if __name__ == "__main__":
    main()
