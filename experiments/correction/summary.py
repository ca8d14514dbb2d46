"""What is wrong with a start, what forty years take off, and what a regression on their drift takes off in one step.

python experiments/correction/summary.py data/dino-4deg

Reads the pairs that pairs.py wrote. Writes summary.csv: root mean square errors in standard deviations of the ensemble, level by level, and
what a regression leaves of the error of year 40. Each training member is predicted by a regression that has not seen it; its modes are
made and its settings chosen on the other members only. Validation members, where there are pairs of them, by all training members.
"""

import argparse
import itertools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with

from warmstart.engines import dino
from warmstart.ensemble import starts
from warmstart.equilibrium.distance import DEPTHS, TRACERS, ensemble_spread
from warmstart.ocean import parameters

HERE = Path(__file__).parent
log = logging.getLogger("summary")
BOTH = "both"
VARIABLES = (*TRACERS, BOTH)
RANGES = {**DEPTHS, "below 500 m": (500.0, np.inf)}
END = "year 40"
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHARES = (0.0, 0.3, 1.0)
DRAWS = 1000  #: resamplings of the members for an interval


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of all members, in standard deviations of the ensemble at wet cells.

    Attributes
    ----------
    member, start, training : of each pair: number, name, and whether the member is one of training.
    group : of each pair: members of a group were left out of the same generator.
    error : by window, ``(pair, value)``; values are the wet cells of temperature, then of salinity.
    truth : equilibrium, ``(pair, value)``.
    inputs : scaled parameters that vary, ``(pair, parameter)``.
    volume : share of each value in a mean square, sum 1 over both variables.
    depth, salt, level : of each value: depth [m], whether it is salinity, which level of which variable.
    """

    member: np.ndarray
    start: np.ndarray
    training: np.ndarray
    group: np.ndarray
    error: dict[str, np.ndarray]
    truth: np.ndarray
    inputs: np.ndarray
    volume: np.ndarray
    depth: np.ndarray
    salt: np.ndarray
    level: np.ndarray

    @cached_property
    def target(self) -> np.ndarray:
        """What is to be predicted."""
        return self.error[END]

    def weights(self, variable: str, depth: str) -> np.ndarray:
        """Weights of a range of depth of a variable, sum 1."""
        low, high = RANGES[depth]
        weight = self.volume * ((self.depth > low) & (self.depth <= high))
        if variable != BOTH:
            weight = weight * (self.salt == (variable == "so"))
        return weight / weight.sum()


#: Predicts the errors of pairs from those of others: pairs, which to learn from, which to predict; what it missed of the former.
Predict = Callable[[Pairs, np.ndarray, np.ndarray], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Variant:
    """A way to predict the error of year 40.

    Attributes
    ----------
    name : for the table.
    late, early : the tendency is the difference of these windows.
    views : how tendencies are compared: ``field`` by volume, ``levels`` each level alike, ``profile`` by the means of levels, each alike.
    modes : of the error, at most.
    slopes : whether the slopes may depend on the parameters.
    departure, inputs : whether the departure of the start from the mean of the members, and the parameters, are given.
    each : whether each mode chooses settings of its own.
    first : whether a slope a level comes first, and the regression predicts what that leaves.
    learn : the start whose pairs it learns from; empty: both.
    """

    name: str
    late: str = "years 31-40"
    early: str = "years 1-10"
    views: tuple[str, ...] = ("levels", "profile")
    modes: int = 20
    slopes: bool = False
    departure: bool = False
    inputs: bool = False
    each: bool = False
    first: bool = False
    learn: str = ""


VARIANTS = (
    Variant("levels", views=("levels",)),
    Variant("levels, from years 11-20", views=("levels",), early="years 11-20"),
    Variant("levels, from the start", views=("levels",), early="start"),
    Variant("field", views=("field",)),
    Variant("profile", views=("profile",)),
    Variant("levels and profile"),
    Variant("all views", views=("levels", "profile", "field")),
    Variant("levels and profile, from years 11-20", early="years 11-20"),
    Variant("levels and profile, from years 21-30", early="years 21-30"),
    Variant("levels and profile, 5 modes", modes=5),
    Variant("levels and profile, 10 modes", modes=10),
    Variant("levels and profile, 40 modes", modes=40),
    Variant("levels and profile, each mode by itself", each=True),
    Variant("levels and profile, slopes by parameters", slopes=True),
    Variant("levels and profile, parameters", inputs=True),
    Variant("levels and profile, departure", departure=True),
    Variant("levels and profile, departure and parameters", departure=True, inputs=True),
    Variant("departure and parameters alone", views=(), departure=True, inputs=True),
    Variant("levels and profile, learned from expected states", learn="expected"),
    Variant("levels and profile, learned from draws", learn="draw"),
    Variant("levels and profile after a slope a level", first=True),
    Variant("the same, from years 11-20", first=True, early="years 11-20"),
)


def read(folder: Path, finished: Path) -> Pairs:
    """Read the pairs and the members' equilibria."""
    grid = dino.grid(4.0, 18)
    wet = grid.tmask.values > 0
    known = {int(m.path.stem.removeprefix("member_")): m for m in starts.read_finished(finished, grid)}
    train = [n for n in known if parameters.split_of(n) == "train"]
    spread = ensemble_spread(xr.concat([known[n].mean for n in train], "sample"), grid)
    units = np.concatenate(
        [np.broadcast_to(spread[v].values[:, None, None], wet.shape)[wet] for v in TRACERS]
    )
    errors, member, start, group = [], [], [], []
    for path in sorted(folder.glob("member_*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            both = [ds[f"{v}_error"].values[..., wet] for v in TRACERS]
            windows = list(map(str, ds["window"].values))
            start += list(map(str, ds["start"].values))
            group += [str(ds.attrs["group"])] * ds.sizes["start"]
            member += [int(ds.attrs["member"])] * ds.sizes["start"]
        errors.append(np.concatenate(both, axis=-1) / units)
    error = np.concatenate(errors).astype(float)
    truth = {n: np.concatenate([known[n].mean[v].values[wet] for v in TRACERS]) / units for n in {*member}}
    varied = [n for n in known[0].values if len({m.values[n] for m in known.values()}) > 1]
    inputs = np.array(
        [[float(parameters.get(v).coordinate(known[n].values[v])) for v in varied] for n in member]
    )
    level = np.broadcast_to(np.arange(wet.shape[0])[:, None, None], wet.shape)[wet]
    volume = np.tile(grid.volume.values[wet], 2)
    return Pairs(
        member=np.array(member), start=np.array(start), training=np.isin(member, train), group=np.array(group),
        error={window: error[:, i] for i, window in enumerate(windows)},
        truth=np.stack([truth[n] for n in member]), inputs=(inputs - inputs.mean(0)) / inputs.std(0),
        volume=volume / volume.sum(), depth=np.tile(grid.gdept_0.values[wet], 2),
        salt=np.repeat([False, True], wet.sum()), level=np.concatenate([level, level + wet.shape[0]]),
    )  # fmt: skip


def scaled(gram: np.ndarray, train: np.ndarray) -> np.ndarray:
    """A covariance with a mean of 1 on the diagonal of the training pairs."""
    return gram / np.diag(gram)[train].mean()


@cache
def tendency(pairs: Pairs, late: str, early: str) -> np.ndarray:
    """Difference of two windows, ``(pair, value)``."""
    return pairs.error[late] - pairs.error[early]


@cache
def means(pairs: Pairs, late: str, early: str = "") -> np.ndarray:
    """Means of levels of a window, or of the difference of two, ``(pair, level)``: temperature, then salinity."""
    values = tendency(pairs, late, early) if early else pairs.error[late]
    sums = np.stack([np.bincount(pairs.level, row * pairs.volume) for row in values])
    return sums / np.bincount(pairs.level, pairs.volume)


@cache
def products(pairs: Pairs, late: str, early: str) -> np.ndarray:
    """Products of the tendencies of all pairs, summed over each level by volume, ``(level, pair, pair)``."""
    values, root = tendency(pairs, late, early), np.sqrt(pairs.volume)
    each = [(values * root)[:, pairs.level == level] for level in np.unique(pairs.level)]
    return np.stack([one @ one.T for one in each])


def drift(pairs: Pairs, how: Variant, view: str, train: np.ndarray) -> np.ndarray:
    """Covariance of the tendencies of all pairs."""
    if view == "profile":
        profile = means(pairs, how.late, how.early)
        profile = profile / np.sqrt((profile[train] ** 2).mean(0))
        return scaled(profile @ profile.T, train)
    by_level = products(pairs, how.late, how.early)
    if view == "levels":
        square = by_level[:, train, train].sum(1)
        by_level = by_level / square[:, None, None]
    return scaled(by_level.sum(0), train)


def covariances(pairs: Pairs, how: Variant, train: np.ndarray) -> list[tuple[np.ndarray, tuple[float, ...]]]:
    """Covariances of all pairs by what is given of them, each with the shares that it may have."""
    linear = scaled(pairs.inputs @ pairs.inputs.T, train)
    found = [(np.ones_like(linear), (0.0, 0.1))]
    found += [(drift(pairs, how, view, train), SHARES) for view in how.views]
    if how.slopes:
        found.append((scaled(found[1][0] * linear, train), SHARES))
    if how.departure:
        first = np.unique(pairs.member[train], return_index=True)[1]
        state = pairs.truth + pairs.error["start"] - pairs.truth[train][first].mean(0)
        found.append((scaled((state * pairs.volume) @ state.T, train), SHARES))
    if how.inputs:
        found.append((linear, SHARES))
    return found


def left_out(inverse: np.ndarray, wanted: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    """Errors of pairs, each predicted without all pairs of its member, from the inverse of the covariance of all."""
    answer, out = inverse @ wanted, np.empty_like(wanted)
    for rows in blocks:
        out[rows] = np.linalg.solve(inverse[rows[:, :, None], rows[:, None, :]], answer[rows])
    return out


def blocks_of(member: np.ndarray) -> list[np.ndarray]:
    """Places of the pairs of each member, ``(member, pair)``; an array for each number of pairs."""
    places = [np.flatnonzero(member == one) for one in np.unique(member)]
    return [np.stack([p for p in places if len(p) == n]) for n in sorted({len(p) for p in places})]


def layers(pairs: Pairs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """One slope a level and variable of the horizontal means, as the prototype had it."""
    rate, error = means(pairs, "years 31-40", "years 11-20"), means(pairs, END)
    slope = (rate[train] * error[train]).sum(0) / (rate[train] ** 2).sum(0)
    return (slope * rate[test])[:, pairs.level]


def searched(
    how: Variant, label: np.ndarray, pairs: Pairs, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, float]:
    """The errors of some pairs by a regression of others, and what it misses of these, all of the same label left out at once."""
    if how.learn:
        train = train[pairs.start[train] == how.learn]
    target, member, begun = pairs.target[train], label[train], np.zeros((len(test), 1))
    if how.first:  # of the training members, too, by slopes that have not seen them
        begun, target = layers(pairs, train, test), target.copy()
        for one in np.unique(member):
            own = member == one
            target[own] -= layers(pairs, train[~own], train[own])
    values, vectors = np.linalg.eigh((target * pairs.volume) @ target.T)
    total, kept = values.sum(), slice(-1, -how.modes - 1, -1)
    size = np.sqrt(np.maximum(values[kept], 1e-12 * total))
    wanted, basis = vectors[:, kept] * size, (vectors[:, kept] / size).T @ target
    least = (wanted**2).sum(0) if how.each else np.full(len(size), (wanted**2).sum())
    answer, blocks = np.zeros((len(test), len(size))), blocks_of(member)
    parts = covariances(pairs, how, train)
    for shares in itertools.product(*(s for _, s in parts)):
        if not any(shares[1:]):
            continue
        whole = sum(share * part for share, (part, _) in zip(shares, parts, strict=True))
        values, vectors = np.linalg.eigh(whole[np.ix_(train, train)])
        for penalty in PENALTIES:
            inverse = (vectors / (values + penalty)) @ vectors.T
            missed = (left_out(inverse, wanted, blocks) ** 2).sum(0)
            missed = missed if how.each else np.full_like(missed, missed.sum())
            better = missed < least
            if better.any():
                answer[:, better] = whole[np.ix_(test, train)] @ (inverse @ wanted[:, better])
                least = np.where(better, missed, least)
    missed = total - (size**2).sum() + (least.sum() if how.each else least[0])
    return begun + answer @ basis, float(missed)


def corrected(pairs: Pairs, predict: Predict, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors of year 40 that a way to predict them leaves, and what it missed of those that it learned from, ``(pair,)``.

    Training members are predicted by all others of another label, the rest by all of training.
    """
    left, missed = pairs.target.copy(), np.zeros(len(pairs.member))
    training, other = np.flatnonzero(pairs.training), np.flatnonzero(~pairs.training)
    for one in np.unique(label[training]):
        test = training[label[training] == one]
        found, missed[test] = predict(pairs, training[label[training] != one], test)
        left[test] -= found
    if len(other):
        found, missed[other] = predict(pairs, training, other)
        left[other] -= found
    return left, missed


def rows(pairs: Pairs, what: str, values: np.ndarray) -> list[dict[str, object]]:
    """Errors by split, start, variable and depth, with the share of year 40's and its interval over members."""
    out, random = [], np.random.default_rng(0)
    for split, chosen in (("train", pairs.training), ("validation", ~pairs.training)):
        for start in sorted({*pairs.start}, reverse=True):
            taken = np.flatnonzero(chosen & (pairs.start == start))
            if not len(taken):
                continue
            drawn = random.integers(0, len(taken), (DRAWS, len(taken)))
            for variable, depth in itertools.product(VARIABLES, RANGES):
                weight = pairs.weights(variable, depth)
                square, before = values[taken] ** 2 @ weight, pairs.target[taken] ** 2 @ weight
                resampled = np.sqrt(square[drawn].mean(1) / before[drawn].mean(1))
                out.append({
                    "split": split, "members": len(taken), "start": start, "what": what, "variable": variable, "depth": depth,
                    "error_sd": np.sqrt(square.mean()), "share": np.sqrt(square.mean() / before.mean()),
                    "share_low": np.quantile(resampled, 0.025), "share_high": np.quantile(resampled, 0.975),
                    "worse": int((square > before).sum()),
                })  # fmt: skip
    return out


def main() -> None:
    """Measure the errors, predict them, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("finished", type=Path, help="member files, which hold the equilibria")
    parser.add_argument("-p", "--pairs", type=Path, default=HERE / "pairs")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "summary.csv")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    made = made_with()
    pairs = read(options.pairs, options.finished)
    table = [row for window, error in pairs.error.items() for row in rows(pairs, window, error)]
    slope = corrected(pairs, lambda *of: (layers(*of), 0.0), pairs.group)[0]
    table += rows(pairs, "less a slope a level, group left out", slope)
    table += rows(
        pairs, "less a slope a level", corrected(pairs, lambda *of: (layers(*of), 0.0), pairs.member)[0]
    )
    for ending, label in (("", pairs.member), (", group left out", pairs.group)):
        left, missed = zip(
            *(corrected(pairs, partial(searched, how, label), label) for how in VARIANTS), strict=True
        )
        for how, one in zip(VARIANTS, left, strict=True):
            table += rows(pairs, f"less {how.name}{ending}", one)
        # the way, too, is chosen without the member; among those that learn from all pairs and choose once for all modes, for
        # what the others miss is of other pairs, or the least of so many that it says too little
        missed = [m if not (v.each or v.learn) else np.inf * m for v, m in zip(VARIANTS, missed, strict=True)]
        choice = np.argmin(missed, axis=0)
        chosen = np.stack(left)[choice, np.arange(len(choice))]
        table += rows(pairs, f"less the one that is chosen{ending}", chosen)
        counts = np.bincount(choice[pairs.training], minlength=len(VARIANTS))
        log.info("chosen%s: %s", ending, {v.name: int(n) for v, n in zip(VARIANTS, counts, strict=True) if n})
    write_table(pd.DataFrame(table), options.output, made)


if __name__ == "__main__":
    main()
