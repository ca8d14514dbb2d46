"""What is theory worth to the mean? Left-out training members, with and without the pycnocline among the inputs.

python experiments/theory/run.py states.zarr

Trains nothing but the mean: each training member is predicted by Gaussian processes, and by ridge regressions, of the others. The
Gaussian process takes all inputs alike, or by their relevance. As a control, as many features that are no theory: smooth random
functions of the same parameters, scaled alike. Validation and test members are not looked at. Writes scores.csv beside this file:
input, model, root mean square error of the state and its share of climatology's, in standardised units, all variables and levels with
the same say.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from members import header

from warmstart.generator import fit
from warmstart.generator.settings import resolve
from warmstart.regression import mean
from warmstart.regression.theory import FEATURES, theory_of

HERE = Path(__file__).parent
CONTROLS = 4  #: draws of random features


def main() -> None:
    """Predict every training member from the others, in each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    options = parser.parse_args()
    states, inputs, weights, seen = training_means(options.store)
    ranges = {n: (p.low, p.high) for n, p in seen.items() if p.varies}
    theory = theory_of(ranges, {n: p.low for n, p in seen.items() if not p.varies})
    ways = {"parameters": [inputs], "parameters and theory": [theory.extend(inputs)]}
    ways["parameters and random features"] = [
        np.hstack([inputs, random_features(inputs, k)]) for k in range(CONTROLS)
    ]
    # climatology: the mean of the others
    others = (states.sum(0) - states) / (len(states) - 1)
    scale = error(others, states, weights)
    rows = [{"input": "none", "model": "climatology", "rmse": scale}]
    for model in ("ridge", "gaussian-process"):
        for name, given in ways.items():
            for weigh in (False, True) if model == "gaussian-process" else (False,):
                errors = [
                    error(mean.crossfit(states, x, weights, model=model, weigh=weigh)[0], states, weights)
                    for x in given
                ]
                label = f"{model}, inputs by relevance" if weigh else model
                rows.append({"input": name, "model": label, "rmse": float(np.median(errors))})
    table = pd.DataFrame(rows)
    table["share_of_climatology"] = table["rmse"] / scale
    table["members"] = len(states)
    write_table(table, options.output / "scores.csv", header(options.store))


def training_means(store: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """Mean state of each training member, scaled parameters, weights, and what was seen of each parameter."""
    config = resolve(
        {
            "residual": {"model": "none"},
            "condition": {"initial_state": False},
            "mean": {"model": "climatology", "theory": False},
            "quantities": {"mixed_layer": 0, "transports": 0, "currents": 0},
        }
    )
    prepared = fit.prepare(store, config)
    examples, layout = prepared.examples, prepared.generator.layout
    states = np.stack([examples.states[examples.member == m].mean(0) for m in np.unique(examples.member)])
    return states, examples.inputs, layout.to_wet(layout.weights), prepared.generator.config.parameters


def random_features(inputs: np.ndarray, seed: int) -> np.ndarray:
    """Smooth functions of the parameters that say nothing, with the spread of a parameter."""
    rng = np.random.default_rng(seed)
    size = (inputs.shape[1], len(FEATURES))
    drawn = np.tanh(2 * inputs @ rng.normal(size=size)) + (inputs @ rng.normal(size=size)) ** 2
    return (drawn - drawn.mean(0)) / drawn.std(0) / np.sqrt(12.0)


def error(predicted: np.ndarray, states: np.ndarray, weights: np.ndarray) -> float:
    """Root of the weighted mean square over members and wet values."""
    return float(np.sqrt((((predicted - states) ** 2) @ weights).mean() / weights.sum()))


if __name__ == "__main__":
    main()
