"""The command line: one short function a verb, in the order of the way of the data."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from warmstart import engines
from warmstart.errors import UserError, reason

app = typer.Typer(
    name="warmstart",
    help="Skip the spin-up: generate, check and restart equilibrated ocean states. "
    "The way of the data: simulate → dataset → train → generate → check → restart → verify → report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from warmstart.io.outputs import version

        typer.echo(f"warmstart {version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    pass


def _output(what: str) -> Any:
    """The option ``-o`` of a verb."""
    return typer.Option("-o", "--output", help=what)


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override one value; repeatable.")
]


def say(message: str) -> None:
    """Print a line."""
    typer.echo(message)


def print_table(table: Any, title: str, parameters: str = "none") -> None:
    """Print a table with rich: numbers to four digits, right-aligned; of the parameters none or the varied ones."""
    from rich.console import Console
    from rich.table import Table

    from warmstart.ocean.parameters import PARAMETERS

    view = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    frame = table.reset_index() if table.index.name else table
    varied = [n for n in PARAMETERS if parameters == "varied" and n in frame and frame[n].nunique() > 1]
    frame = frame.drop(columns=[n for n in frame if n in PARAMETERS and n not in varied])
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "if"
        view.add_column(str(column), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        view.add_row(*(_cell(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(view)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)


@app.command()
def simulate(
    plan: Annotated[
        Path,
        typer.Argument(
            help="Ensemble plan (YAML): engine, configuration, years, and the members: 'ranges' to draw them from, or "
            "'parameters', a list of them or the path of a CSV table, each with its parameters, a name and a split."
        ),
    ],
    output: Annotated[str, _output("Folder of the runs; one folder a member.")],
    members: Annotated[
        int | None, typer.Option(help="Number of members instead of the plan's; of a list the first so many.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Members at once on this machine; default: one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, for example tcp://node:8786.")
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Serve dask's dashboard, to this machine only (needs bokeh).")
    ] = False,
    batch: Annotated[int, typer.Option(help="Members that one engine process runs together.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    until: Annotated[
        str | None,
        typer.Option(
            help="'equilibrium' or 'near': a member goes on to settle as soon as it is there; the plan's years are the cap."
        ),
    ] = None,
) -> None:
    """Run an ensemble of ocean simulations; the same command continues an interrupted one."""
    from warmstart.verbs.simulate import simulate as run

    table = run(
        plan, output, members=members, workers=workers, scheduler=scheduler, batch=batch, device=device, until=until,
        dashboard=dashboard, progress=True,
    )  # fmt: skip
    print_table(table, f"{output}")
    if (table["state"] == "failed").any():
        raise typer.Exit(1)


@app.command()
def dataset(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of runs, as simulate writes it; or of your own NEMO runs, or several of these (nemo RUNS/*)."
        ),
    ],
    output: Annotated[str, _output("The zarr store to write.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=GROUP/ENTRY:UNITS",
            help="NEMO: an entry of the namelists that is a parameter too: wind=namusr_def/rn_ztau0:Pa; repeatable.",
        ),
    ] = None,
    equilibrium: Annotated[
        str | None, typer.Option(help="NEMO: 'all' says that all records are equilibrium; else it is judged.")
    ] = None,
    equilibrium_from: Annotated[
        str | None, typer.Option(help="NEMO: model year from which on records are equilibrium: 50y.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Gather finished runs into one store: states, parameters, forcing, grid; split by member."""
    from warmstart.store.writer import describe
    from warmstart.verbs.dataset import dataset as gather

    engine = str(runs[0]) if len(runs) > 1 and str(runs[0]) in engines.names() else None
    table = gather(
        runs[1:] if engine else runs, output, overwrite=overwrite, engine=engine, parameter=parameter or (),
        equilibrium=equilibrium, equilibrium_from=equilibrium_from,
    )  # fmt: skip
    of_nemo = "skipped" in table
    print_table(table, f"{output}", parameters="varied" if of_nemo else "none")
    say(f"table written to {Path(output).with_suffix('.csv')}" if of_nemo else describe(table))


@app.command()
def train(
    store: Annotated[Path, typer.Argument(help="Store of states (states.zarr).")],
    config: Annotated[Path, typer.Argument(help="Training configuration (YAML).")],
    output: Annotated[str, _output("Folder of the generator.")],
    sets: Sets = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a generator; the same command continues an interrupted training."""
    from warmstart.io.outputs import join
    from warmstart.verbs.check import measure_reference
    from warmstart.verbs.train import train as fit

    fit(store, config, output, sets=sets or (), overwrite=overwrite, progress=True)
    if os.environ.get("RANK", "0") == "0":  # of several processes one writes
        reference = Path(output) / "reference.csv"
        measure_reference(store, reference)
        join(reference)
    say(f"generator written to {output}")


@app.command()
def generate(
    generator: Annotated[
        str,
        typer.Argument(
            help="Generator folder, or the name of a shipped one (dino-4deg, dino-4deg-diffusion)."
        ),
    ],
    output: Annotated[str, _output("The states file (NetCDF) to write.")],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter, with or without unit: wind_stress_south=0.3Pa; repeatable.",
        ),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of parameters, a namelist_cfg of NEMO, or a states file that holds them; "
            "--set goes before it."
        ),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A state after some years of spin-up; without parameters it decides alone."
        ),
    ] = None,
    age: Annotated[
        float | None, typer.Option(help="Its years of spin-up, where the file does not state them.")
    ] = None,
    regrid: Annotated[
        bool, typer.Option("--regrid", help="Move the state of --from to the mesh of the generator.")
    ] = False,
    sampling: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Change the sampler of a generator that diffuses: method=heun (its published settings), steps=17 (evaluations), guidance=1.5; repeatable.",
        ),
    ] = None,
    conserve: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MEAN",
            help="Content that every state has, by its mean: thetao=3.9 (heat), so=34.7 (salt), zos=0 (volume); repeatable.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: cpu or cuda.")] = "cpu",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first sample; sample i has seed + i.")] = 0,
    expected: Annotated[
        bool,
        typer.Option(
            "--expected", help="The one state that is expected, with its spread by level, instead of draws."
        ),
    ] = False,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Accept parameters outside the training range.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Generate equilibrium states for given parameters, from a state that is not there yet, or from both."""
    from warmstart.generator.checkpoint import load
    from warmstart.io.config import pairs
    from warmstart.io.outputs import require_free
    from warmstart.verbs.generate import generate as sample
    from warmstart.verbs.generate import initial_state, wanted

    require_free(output, overwrite, [generator, parameters, initial], folder=False)
    loaded = load(generator)
    described = {name: span.parameter(name) for name, span in loaded.config.parameters.items()}
    alone = initial is not None and not sets and parameters is None
    sample(
        loaded,
        None if alone else wanted(sets or (), parameters, say, described),
        sampling=pairs(sampling, "--sampling", "steps=17"),
        conserve=pairs(conserve, "--conserve", "so=34.7"),
        initial=None if initial is None else initial_state(initial, generator if regrid else None),
        device=device, n=n, seed=seed, age=age, output=output, extrapolate=extrapolate, overwrite=overwrite, progress=True,
        expected=expected,
    )  # fmt: skip
    say(f"{'the expected state' if expected else f'{n} state' + 's' * (n > 1)} written to {output}")


@app.command()
def check(
    states: Annotated[
        list[Path],
        typer.Argument(
            help="States to look at: generated, simulated, a store, NEMO's files; folders of a run or of runs; a row each."
        ),
    ],
    output: Annotated[
        str | None,
        _output("File for the metrics: CSV, or NetCDF if it ends in .nc."),
    ] = None,
    grid: Annotated[
        list[Path] | None,
        typer.Option(
            help="Mesh, where the states carry none: mesh_mask.nc, the folder that holds it, or its files (repeat)."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="What is normal: a store (its training members), states, or a metrics CSV."),
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="YAML of tolerances instead of the built-in one.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this metric; repeatable, or several with commas.")
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Definitions of nemo-spinup-evaluation and DINO-Fusion; CSV as the former's."
        ),
    ] = False,
    section: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LON,LAT,LON,LAT",
            help="Further metric: volume transport across a section, positive to the right of the way from the first place to the second; repeatable.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WEST,EAST,SOUTH,NORTH[,TOP,BOTTOM]",
            help="Further metrics: mean temperature and salinity of a box, in degrees and metres; repeatable.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look at states: physical metrics against a reference; exit code 1 where a verdict is FAIL."""
    from warmstart.io.config import numbers
    from warmstart.scores.judgement import conclusion, summary, violations
    from warmstart.verbs.check import check as look

    table = look(
        states[0] if len(states) == 1 else states,
        grid=grid or None,
        reference=reference,
        output=output,
        thresholds=thresholds,
        only=[name.strip() for names in only for name in names.split(",")] if only else None,
        overwrite=overwrite,
        published=published,
        sections={n: (v[0], v[1], v[2], v[3]) for n, v in numbers(section, "--section", (4,)).items()},
        boxes={
            n: {"lon": v[:2], "lat": v[2:4], **({"depth": v[4:]} if len(v) == 6 else {})}
            for n, v in numbers(box, "--box", (4, 6)).items()
        },
    )
    rows = summary(table)
    for run, of_run in rows.groupby("run", sort=False):
        view = of_run.drop(columns=["run", "mean", "hard", "description"]).rename(
            columns={"standard_deviation": "sd", "reference_low": "low", "reference_high": "high"}
        )
        print_table(view, str(run) or ", ".join(str(path) for path in states))
    say(conclusion(table))
    if violations(table):
        raise typer.Exit(1)


@app.command()
def restart(
    states: Annotated[Path, typer.Argument(help="States file, generated or simulated.")],
    output: Annotated[str, _output("Folder for the restart files, one a sample.")],
    engine: Annotated[str, typer.Option(help="Ocean model to restart.")] = engines.DEFAULT,
    template: Annotated[
        Path | None, typer.Option(help="Restart of the same model whose other fields are kept.")
    ] = None,
    grid: Annotated[
        list[Path] | None,
        typer.Option(
            help="Mesh of the NEMO run that shall start: mesh_mask.nc, its folder, or its files (repeat)."
        ),
    ] = None,
    namelist: Annotated[
        Path | None,
        typer.Option(help="namelist_cfg of that run; a patched copy is written beside the restarts."),
    ] = None,
    regrid: Annotated[
        bool, typer.Option("--regrid", help="Move states that are on another grid to --grid.")
    ] = False,
    method: Annotated[
        Literal["bilinear", "conservative"],
        typer.Option(help="How --regrid moves them; conservative is for a coarser grid."),
    ] = "bilinear",
    date: Annotated[
        int | None, typer.Option(help="NEMO's date of the first step, yyyymmdd: the season of the forcing.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write states as restart files of an ocean model."""
    from warmstart.engines.manifest import fields_of
    from warmstart.verbs.restart import restart as write

    paths = write(
        states, output, engine=engine, template=template, grid=grid or None, namelist=namelist, date=date,
        regrid=method if regrid else False, overwrite=overwrite,
    )  # fmt: skip
    for path in paths:
        say(f"{path}")
    say(fields_of(output))


@app.command()
def verify(
    restarts: Annotated[
        Path,
        typer.Argument(
            help="Folder of restarts, as restart writes it; for NEMO also a folder of finished runs."
        ),
    ],
    output: Annotated[str, _output("NetCDF file of the results; a CSV is written beside it.")],
    control: Annotated[
        Path | None, typer.Option(help="States of the true equilibrium: what to compare with.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Store or generator whose ensemble's standard deviation is the unit of the distance to the control."
        ),
    ] = None,
    years: Annotated[int, typer.Option(min=1, help="Model years to run.")] = 20,
    rest: Annotated[bool, typer.Option(help="Also start from rest.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 2,
    engine: Annotated[str, typer.Option(help="Ocean model to run.")] = engines.DEFAULT,
    command: Annotated[
        str | None, typer.Option("--run", help='NEMO: the command, for example "mpirun -np 36 ./nemo".')
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="NEMO: run folder with executable, namelists and input; only read.")
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="NEMO: mesh_mask.nc, where no run folder holds it.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Run the ocean model from restarts: shock, drift, years to equilibrium, years saved."""
    from warmstart.scores.verification import overview, remarks
    from warmstart.verbs.verify import verify as run

    _, table = run(
        restarts, output, years=years, control=control, reference=reference, rest=rest, workers=workers,
        overwrite=overwrite, progress=True, engine=engine, run=command, template=template, mesh=grid,
    )  # fmt: skip
    print_table(overview(table), f"{output}")
    for line in remarks(table):
        say(line)


@app.command()
def spinup(
    output: Annotated[
        str, typer.Option("-o", "--output", help="Folder for everything; the same command continues in it.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter, with or without a unit; repeatable."),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="Parameters from a YAML file, a namelist, a run of NEMO, or a states file."),
    ] = None,
    generator: Annotated[str, typer.Option(help="Folder or name of a shipped generator.")] = "dino-4deg",
    start: Annotated[
        Path | None,
        typer.Option("--from", help="A state or restart to start from instead of the expected one."),
    ] = None,
    years: Annotated[int, typer.Option(help="Model years between two corrections.")] = 40,
    cycles: Annotated[int, typer.Option(help="Corrections at most.")] = 3,
    target: Annotated[
        float,
        typer.Option(help="Distance to equilibrium that is wanted, in standard deviations of the ensemble."),
    ] = 0.1,
    probability: Annotated[
        float, typer.Option(help="Probability with which the distance is to be no larger.")
    ] = 0.9,
    proof: Annotated[int, typer.Option(help="Model years without correction at the end.")] = 20,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Accept parameters outside the training range.")
    ] = False,
    engine: Annotated[str, typer.Option(help="The ocean model.")] = engines.DEFAULT,
) -> None:
    """Bring an ocean model to equilibrium: run, correct, run again, and prove it."""
    from warmstart.generator.checkpoint import load
    from warmstart.io.outputs import require_work
    from warmstart.verbs.generate import wanted
    from warmstart.verbs.spinup import REQUEST
    from warmstart.verbs.spinup import spinup as bring

    require_work(output, (REQUEST,), [generator, parameters, start])
    described = {name: span.parameter(name) for name, span in load(generator).config.parameters.items()}
    bring(
        output,
        wanted(sets or (), parameters, say, described),
        generator=generator,
        start=start,
        years=years,
        cycles=cycles,
        target=target,
        probability=probability,
        proof=proof,
        extrapolate=extrapolate,
        engine=engine,
        say=say,
    )
    say(f"restart, state and history in {output}")


@app.command()
def report(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="States, metrics.csv, verify.nc, a store, runs, a generator: any of them."),
    ],
    output: Annotated[str, _output("The HTML file.")],
    control: Annotated[
        Path | None, typer.Option(help="States of the true equilibrium, for difference panels.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML page, readable offline, of what the other verbs wrote."""
    from warmstart.verbs.report import report as write

    say(f"{write(inputs, output, control=control, title=title, overwrite=overwrite)}")


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="Any file or folder that warmstart reads or writes.")],
) -> None:
    """Say what is in a file: kind, dimensions, variables with units and ranges, parameters, provenance."""
    from warmstart.verbs.info import info as describe

    typer.echo(describe(path))


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="Training configuration (YAML).")],
    shape: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            help="Levels, rows and columns of the grid, where the configuration names none or another."
        ),
    ] = None,
    gpu_memory: Annotated[float, typer.Option("--gpu-memory", help="Memory of the GPU, in GB.")] = 80.0,
) -> None:
    """Count what a generator would cost on a grid, without allocating it, and say whether a GPU trains and samples it."""
    from warmstart.verbs.plan import plan as count

    for label, value in count(config, shape, gpu_memory).items():
        typer.echo(f"{label:<46} {value}")


@app.command()
def demo(
    output: Annotated[str, _output("Folder for everything the demo makes.")] = "demo",
    generator: Annotated[
        str, typer.Option(help="Generator folder or the name of a shipped one.")
    ] = "dino-4deg",
    years: Annotated[int, typer.Option(min=1, help="Model years of the verification.")] = 20,
    overwrite: Overwrite = False,
) -> None:
    """Do all of it: generate a state nobody simulated, check it, restart the ocean model from it, report."""
    from warmstart.verbs.demo import demo as run

    run(output, generator=generator, years=years, overwrite=overwrite, say=say)


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code 2, a fault of the program with 70."""
    for stream in (sys.stdout, sys.stderr):
        # a name or a sign that the terminal's encoding lacks must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UserError as error:
        _stop(str(error), 2)
    except ModuleNotFoundError as error:
        extra = _extra_of((error.name or "").split(".")[0])
        if extra is None:
            _unexpected(error)
        _stop(f"this needs {error.name}, which is not installed; pip install 'warmstart[{extra}]'", 2)
    except KeyboardInterrupt:
        typer.secho("interrupted; the same command continues", err=True)
        sys.exit(130)
    except OSError as error:
        if error.errno not in _OF_THE_SYSTEM:
            _unexpected(error)
        place = f"{error.filename}: " if error.filename else ""
        _stop(f"{place}{error.strerror}; mend that, then give the same command again", 2)
    except Exception as error:  # noqa: BLE001 (the last one who can say something)
        _unexpected(error)


#: Which extra brings a package that is not there; those of an engine it says itself.
_EXTRAS = {
    "torch": "generator", "azula": "generator", "safetensors": "generator", "sklearn": "generator",
    "gsw": "teos10", "matplotlib": "report", "cmocean": "report", "jinja2": "report", "markupsafe": "report",
    "markdown_it": "report",
}  # fmt: skip
#: What a system may refuse to any program: no room, no more open files, a disk that cannot be written to or has gone.
_OF_THE_SYSTEM = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM,
)  # fmt: skip
UNEXPECTED = 70  #: exit code of a fault of the program
DEBUG = "WARMSTART_DEBUG"  #: variable of the environment that asks for tracebacks


def _extra_of(module: str) -> str | None:
    """The extra that brings a package, if any does."""
    models = (engines.find(name) for name in engines.names())
    return _EXTRAS.get(module) or next((m.extra for m in models if module in m.modules), None)


def _unexpected(error: Exception) -> NoReturn:
    """Say that the program is at fault, and how to report it."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    kind, said = type(error).__name__, reason(error)
    _stop(
        f"{said if said.startswith(kind) else f'{kind}: {said}'}. This is a fault of warmstart: report it to its developers with the command and "
        f"what it prints with {DEBUG}=1",
        UNEXPECTED,
    )


def _stop(message: str, code: int) -> NoReturn:
    typer.secho(f"Error: {message}", fg=typer.colors.RED, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
