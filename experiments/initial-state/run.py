"""What a young state is worth: errors of the default with parameters, with a state of some year, with both.

python experiments/initial-state/run.py states.zarr generator --splits validation test

Writes scores.csv (a row a member and score) and summary.csv beside this file; in summary.csv ``ratio_rmse`` and ``ratio_crps``
are errors relative to those with parameters alone (the target is 0.67 at year 50).
"""

import argparse
import logging
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from baselines import climatology
from forecasts import score, summarise, write_table
from members import Member, header, members, mesh, young_state

from warmstart.generator.checkpoint import load
from warmstart.generator.model import Generator
from warmstart.verbs.generate import generate

HERE = Path(__file__).parent
log = logging.getLogger("initial-state")


def main() -> None:
    """Draw, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("generator", help="folder of the default, or the name of a shipped generator")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--splits", nargs="+", default=["validation"], choices=["validation", "test"])
    parser.add_argument("--states", type=int, default=39)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    generator, grid, tables = load(options.generator), mesh(options.store), []
    for member in members(options.store, tuple(options.splits)):
        forecasts = cases(generator, member, options.states)
        labels = {"split": member.split, "member": member.number}
        base = climatology(options.store, member.values, n=options.states)
        tables.append(
            score(base, member.truth, grid).assign(rival="climatology", given="parameters", **labels)
        )
        for given, arguments in forecasts.items():
            states = generate(generator, n=options.states, seed=member.seed, extrapolate=True, **arguments)
            tables.append(score(states, member.truth, grid).assign(rival="default", given=given, **labels))
            log.info("member %d: %s", member.number, given)
    scores = pd.concat(tables, ignore_index=True)
    said = header(options.store)
    write_table(
        scores[["rival", "given", "split", "member", "metric", "variable", "depth", "unit", "value"]],
        options.output / "scores.csv",
        said,
    )
    write_table(
        pd.concat([summarise(scores), ratios(scores)], ignore_index=True),
        options.output / "summary.csv",
        said,
    )


def cases(generator: Generator, member: Member, states: int) -> dict[str, dict[str, object]]:
    """What the generator is given, by name."""
    known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
    found: dict[str, dict[str, object]] = {"parameters": {"parameters": known}}
    for year in generator.config.ages:
        state = young_state(member, year)
        if state is None:
            continue
        found[f"state of year {year:g}"] = {"initial": state, "age": year}
        found[f"state of year {year:g}, age not told"] = {"initial": state}
        found[f"parameters, state of year {year:g}"] = {"parameters": known, "initial": state, "age": year}
    return found


def ratios(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean errors over members relative to those with parameters alone."""
    ours = scores[(scores["rival"] == "default") & scores["metric"].isin(["rmse", "crps", "metric_crps"])]
    keys = ["split", "metric", "variable", "depth"]
    means = ours.groupby(["given", *keys])["value"].mean()
    base = means.xs("parameters", level="given")
    rows = []
    for given, group in means.groupby("given", sort=False):
        relative = (group.droplevel("given") / base[base > 0]).dropna()
        for (split, metric, variable, depth), value in relative.items():
            rows.append(("default", given, split, f"ratio_{metric}", variable, depth, "1", value))
        for (split, metric), value in (
            relative[relative.index.get_level_values("depth").isin(["all", ""])]
            .groupby(["split", "metric"])
            .mean()
            .items()
        ):
            rows.append(
                ("default", given, split, f"ratio_{metric}", "mean over variables", "all", "1", value)
            )
    return pd.DataFrame(
        rows, columns=["rival", "given", "split", "metric", "variable", "depth", "unit", "value"]
    )


if __name__ == "__main__":
    main()
