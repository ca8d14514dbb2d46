"""All of it in one command: generate a state that nobody simulated, check it, restart the ocean model, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import engines
from warmstart.errors import UserError, require_installed
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean import parameters

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: What a generator folder needs beside the generator: true equilibrium of a held-out member, metrics of the ensemble.
CONTROL, REFERENCE = "control.nc", "reference.csv"
#: What the demo leaves in its folder, in the order in which it is made.
RUNS = "verify_runs"
PRODUCTS = ("states.nc", "metrics.csv", "restarts", RUNS, "verify.nc", "verify.csv", "report.html")
#: What the folder remembers, so that the same command continues and another one does not.
REQUEST = "demo.yaml"
SAMPLES, SEED = 2, 0


def demo(
    output: str | Path = "demo",
    generator: str = "dino-4deg",
    years: int = 20,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Go the whole way with a shipped generator.

    Generates two equilibrium states for the parameters of a member that was kept out of the training, checks them
    against the training ensemble, writes restart files, runs the ocean model from them beside the true
    equilibrium and a start from rest, and makes a report. Interrupted, the same call continues.

    Parameters
    ----------
    output : folder for everything; made if it does not exist.
    generator : name of a shipped generator, or a generator folder that holds ``control.nc`` (states file of the
        held-out member) and ``reference.csv`` (metrics of the training ensemble) too.
    years : length of the runs of the ocean model [model years].
    overwrite : whether the results of an earlier demo in `output` may be replaced.
    say : called with a line of text at each step; None logs it.

    Returns
    -------
    Path of ``report.html``.

    Raises
    ------
    UserError
        If `output` holds something else, the generator is not there, or a step fails.
    """
    say = say or logger.info
    outputs.require_work(output, ())
    what = "the demo, which generates, runs the ocean model and reports,"
    for module, extra in (("torch", "generator"), ("matplotlib", "report")):
        require_installed(module, extra, what)
    engines.find(engines.DEFAULT).require(what)
    output, source = Path(output), _locate(generator)
    values = _held_out_parameters(source / CONTROL)
    with outputs.held(outputs.require_work(output, (), [source])):
        _claim(output, {"generator": str(source), "years": years, "parameters": values}, overwrite)
        began = time.monotonic()
        say(_introduction(generator, values))
        _generate(output, source, values, say)
        _check(output, source, say)
        _restart(output, say)
        _verify(output, source, years, say)
        page = _report(output, source, say)
    say(f"Done in {time.monotonic() - began:.0f} s. Open the report in a browser:")
    say(str(page))
    return page


def _locate(generator: str | Path) -> Path:
    """The folder of a generator that has beside it what the demo compares with."""
    from warmstart.generator.checkpoint import locate

    folder = locate(generator)
    missing = [name for name in (CONTROL, REFERENCE) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {' and '.join(missing)}: the demo needs the states of a held-out member and "
            "the metrics of the training ensemble beside the generator"
        )
    return folder


def _held_out_parameters(control: Path) -> dict[str, float]:
    """Parameters of the held-out member."""
    with files.open_dataset(control) as ds:
        values = {name: np.ravel(v) for name, v in parameters.extract(ds, parameters.PARAMETERS).items()}
    return {name: float(v[0]) for name, v in values.items()}


def _claim(output: Path, request: dict[str, Any], overwrite: bool) -> None:
    """Take the folder: continue an unfinished demo of the same request, replace or refuse anything else."""
    path = output / REQUEST
    if overwrite and output.is_dir():  # what a demo made and nothing else: the folder may hold a user's files
        for name in (*PRODUCTS, REQUEST):
            if name != RUNS:
                outputs.require_free(output / name, overwrite)
        from warmstart.verbs.verify import clear_runs

        clear_runs(output / RUNS)
        for name in PRODUCTS:
            outputs.remove(output / name)
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        same = path.is_file() and read_yaml(path) == request
        if not same or (output / PRODUCTS[-1]).exists():
            raise UserError(
                f"{output} exists and holds something else than an unfinished demo of the same request; choose another "
                "output, or allow replacing what a demo made with --overwrite (overwrite=True)"
            )
    output.mkdir(exist_ok=True)
    if not path.is_file() or read_yaml(path) != request:
        dump_yaml(request, path)


def _introduction(generator: str, values: Mapping[str, float]) -> str:
    """What is going to happen, and with which parameters."""
    usual = parameters.defaults()
    lines = [
        f"  {name} = {value:.4g} {parameters.PARAMETERS[name].units} (reference {usual[name]:.4g})"
        for name, value in values.items()
        if not np.isclose(value, usual[name], rtol=1e-6)
    ]
    first = f"Generator {generator}. Parameters of a simulation that it was not trained on:"
    return "\n".join([first, *lines, "others: reference values"])


def _generate(output: Path, source: Path, values: dict[str, float], say: Callable[[str], None]) -> None:
    say(f"1/5 generate: {SAMPLES} equilibrium states for these parameters, in {output / 'states.nc'}")
    if not (output / "states.nc").exists():
        from warmstart.verbs.generate import generate

        generate(str(source), values, n=SAMPLES, seed=SEED, output=output / "states.nc")


def _check(output: Path, source: Path, say: Callable[[str], None]) -> None:
    say(f"2/5 check: their physics against the training ensemble, in {output / 'metrics.csv'}")
    from warmstart.scores.judgement import violations
    from warmstart.verbs.check import check

    # again on every call: states that broke a rule must not slip through when the command is repeated
    metrics = output / "metrics.csv"
    table = check(output / "states.nc", reference=source / REFERENCE, output=metrics, overwrite=True)
    if violations(table):
        raise UserError(f"the generated states break a physical rule; see {metrics}")


def _restart(output: Path, say: Callable[[str], None]) -> None:
    say(f"3/5 restart: one restart file of the ocean model a state, in {output / 'restarts'}")
    if not (output / "restarts").exists():
        from warmstart.verbs.restart import restart

        restart(output / "states.nc", output / "restarts")


def _verify(output: Path, source: Path, years: int, say: Callable[[str], None]) -> None:
    say(
        f"4/5 verify: {years} years of the ocean model from each, from the true equilibrium (control) and from rest; "
        f"this takes a few minutes; in {output / 'verify.nc'}"
    )
    from warmstart.verbs.verify import verify

    if not (output / "verify.csv").exists():
        _, table = verify(
            output / "restarts",
            output / "verify.nc",
            years=years,
            control=source / CONTROL,
            reference=source,
            overwrite=True,  # of a verify.nc whose table was not written before an interruption
            progress=True,
        )
        say("found (distances in standard deviations of the training ensemble):")
        for line in _findings(table):
            say(line)


def _findings(table: pd.DataFrame) -> list[str]:
    """The verdict on each start, one line each, every number with its bound and unit."""
    from warmstart.scores.verification import CONTROL, said

    records: dict[Any, Any] = {(r.start, r.metric): r for r in table.itertuples(index=False)}
    lines = []
    for start in table["start"].unique():

        def value(metric: str, start: str = start) -> str:
            row = records[start, metric]
            return said(row.value, row.bound)

        if not records[start, "finished"].value:
            lines.append(f"  {start}: {records[start, 'finished'].note}")
            continue
        words = [
            f"distance to the equilibrium {value('distance_initial')} at the start, {value('distance_final')} at the end"
        ]
        if arrival := value("years_to_equilibrium"):
            words.append(f"years until it stays within the equilibrium's own variability: {arrival}")
        for level in ("0.5", "0.1"):
            if start != CONTROL and (years := value(f"years_to_{level}")):
                saved = value(f"years_saved_at_{level}")
                words.append(
                    f"to a distance of {level}: {years} years" + (f", saved {saved}" if saved else "")
                )
        drift = records[start, "drift_thetao_deep"]
        words.append(
            f"deep drift {drift.value:+.2g} {drift.unit}" if drift.bound else f"deep drift {drift.note}"
        )
        lines.append(f"  {start}: {'; '.join(words)}")
    return lines


def _report(output: Path, source: Path, say: Callable[[str], None]) -> Path:
    page = output / "report.html"
    say(f"5/5 report: one page that opens offline, {page}")
    from warmstart.verbs.report import report

    paths = [output / "states.nc", output / "metrics.csv", output / "verify.nc", source]
    report(paths, page, control=source / CONTROL, overwrite=True)
    return page
