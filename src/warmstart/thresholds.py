"""Rules of ``check``: which values of a metric are accepted, and what it means when one is not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from warmstart.config import Config, build, load_yaml
from warmstart.errors import UserError

#: Rules that come with the package.
DEFAULT = Path(__file__).with_name("thresholds.yaml")


class Rule(Config):
    """How one metric is judged.

    Attributes
    ----------
    hard : whether a value outside the limits is FAIL (exit code 1) rather than WARN.
    compare : which sides of the reference count: ``range``, ``above`` (more is worse), ``below``, ``none``.
    low, high : limits where no reference is compared with, in the units of the metric.
    widen : overrides that of :class:`Thresholds`.
    """

    hard: bool = False
    compare: Literal["range", "above", "below", "none"] = "range"
    low: float | None = None
    high: float | None = None
    widen: float | None = Field(default=None, ge=0)


class Thresholds(Config):
    """Rules of all metrics.

    Attributes
    ----------
    widen : how far beyond the reference a metric may lie, as a fraction of the reference's range.
    metrics : what differs from the default rule, by metric.
    """

    widen: float = Field(default=0.1, ge=0)
    metrics: dict[str, Rule] = Field(default_factory=dict)


def load(source: str | Path | Mapping[str, Any] | Thresholds | None, known: Collection[str]) -> Thresholds:
    """Read rules.

    Parameters
    ----------
    source : YAML file, mapping of the same form, or None for the package's ``thresholds.yaml``.
    known : names of the metrics that exist.

    Returns
    -------
    The rules.

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
    require_known(rules.metrics, known)
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
            raise UserError(
                f"{name} is no metric; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(known)}"
            )


def accepted(rules: Thresholds, metric: str, reference: tuple[float, float] | None) -> tuple[float, float]:
    """Limits of a metric.

    Parameters
    ----------
    rules : all rules.
    metric : its name.
    reference : smallest and largest value of the reference; None where there is none.

    Returns
    -------
    Smallest and largest accepted value; NaN where that side is open.

    Examples
    --------
    >>> accepted(Thresholds(widen=0.5), "heat_content", (1.0, 3.0))
    (0.0, 4.0)
    """
    rule = rules.metrics.get(metric, Rule())
    if reference is None or rule.compare == "none":
        return np.nan if rule.low is None else rule.low, np.nan if rule.high is None else rule.high
    low, high = reference
    margin = (rules.widen if rule.widen is None else rule.widen) * (high - low)
    # rounding must not fail a reference of one state against itself
    margin = max(margin, 1e-9 * max(abs(low), abs(high)))
    return (
        np.nan if rule.compare == "above" else low - margin,
        np.nan if rule.compare == "below" else high + margin,
    )


def verdict(value: float, low: float, high: float, hard: bool) -> str:
    """Judge a value: ``PASS``, ``WARN``, ``FAIL`` (outside, hard), or ``-`` where both sides are open.

    Examples
    --------
    >>> verdict(5.0, 0.0, 4.0, hard=False)
    'WARN'
    >>> verdict(float("nan"), 0.0, float("nan"), hard=True)
    'FAIL'
    """
    if np.isnan(low) and np.isnan(high):
        return "-"
    inside = (np.isnan(low) or value >= low) and (np.isnan(high) or value <= high)
    return "PASS" if inside and not np.isnan(value) else "FAIL" if hard else "WARN"
