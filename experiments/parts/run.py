"""What are parts of the mean, and a regression of the mixed layer, worth? Left-out training members, by every scalar metric.

python experiments/parts/run.py states.zarr

Trains nothing but the mean: each training member is predicted from the others, all variables together or in parts, with mixed layers as
they come out or of a regression of their own, with the transports of heat and salt that come out or of a regression of their own; then columns
are made stable, as those of every generated state, and at last the currents follow the water towards thermal wind. Validation and test
members are not looked at. Writes scores.csv beside this file: way, metric, mean absolute error and its share of climatology's, the mean
of the other members' values.
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from members import header

from warmstart.check import check
from warmstart.data.normalize import Normalizer
from warmstart.evaluate import one_sided, write_table
from warmstart.generator import mixed_layer, prepare, transports
from warmstart.generator.config import resolve
from warmstart.generator.constraints import close_barotropic, stabilise
from warmstart.generator.parts import parts
from warmstart.generator.thermal_wind import ageostrophic, balancing
from warmstart.metrics import METRICS
from warmstart.physics.theory import theory_of
from warmstart.regression import mean

HERE = Path(__file__).parent
SHARE = 0.5  #: `residual.balance` of the shipped generators
SCORED = [name for name in METRICS if not one_sided(name)]
QUICK = {
    "residual": {"model": "none"},
    "condition": {"initial_state": False},
    "mean": {"model": "climatology", "mixed_layer": False, "transports": False},
}


def main() -> None:
    """Predict every training member from the others, in each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the table")
    options = parser.parse_args()
    prepared = prepare.prepare(options.store, resolve(QUICK))
    examples, normalizer = prepared.examples, prepared.generator.normalizer
    seen = prepared.generator.config.parameters
    members = np.unique(examples.member)
    means = np.stack([examples.states[examples.member == m].mean(0) for m in members])
    theory = theory_of(
        {n: (p.low, p.high) for n, p in seen.items() if p.varies},
        {n: p.low for n, p in seen.items() if not p.varies},
    )
    inputs, weights = theory.extend(examples.inputs), normalizer.layout.to_wet(normalizer.layout.weights)
    depths = left_out(mixed_layer, examples.states, examples.member, inputs, normalizer)
    flows = left_out(transports, examples.states, examples.member, inputs, normalizer)
    together = mean.crossfit(means, inputs, weights)[0]
    apart = mean.crossfit(means, inputs, weights, split=parts(normalizer))[0]
    truth = scalars(physical(means, normalizer), normalizer)
    rows = []
    for way, predicted, mixing, carried, share in (
        ("together", together, None, None, 0.0),
        ("parts", apart, None, None, 0.0),
        ("parts and mixed layer", apart, depths, None, 0.0),
        ("parts, mixed layer and transports", apart, depths, flows, 0.0),
        ("parts, mixed layer, transports and thermal wind", apart, depths, flows, SHARE),
    ):
        states = stable(physical(predicted, normalizer), normalizer, mixing, carried, share)
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
    what: ModuleType, states: np.ndarray, member: np.ndarray, inputs: np.ndarray, normalizer: Normalizer
) -> np.ndarray:
    """Mixed layer depths ``(member, y, x)`` or transports ``(member, variable, row)`` by a model that has not seen the member."""
    found: dict[int, np.ndarray] = {}
    for fold in mean.folds(len(inputs)):
        rest = np.setdiff1d(np.arange(len(inputs)), fold)
        chosen = np.isin(member, rest)
        model = what.fit(states[chosen], np.searchsorted(rest, member[chosen]), inputs[rest], normalizer)
        for i in fold:
            found[int(i)] = model.depth(inputs[i]) if what is mixed_layer else model.expected(inputs[i])
    return np.stack([found[i] for i in range(len(inputs))])


def stable(
    states: xr.Dataset,
    normalizer: Normalizer,
    depths: np.ndarray | None,
    flows: np.ndarray | None,
    share: float,
) -> xr.Dataset:
    """The states with these transports and mixed layers, if given, stable columns and a share of balance."""
    grid, out = normalizer.layout.grid, []
    for i in range(states.sizes["sample"]):
        state = expected = close_barotropic(states.isel(sample=i), grid)[0]
        if depths is not None:
            state = mixed_layer.mixed(depths[i])(state, grid)[0]
        if flows is not None:
            state = transports.carrying(flows[i])(state, grid)[0]
        out.append(balancing(ageostrophic(expected, grid), share)(stabilise(state, grid)[0], grid)[0])
    return xr.concat(out, "sample")


def scalars(states: xr.Dataset, normalizer: Normalizer) -> pd.DataFrame:
    """A row a state, a column a metric."""
    table = check(states, normalizer.layout.grid, only=SCORED)
    return table.pivot_table(index="sample", columns="metric", values="value")


if __name__ == "__main__":
    main()
