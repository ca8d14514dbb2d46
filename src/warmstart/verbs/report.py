"""``report``: one HTML page, readable offline, of what the other verbs wrote."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from warmstart.errors import UserError
from warmstart.io.files import provenance
from warmstart.io.outputs import mark, replacing, writes
from warmstart.page import headlines, tables
from warmstart.page.html import Chapter, Text, moment, render
from warmstart.page.inputs import Inputs, read
from warmstart.page.simulations import ensemble_sections
from warmstart.page.states import state_sections
from warmstart.page.trial import trial_sections
from warmstart.verbs.check import check

logger = logging.getLogger(__name__)


@writes(folder=False)
def report(
    paths: str | Path | Sequence[str | Path],
    output: str | Path = "report.html",
    control: str | Path | None = None,
    overwrite: bool = False,
    title: str | None = None,
) -> Path:
    """Make one HTML page, readable offline, of what the other verbs wrote.

    Each path is recognised by its content: generated states, states of a simulation (the control), ``metrics.csv`` of
    check, ``verify.nc`` of verify (with its CSV beside it), a runs folder, member files or ``states.zarr`` (an ensemble), a generator
    folder (its card), or a folder that holds some of these. The page has the sections that they allow; generated
    states without metrics are checked on the way.

    Parameters
    ----------
    paths : files and folders, at most one of a kind.
    output : the HTML file to write.
    control : states file of the true equilibrium with the same parameters, for difference panels.
    overwrite : whether an existing `output` may be replaced.
    title : of the page; None chooses one.

    Raises
    ------
    UserError
        If a path is missing, unreadable, on another grid or of no known kind, two are of one kind, or the output exists.

    Examples
    --------
    >>> report("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; expected states (NetCDF or zarr), ...
    """
    output = Path(output)
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{output}: a report is an HTML page; expected a name that ends in .html")
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    if not listed and control is None:
        raise UserError(
            "nothing to report on; give states, metrics, a verification, runs, a store or a generator"
        )
    inputs = _checked(read(listed, control))
    attrs = provenance(config={kind: str(path) for kind, path in inputs.paths.items()})
    footer = f"warmstart {attrs['warmstart_version']}, {moment(attrs['created'])}. This page needs no network; under a number lies its exact value."
    page = render(title or _title(inputs), headlines.lead(inputs), _sections(inputs, attrs), footer)
    with replacing(output, overwrite) as temporary:
        first, rest = page.split("\n", 1)
        temporary.write_text(f"{first}\n{mark('<!--')} -->\n{rest}", encoding="utf-8")
    logger.info("%s: %.1f MB", output, output.stat().st_size / 1e6)
    return output


def _checked(inputs: Inputs) -> Inputs:
    """The inputs with metrics, computed here if states came without them."""
    alone = inputs.verify is None and inputs.ensemble is None
    states = inputs.generated or (inputs.control if alone else None)
    if inputs.metrics is not None or states is None:
        return inputs
    store = None if inputs.ensemble is None else inputs.paths["ensemble"]
    reference = store if store is not None and (store / "zarr.json").exists() else None
    return replace(inputs, metrics=check(states.path, reference=reference))


def _title(inputs: Inputs) -> str:
    if inputs.generated is not None:
        return "Generated ocean states, checked" + (" and restarted" if inputs.verify is not None else "")
    if inputs.verify is not None:
        return "Restarts, verified"
    if inputs.ensemble is not None:
        return "Ensemble of simulations"
    if inputs.control is not None:
        return "Ocean states"
    return "Generator" if inputs.metrics is None else "Metrics"


def _sections(inputs: Inputs, attrs: dict[str, object]) -> list[Chapter]:
    """All parts of the page in reading order."""
    return [
        headlines.asked(inputs),
        headlines.headlines(inputs),
        *state_sections(inputs),
        *trial_sections(inputs),
        tables.metrics(inputs),
        tables.constraints(inputs),
        *ensemble_sections(inputs),
        _card(inputs),
        tables.provenance(inputs, attrs),
    ]


def _card(inputs: Inputs) -> Chapter:
    """The generator's own card."""
    if inputs.card is None or not inputs.card[0]:
        return Chapter("generator", "Generator")
    from markdown_it import MarkdownIt

    # raw HTML and images off: nothing on the page may load from elsewhere
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    text = inputs.card[0]
    if text.startswith("---\n"):
        text = text.split("\n---\n", 1)[-1]
    return Chapter("generator", "Generator", (Text(Markup(reader.render(text)), "card"),))
