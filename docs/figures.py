"""The table of figures in the README, made from committed result files.

python docs/figures.py

Writes the table between the two marks of the README anew. A test compares it with what is there, so that a figure of the README can
not differ from the file it is said to come from. A row names its file; a new row is one more entry of :func:`rows`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: python docs/figures.py -->", "<!-- end of figures -->"
SPLITS = ("validation", "test")
#: Layers of the tables of scores.
LAYERS = ("0-500 m", "500-2000 m", "below 2000 m")


def rows() -> Iterator[tuple[str, str, str]]:
    """What is said, its figure, and the committed file that the figure comes from."""
    agreement = result("engine_agreement")
    yield (
        "Veros step against the unmodified one, same rounding, 60 steps at 4 degrees",
        "identical to the last bit" if identical(agreement) else "not identical",
        "benchmarks/results/engine_agreement.json",
    )
    step = result("engine_step")
    plain, pure = step_seconds(step)
    yield (
        "Veros against the pure step, CPU time a model year",
        f"{plain:.2f} s / {pure:.2f} s = {plain / pure:.1f}",
        "benchmarks/results/engine_step.json",
    )
    for mesh, text in (("4deg", "at 4 degrees, over 85 to 200 years without a shift"), ("2deg", "at 2 degrees, 200 years after they began from equilibria at 4 degrees")):  # fmt: skip
        drifts, verdicts = zip(*members(f"dino-{mesh}"), strict=True)
        counts = ", ".join(f"{verdicts.count(v)} {w}" for v, w in (("equilibrium", "at equilibrium"), ("near", "near"), ("drifting", "drifting")) if v in verdicts)  # fmt: skip
        yield (
            f"deep drift of the {len(drifts)} members {text} ({counts})",
            f"{min(drifts):+.3f} to {max(drifts):+.3f} K/century".replace("-", "\N{MINUS SIGN}"),
            f"data/dino-{mesh}/README.md",
        )
    kept = table("experiments/equilibria/continued.csv")
    yield (
        "members of the published files whose verdict holds after 50 more years: equilibrium, near",
        ", ".join(f"{held} of {of}" for held, of in (holds(kept, "equilibrium"), holds(kept, "near"))),
        "experiments/equilibria/continued.csv",
    )
    starts = table("experiments/equilibria/starts.csv")
    yield (
        "years to equilibrium of members 0 to 5 from rest, from the nearest member, from a regression's prediction, all extrapolated; "
        "median of those that arrive",
        ", ".join(arrived(starts, start) for start in ("rest", "nearest", "predicted")),
        "experiments/equilibria/starts.csv",
    )
    rivals = "experiments/rivals/summary.csv"
    for metric, text in (
        ("rmse", "error of temperature [K]: climatology, nearest member, mean of the generated states"),
        ("crps", "its continuous ranked probability score [K]: climatology, nearest member, normal law, the shipped network"),
    ):  # fmt: skip
        names = ["climatology", "nearest", "default"] if metric == "rmse" else ["climatology", "nearest", "gaussian-residual", "default"]  # fmt: skip
        yield (
            text,
            both(lambda s, m=metric, n=names: ", ".join(f"{score(rivals, m, s, rival):.2f}" for rival in n)),
            rivals,
        )
    young = "experiments/initial-state/summary.csv"
    yield (
        "the error of temperature with the state of year 50 alone, and with the parameters too [K]",
        both(
            lambda s: ", ".join(
                f"{score(young, 'rmse', s, given=g):.2f}"
                for g in ("state of year 50", "parameters, state of year 50")
            )
        ),
        young,
    )
    theory = table("experiments/theory/scores.csv")
    yield (
        "error of left-out training members, share of climatology's: Gaussian process on parameters, on parameters and theory, on both by "
        "their relevance",
        ", ".join(f"{shares(theory, model, given):.3f}" for model, given in (
            ("gaussian-process", "parameters"), ("gaussian-process", "parameters and theory"),
            ("gaussian-process, inputs by relevance", "parameters and theory"),
        )),
        "experiments/theory/scores.csv",
    )  # fmt: skip
    parts = table("experiments/parts/scores.csv")
    yield (
        "error of scalar metrics of left-out training members, share of climatology's, mean over "
        f"{parts['metric'].nunique()}: all variables together, in parts, with mixed layers of their own, with transports of heat and salt, "
        "with thermal wind too",
        ", ".join(f"{v:.3f}" for v in parts.groupby("way", sort=False)["share_of_climatology"].mean()),
        "experiments/parts/scores.csv",
    )
    names = ("dino-fusion", "gaussian-residual", "diffusion", "default")
    yield (
        "score, share of climatology's, mean over fields and over scalar metrics: DINO-Fusion's recipe (3000 steps), Gaussian process with "
        "Gaussian residual, diffusion, the default",
        both(
            lambda s: ", ".join(
                f"{score(rivals, 'skill_crps', s, n, 'all'):.2f} and {score(rivals, 'skill_metric_crps', s, n, 'all'):.2f}"
                for n in names
            )
        ),
        rivals,
    )
    left_out = "experiments/left-out/summary.csv"
    spread, held = reliability(left_out, "spread_skill"), reliability(left_out, "coverage")
    yield (
        "spread over error, and share of the volume that 90 % intervals hold, over variables and depth ranges, 48 members left out of a "
        "training of their own",
        f"{min(spread):.2f} to {max(spread):.2f}, {100 * min(held):.0f} to {100 * max(held):.0f} %",
        left_out,
    )
    yield (
        "residual of thermal wind of generated states, over that of simulated snapshots; 48 left out",
        both(lambda s: f"{balance(rivals, s):.2f}") + f", left out {balance(left_out, 'left out'):.2f}",
        rivals,
    )
    seconds = sampling_times()
    yield (
        "sample of a network of about 10 M parameters, 25 evaluations, one thread [CPU s]: here, azula, diffusers, physicsnemo",
        ", ".join(f"{seconds[name]:.2f}" for name in ("warmstart", "azula", "diffusers", "physicsnemo")),
        "benchmarks/results/sampling.json",
    )
    own = result("sampling_shipped")
    state, network = (
        own[n]["cpu_seconds"] for n in ("shipped generator, a state", "network of 10 M parameters, a sample")
    )
    yield (
        "state of the shipped generator, constraints and all, beside the sample of the network of 10 M parameters [CPU s]",
        f"{state:.2f}, {network:.2f}",
        "benchmarks/results/sampling_shipped.json",
    )  # fmt: skip
    checked = table("experiments/dino-4deg/demo_metrics.csv")
    yield (
        "inversions of the states that the demo generates, share of the pairs of wet cells",
        f"{checked[checked['metric'] == 'inversions']['value'].max():g}",
        "experiments/dino-4deg/demo_metrics.csv",
    )
    demo = table("experiments/dino-4deg/demo_verify.csv")
    begins = demo[demo["metric"] == "distance_initial"].set_index("start")["value"]
    drawn = " and ".join(f"{v:.2f}" for n, v in begins.items() if str(n).startswith("generated"))
    yield (
        "distance to the equilibrium of test member 7 at the start of the demo, in standard deviations of the ensemble: rest, two "
        "generated states",
        f"{begins['rest']:.1f}, {drawn}",
        "experiments/dino-4deg/demo_verify.csv",
    )


def both(say: Any) -> str:
    """The figures of validation members and of test members, told apart."""
    return "; ".join(f"{split} {say(split)}" for split in SPLITS)


@cache
def table(name: str) -> pd.DataFrame:
    """A result table of the project."""
    return pd.read_csv(ROOT / name, comment="#", keep_default_na=False, na_values={"value": [""]})


def result(name: str) -> dict[str, Any]:
    """A result of a benchmark."""
    return dict(json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")))


def identical(agreement: dict[str, Any]) -> bool:
    """Whether every field of the pure step is that of the unmodified one after 60 steps."""
    return not any(agreement["max|a-b| / max|b|"]["same rounding"]["60"].values())


def members(collection: str) -> Iterator[tuple[float, str]]:
    """Drift of the deep ocean [K/century] and verdict of every member of a collection."""
    for path in sorted((ROOT / "data" / collection).glob("member_*.nc")):
        with netCDF4.Dataset(path) as file:
            yield float(file.drift_K_per_century), str(file.verdict)


def holds(continued: pd.DataFrame, verdict: str) -> tuple[int, int]:
    """How many members that had a verdict have it still, or a better one, and of how many."""
    own = continued[(continued["file"] == "published") & (continued["verdict"] == verdict)]
    good = ("equilibrium",) if verdict == "equilibrium" else ("equilibrium", "near")
    return int(own["verdict_after"].isin(good).sum()), len(own)


def arrived(starts: pd.DataFrame, start: str) -> str:
    """Median of the years to equilibrium of members 0 to 5 that arrive, and how many of them do."""
    column = "years_to_equilibrium_rest" if start == "rest" else "years_to_equilibrium"
    kind = "nearest" if start == "rest" else start
    years = pd.to_numeric(starts[starts["start"] == kind][column]).dropna()
    return f"{years.median():.0f} ({len(years)} of {(starts['start'] == kind).sum()})"


def score(name: str, metric: str, split: str, rival: str = "default", variable: str = "thetao", given: str = "parameters") -> float:  # fmt: skip
    """One score of a table of forecasts."""
    t = table(name)
    found = t[
        (t["rival"] == rival) & (t["given"] == given) & (t["split"] == split) & (t["metric"] == metric)
        & t["variable"].isin([variable, ""]) & t["depth"].isin(["all", ""])
    ]  # fmt: skip
    return float(found["value"].item())


def shares(theory: pd.DataFrame, model: str, given: str) -> float:
    """Error of left-out members as a share of climatology's."""
    return float(theory[(theory["model"] == model) & (theory["input"] == given)]["share_of_climatology"].item())  # fmt: skip


def reliability(name: str, metric: str) -> list[float]:
    """A score of every variable and depth range; sea level has no depth."""
    t = table(name)
    found = t[(t["rival"] == "default") & (t["metric"] == metric)]
    return list(found[found["depth"].isin(LAYERS) | (found["variable"] == "zos")]["value"])


def balance(name: str, split: str) -> float:
    """Residual of thermal wind of the states, over that of the snapshots."""
    t = table(name)
    own = t[(t["rival"] == "default") & (t["split"] == split) & (t["given"] == "parameters") & (t["variable"] == "thermal_wind_residual")]  # fmt: skip
    means = own.set_index("metric")["value"]
    return float(means["forecast_mean"] / means["truth_mean"])


def sampling_times() -> dict[str, float]:
    """CPU seconds a sample, by network."""
    return {n: float(np.median(v["all_cpu_seconds"])) for n, v in result("sampling")["networks"].items()}


def step_seconds(step: dict[str, Any]) -> tuple[float, float]:
    """CPU seconds a model year: unmodified Veros, the pure step."""
    return step["cpu_s_per_model_year"]["veros"], step["cpu_s_per_model_year"]["pure"]


def text() -> str:
    """The table in Markdown, with its marks."""
    lines = [BEGIN, "", "| what | figure | from |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | [{Path(source).name}]({source}) |" for what, figure, source in rows()]
    return "\n".join([*lines, "", END])


def replaced(page: str) -> str:
    """The page with the table made anew."""
    before, rest = page.split(BEGIN)
    return before + text() + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(encoding="utf-8")), encoding="utf-8")
