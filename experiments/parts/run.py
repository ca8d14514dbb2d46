"""What are parts of the mean, and a regression of the mixed layer, worth? Left-out training members, by every scalar metric.

python experiments/parts/run.py states.zarr

Trains nothing but the mean: each training member is predicted from the others, all variables together or in parts, with mixed layers as
they come out or of a regression of their own, with the transports of heat and salt that come out or of a regression of their own; then columns
are made stable, as those of every generated state, and at last the currents come nearer to thermal wind and the ageostrophic flow that a
regression of its own expects, by the share that ships. Validation and test members are not looked at. Writes scores.csv beside this file: way, metric, mean absolute error and its share of climatology's, the mean
of the other members' values.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import one_sided, write_table
from members import header

from warmstart.generator import fit
from warmstart.generator.constraints.barotropic import close_barotropic
from warmstart.generator.constraints.stability import stabilise
from warmstart.generator.fit import parts
from warmstart.generator.quantities import QUANTITIES
from warmstart.generator.quantities.quantity import Quantity
from warmstart.generator.quantities.quantity import fit as fit_quantity
from warmstart.generator.settings import resolve
from warmstart.regression import mean
from warmstart.regression.normalizer import Normalizer
from warmstart.regression.theory import theory_of
from warmstart.scores.metrics import METRICS
from warmstart.verbs.check import check

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "examples" / "dino-4deg.yaml"
SCORED = [name for name in METRICS if not one_sided(name)]
QUICK = {
    "residual": {"model": "none"},
    "condition": {"initial_state": False},
    "mean": {"model": "climatology", "theory": False},
    "quantities": {"mixed_layer": 0, "transports": 0, "currents": 0},
}


def main() -> None:
    """Predict every training member from the others, in each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    options = parser.parse_args()
    prepared = fit.prepare(options.store, resolve(QUICK))
    examples, normalizer = prepared.examples, prepared.generator.normalizer
    seen = prepared.generator.config.parameters
    members = np.unique(examples.member)
    means = np.stack([examples.states[examples.member == m].mean(0) for m in members])
    theory = theory_of(
        {n: (p.low, p.high) for n, p in seen.items() if p.varies},
        {n: p.low for n, p in seen.items() if not p.varies},
    )
    inputs, weights = theory.extend(examples.inputs), normalizer.layout.to_wet(normalizer.layout.weights)
    known = (examples.states, examples.member, inputs, normalizer)
    depths, flows, currents = (left_out(quantity, *known) for quantity in QUANTITIES.values())
    share = resolve(SHIPPED).quantities["currents"]
    together = mean.crossfit(means, inputs, weights)[0]
    apart = mean.crossfit(means, inputs, weights, split=parts(normalizer))[0]
    truth = scalars(physical(means, normalizer), normalizer)
    rows = []
    for way, predicted, mixing, carried, kept in (
        ("together", together, None, None, None),
        ("parts", apart, None, None, None),
        ("parts and mixed layer", apart, depths, None, None),
        ("parts, mixed layer and transports", apart, depths, flows, None),
        ("parts, mixed layer, transports and thermal wind", apart, depths, flows, currents),
    ):
        states = stable(physical(predicted, normalizer), normalizer, mixing, carried, kept, share)
        found = scalars(states, normalizer)
        for name in truth:
            values = truth[name].to_numpy()
            others = (values.sum() - values) / (len(values) - 1)
            error, base = (float(np.abs(v - values).mean()) for v in (found[name].to_numpy(), others))
            # a rigid lid has one volume
            if base > 1e-9 * np.abs(values).max():
                rows.append((way, name, error, error / base))
    table = pd.DataFrame(rows, columns=["way", "metric", "mean_absolute_error", "share_of_climatology"])
    table["members"] = len(means)
    write_table(table, options.output / "scores.csv", header(options.store))


def physical(wet: np.ndarray, normalizer: Normalizer) -> xr.Dataset:
    """States in physical units, ``(sample, z, y, x)``."""
    return normalizer.layout.unpack(normalizer.restore(normalizer.layout.from_wet(wet)))


def left_out(
    quantity: Quantity,
    states: np.ndarray,
    member: np.ndarray,
    inputs: np.ndarray,
    normalizer: Normalizer,
) -> list[np.ndarray]:
    """What a model of a quantity that has not seen the member says of it, for each member."""
    found: dict[int, np.ndarray] = {}
    for fold in mean.folds(len(inputs)):
        rest = np.setdiff1d(np.arange(len(inputs)), fold)
        chosen = np.isin(member, rest)
        model = fit_quantity(
            quantity, states[chosen], np.searchsorted(rest, member[chosen]), inputs[rest], normalizer
        )
        found |= {int(i): model.expected(inputs[i]) for i in fold}
    return [found[i] for i in range(len(inputs))]


def stable(
    states: xr.Dataset,
    normalizer: Normalizer,
    depths: list[np.ndarray] | None,
    flows: list[np.ndarray] | None,
    currents: list[np.ndarray] | None,
    share: float,
) -> xr.Dataset:
    """The states with mixed layers and transports, if given, stable columns and, if given, currents nearer to balance."""
    grid, out = normalizer.layout.grid, []
    for i in range(states.sizes["sample"]):
        state = close_barotropic(states.isel(sample=i), grid)[0]
        if depths is not None:
            state = QUANTITIES["mixed_layer"].impose(depths[i], 1.0)(state, grid)[0]
        if flows is not None:
            state = QUANTITIES["transports"].impose(flows[i], 1.0)(state, grid)[0]
        state = stabilise(state, grid)[0]
        if currents is not None:
            state = QUANTITIES["currents"].impose(currents[i], share)(state, grid)[0]
        out.append(state)
    return xr.concat(out, "sample")


def scalars(states: xr.Dataset, normalizer: Normalizer) -> pd.DataFrame:
    """A row a state, a column a metric."""
    table = check(states, normalizer.layout.grid, only=SCORED)
    return table.pivot_table(index="sample", columns="metric", values="value")


if __name__ == "__main__":
    main()
