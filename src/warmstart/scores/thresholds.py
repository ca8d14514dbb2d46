"""Rules of ``check``: which values of a metric are accepted, and what it means when one is not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from warmstart.errors import UserError
from warmstart.io.config import Config, build, load_yaml

#: Rules that come with the package.
DEFAULT = Path(__file__).with_name("thresholds.yaml")

#: Verdict where there is nothing to compare with, or no value.
NOT_JUDGED = "not judged"


class Rule(Config):
    """How one metric is judged.

    Attributes
    ----------
    hard : whether a value outside the limits is FAIL (exit code 1) rather than WARN.
    compare : which sides of the reference count: ``range``, ``above`` (more is worse), ``below``, ``none``.
    low, high : limits where no reference is compared with, in the units of the metric.
    widen, warn, fail : override those of :class:`Thresholds`.
    """

    hard: bool = False
    compare: Literal["range", "above", "below", "none"] = "range"
    low: float | None = None
    high: float | None = None
    widen: float | None = Field(default=None, ge=0)
    warn: float | None = Field(default=None, gt=0)
    fail: float | None = Field(default=None, gt=0)


class Box(Config):
    """Part of the ocean whose mean temperature and salinity are metrics.

    Attributes
    ----------
    lon, lat : western and eastern, southern and northern bound [degrees_east, degrees_north].
    depth : upper and lower bound [m].
    """

    lon: tuple[float, float] = (-180.0, 180.0)
    lat: tuple[float, float] = (-90.0, 90.0)
    depth: tuple[float, float] = (0.0, math.inf)


class Thresholds(Config):
    """Rules of all metrics.

    Attributes
    ----------
    warn, fail : beyond how many standard deviations from what the reference expects for the parameters of a state a
        metric is WARN, and beyond how many it is FAIL.
    widen : without parameters: how far beyond the reference a metric may lie, as a fraction of the reference's range.
    metrics : what differs from the default rule, by metric.
    free_surface : what differs from that for states of a model with a free surface.
    sections : further metrics: the transport across a section, by name: longitude and latitude of its start and of its end.
    boxes : further metrics: mean temperature and salinity of a box, by name.
    """

    warn: float = Field(default=2.0, gt=0)
    fail: float = Field(default=5.0, gt=0)
    widen: float = Field(default=0.1, ge=0)
    metrics: dict[str, Rule] = Field(default_factory=dict)
    free_surface: dict[str, Rule] = Field(default_factory=dict)
    sections: dict[str, tuple[float, float, float, float]] = Field(default_factory=dict)
    boxes: dict[str, Box] = Field(default_factory=dict)

    def rule(self, metric: str, free_surface: bool = False) -> Rule:
        """The rule of a metric."""
        own = self.free_surface.get(metric) if free_surface else None
        return own or self.metrics.get(metric, Rule())


def load(source: str | Path | Mapping[str, Any] | Thresholds | None, known: Collection[str]) -> Thresholds:
    """Read rules.

    Parameters
    ----------
    source : YAML file, mapping of the same form, or None for the package's ``thresholds.yaml``.
    known : names of the metrics that exist.

    Raises
    ------
    UserError
        If a key or a metric is misspelt, or the file is missing.

    Examples
    --------
    >>> load({"metrics": {"inversions": {"hard": True}}}, ["inversions"]).metrics["inversions"].hard
    True
    """
    if isinstance(source, Thresholds):
        rules = source
    elif isinstance(source, Mapping):
        rules = build(Thresholds, dict(source), "thresholds")
    else:
        rules = load_yaml(DEFAULT if source is None else source, Thresholds)
    further = [f"section_{name}" for name in rules.sections]
    further += [f"box_{name}_{variable}" for name in rules.boxes for variable in ("thetao", "so")]
    require_known([*rules.metrics, *rules.free_surface], [*known, *further])
    return rules


def require_known(names: Collection[str], known: Collection[str]) -> None:
    """Refuse a name that is no metric.

    Raises
    ------
    UserError
        With the nearest name that is one.

    Examples
    --------
    >>> require_known(["inversion"], ["inversions", "heat_content"])
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: inversion is no metric; did you mean inversions?
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else "known: " + ", ".join(known)
            raise UserError(f"{name} is no metric; {advice}")


class Judgement(NamedTuple):
    """A verdict, and what it was found with.

    Attributes
    ----------
    low, high : limits of PASS; NaN where that side is open.
    verdict : ``PASS``, ``WARN``, ``FAIL`` or :data:`NOT_JUDGED`.
    """

    low: float
    high: float
    verdict: str


def accepted(
    rules: Thresholds, metric: str, reference: tuple[float, float] | None, free_surface: bool = False
) -> tuple[float, float]:
    """Limits of a metric without parameters.

    Parameters
    ----------
    rules : all rules.
    metric : its name.
    reference : smallest and largest value of the reference; None where there is none.
    free_surface : whether the model has one.

    Returns
    -------
    Smallest and largest accepted value; NaN where that side is open.

    Examples
    --------
    >>> accepted(Thresholds(widen=0.5), "heat_content", (1.0, 3.0))
    (0.0, 4.0)
    """
    rule = rules.rule(metric, free_surface)
    if reference is None or rule.compare == "none":
        return np.nan if rule.low is None else rule.low, np.nan if rule.high is None else rule.high
    low, high = reference
    margin = (rules.widen if rule.widen is None else rule.widen) * (high - low)
    # rounding must not fail a reference against itself
    margin = max(margin, 1e-9 * max(abs(low), abs(high)))
    return _sides(rule, low - margin, high + margin)


def within(value: float, low: float, high: float, hard: bool) -> Judgement:
    """Judge a value by limits: WARN, or FAIL by a hard rule, outside of them.

    Examples
    --------
    >>> within(5.0, 0.0, 4.0, hard=False).verdict
    'WARN'
    >>> within(float("nan"), 0.0, float("nan"), hard=True).verdict
    'FAIL'
    >>> within(5.0, float("nan"), float("nan"), hard=True).verdict
    'not judged'
    """
    if np.isnan(low) and np.isnan(high):
        return Judgement(low, high, NOT_JUDGED)
    inside = (np.isnan(low) or value >= low) and (np.isnan(high) or value <= high)
    return Judgement(low, high, "PASS" if inside and not np.isnan(value) else "FAIL" if hard else "WARN")


def expected(rules: Thresholds, metric: str, value: float, centre: float, spread: float) -> Judgement:
    """Judge a value by how many standard deviations it lies from what is expected for its parameters.

    Parameters
    ----------
    rules : all rules.
    metric : its name.
    value : what was found.
    centre, spread : expected value and its standard deviation.

    Returns
    -------
    PASS up to ``warn`` standard deviations, on the sides that count; FAIL beyond ``fail``.

    Examples
    --------
    >>> [expected(Thresholds(), "heat_content", v, 1.0, 0.5).verdict for v in (1.9, 2.1, 3.6)]
    ['PASS', 'WARN', 'FAIL']
    """
    rule = rules.rule(metric)
    warn, fail = rule.warn or rules.warn, rule.fail or rules.fail
    low, high = _sides(rule, centre - warn * spread, centre + warn * spread)
    far_low, far_high = _sides(rule, centre - fail * spread, centre + fail * spread)
    verdict = within(value, low, high, hard=False).verdict
    if verdict == "WARN" and within(value, far_low, far_high, hard=False).verdict == "WARN":
        verdict = "FAIL"
    return Judgement(low, high, verdict)


def _sides(rule: Rule, low: float, high: float) -> tuple[float, float]:
    """The limits on the sides that count; NaN for the other."""
    return np.nan if rule.compare == "above" else low, np.nan if rule.compare == "below" else high
