"""Do the tests see a bug? One small change at a time is planted in the code that computes, and the tests of its module run.

A mutant is one change that somebody could have made: a sign, a comparison, a constant, an index one off, a term or a call left
out, two arguments swapped, a condition turned round, the mask or the length of another point, another axis. A seed draws them,
so many of each part (:data:`PARTS`) and each kind of change as often as another. Mutants that change nothing that can be seen
are in ``benchmarks/equivalent_mutants.csv`` with the reason, and others are drawn in their place. The tests of a module are those of
:data:`TESTS` and its own examples; they run as in a fresh clone, without real files of NEMO, and stop at the first that fails.

``python benchmarks/mutants.py --seed 1`` prints a line a mutant and writes ``benchmarks/results/mutants_1.csv``. ``--list`` shows them and
runs nothing, ``--only PART`` takes one part, ``--unchanged`` runs the tests of every module without any change.
"""

from __future__ import annotations

import argparse
import ast
import copy
import csv
import importlib.machinery
import importlib.util
import itertools
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, EQUIVALENT = ROOT / "benchmarks" / "results", ROOT / "benchmarks" / "equivalent_mutants.csv"

#: Mutants of each part, and its modules.
PARTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "physics": (34, ("physics/[!r]*", "scores/crps", "regression/theory")),
    "generator": (20, ("generator/constraints/*", "generator/quantities/*")),
    "nemo": (22, ("engines/nemo/*",)),
    "regrid": (8, ("physics/regrid",)),
    "verify": (16, ("verbs/verify", "scores/verification", "equilibrium/distance", "equilibrium/arrival", "equilibrium/adjustment")),
}  # fmt: skip

#: Tests that a module's mutants meet, in this order; the first pattern that fits counts.
TESTS: dict[str, str] = {
    "physics/balance": "physics/test_balance physics/test_geostrophy ocean/test_fold",
    "physics/budgets": "physics/test_budgets",
    "physics/census": "physics/test_overturning physics/test_budgets physics/test_literature",
    "physics/cgrid": "physics/test_balance physics/test_transport physics/test_overturning physics/test_column ocean/test_fold",
    "physics/channel": "physics/test_channel physics/test_transport",
    "physics/column": "physics/test_column physics/test_density physics/test_overturning physics/test_literature",
    "physics/density": "physics/test_density physics/test_overturning physics/test_literature",
    "scores/crps": "scores/test_crps generator/test_residual",
    "physics/geostrophy": "physics/test_geostrophy",
    "physics/overturning": "physics/test_overturning",
    "physics/literature": "physics/test_literature",
    "physics/interpolation": "physics/test_regrid",
    "physics/section": "physics/test_section",
    "physics/cache": "physics/test_cache",
    "physics/spectra": "physics/test_spectra",
    "physics/streamfunction": "physics/test_transport physics/test_balance physics/test_regrid verbs/test_restart engines/veros/test_arrays",
    "regression/theory": "regression/test_theory generator/test_mean_theory",
    "physics/transport": "physics/test_transport physics/test_overturning physics/test_channel ocean/test_fold",
    "generator/constraints/contents": "generator/test_contents generator/test_constraints",
    "generator/quantities/quantity": "generator/test_quantity generator/test_mixed_layer",
    "generator/quantities/transports": "generator/test_transports generator/test_constraints generator/test_quantity",
    "generator/quantities/mixed_layer": "generator/test_mixed_layer generator/test_constraints generator/test_quantity",
    "generator/quantities/ageostrophy": "generator/test_ageostrophy generator/test_constraints generator/test_quantity",
    "engines/nemo/mesh": "engines/nemo/test_mesh engines/nemo/test_state ocean/test_fold test_cavities",
    "engines/nemo/header": "engines/nemo/test_header engines/nemo/test_mesh engines/nemo/test_state engines/test_recognition",
    "engines/nemo/folders": "engines/nemo/test_launch engines/nemo/test_state engines/nemo/test_configuration engines/test_recognition verbs/test_verify_nemo store/test_members",
    "engines/nemo/dimensions": "engines/nemo/test_state engines/nemo/test_mesh engines/nemo/test_restart_file",
    "engines/nemo/trial_runs": "verbs/test_verify_nemo engines/nemo/test_launch",
    "engines/nemo/collection": "verbs/test_dataset verbs/test_verify_nemo",
    "engines/nemo/launch": "engines/nemo/test_launch verbs/test_verify_nemo engines/nemo/test_state",
    "engines/nemo/namelist": "engines/nemo/test_namelist engines/nemo/test_configuration engines/nemo/test_clock verbs/test_verify_nemo",
    "engines/nemo/configuration": "engines/nemo/test_configuration",
    "engines/nemo/wind": "engines/nemo/test_configuration",
    "engines/nemo/seawater": "engines/nemo/test_configuration engines/nemo/test_state engines/nemo/test_restart_file",
    "engines/nemo/state": "engines/nemo/test_state engines/nemo/test_launch",
    "engines/nemo/clock": "engines/nemo/test_clock engines/nemo/test_namelist engines/nemo/test_restart_file verbs/test_verify_nemo",
    "engines/nemo/times": "engines/nemo/test_header engines/nemo/test_state engines/nemo/test_launch",
    "engines/nemo/*": "engines/nemo/test_state engines/nemo/test_restart_file engines/nemo/test_mesh ocean/test_fold engines/nemo/test_launch",
    "physics/regrid": "physics/test_regrid",
    "verbs/verify": "verbs/test_verify_inputs verbs/test_verify verbs/test_verify_nemo",
    "scores/verification": "scores/test_verification verbs/test_verify_nemo",
    "equilibrium/distance": "equilibrium/test_distance scores/test_verification",
    "generator/constraints/*": "generator/test_constraints generator/test_contents",
    "physics/convection": "generator/test_constraints physics/test_regrid",
    "equilibrium/arrival": "equilibrium/test_distance scores/test_verification",
    "equilibrium/adjustment": "equilibrium/test_distance scores/test_verification",
}

# ---------------------------------------------------------------- changes

#: Functions whose arguments may change places. A file that is not closed shows nowhere either, nor the wording of a label.
SYMMETRIC = ("minimum", "maximum", "isclose", "allclose", "array_equal")
SWAPS = {  # names of masks, lengths, positions, variables
    "tmask": "umask", "umask": "vmask", "vmask": "umask", "fmask": "tmask",
    "e1t": "e2t", "e2t": "e1t", "e1u": "e2u", "e2u": "e1u", "e1v": "e2v", "e2v": "e1v",
    "e3t_0": "e3u_0", "e3u_0": "e3v_0", "e3v_0": "e3u_0", "e3w_0": "e3t_0", "gdept_0": "gdepw_0", "gdepw_0": "gdept_0",
    "gphiv": "gphit", "gphiu": "gphiv", "gphit": "gphiv", "glamu": "glamt", "glamt": "glamu", "ff_t": "ff_f",
    "uo": "vo", "vo": "uo", "thetao": "so", "so": "thetao", "un": "vn", "vn": "un", "tn": "sn", "sn": "tn",
    "T": "U", "U": "V", "V": "U",
}  # fmt: skip
AXES = {"x": "y", "y": "x", "z": "y"}
REDUCTIONS = {
    "max": "min", "min": "max", "any": "all", "all": "any", "sum": "mean", "mean": "sum", "maximum": "minimum",
    "minimum": "maximum", "argmax": "argmin", "argmin": "argmax", "nanmax": "nanmin", "nanmin": "nanmax", "floor": "ceil",
    "first": "last", "sin": "cos", "cos": "sin", "zeros": "ones", "left": "right", "right": "left", "higher": "lower",
}  # fmt: skip
OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
#: Methods that are left out, their object taken as it is.
DISPENSABLE = (
    "fillna", "where", "roll", "shift", "cumsum", "clip", "isel", "transpose", "astype", "rename", "drop_vars", "copy",
    "round", "mean", "ravel", "reshape",
)  # fmt: skip
#: Calls of which nothing is changed: what they say or label is no result.
WORDS = (
    "labelled",
    "warning",
    "info",
    "debug",
    "UserError",
    "span",
    "assign_attrs",
    "getLogger",
    "require_units",
    "cast",
)


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    """Kinds of change of a node, each with what makes it; None removes a statement."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _text(node):
        yield "operator", lambda n: _with(n, op=OPERATORS[type(n.op)]())
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.BitAnd):
            yield "dropped term", lambda n: n.left
        if isinstance(node.op, ast.Mult | ast.BitAnd | ast.Add):
            yield "dropped term", lambda n: n.right
    if isinstance(node, ast.BoolOp):
        yield "logic", lambda n: _with(n, op=OPERATORS[type(n.op)]())
        yield "dropped condition", lambda n: n.values[0]
        yield "dropped condition", lambda n: n.values[-1]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
        yield "comparison", lambda n: _with(n, ops=[OPERATORS[type(n.ops[0])]()])
        if isinstance(node.ops[0], ast.Lt | ast.LtE):
            yield "comparison", lambda n: _with(n, ops=[ast.Gt()])
        if isinstance(node.ops[0], ast.Gt | ast.GtE):
            yield "comparison", lambda n: _with(n, ops=[ast.Lt()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        kind = "sign" if isinstance(node.op, ast.USub) else "logic"
        yield kind, lambda n: n.operand
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not _refuses(node):
        yield "condition", lambda n: _with(n, test=ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Constant):
        yield from _of_constant(node)
    if isinstance(node, ast.Attribute):
        if node.attr in SWAPS:
            yield "mask, length or variable", lambda n: _with(n, attr=SWAPS[n.attr])
        if node.attr in REDUCTIONS:
            yield "reduction", lambda n: _with(n, attr=REDUCTIONS[n.attr])
    if isinstance(node, ast.keyword) and node.arg in AXES:
        yield "axis", lambda n: _with(n, arg=AXES[n.arg])
    if isinstance(node, ast.Call):
        plain = [a for a in node.args if not isinstance(a, ast.Starred)]
        if (
            len(plain) >= 2
            and len(plain) == len(node.args)
            and not _class(node.func)
            and _called(node) not in SYMMETRIC
        ):
            yield "swapped arguments", lambda n: _with(n, args=[n.args[1], n.args[0], *n.args[2:]])
        if len(plain) == len(node.args) == 1 and not node.keywords and not _class(node.func):
            yield "removed call", lambda n: n.args[0]
        if isinstance(node.func, ast.Attribute) and node.func.attr in DISPENSABLE:
            yield "removed call", lambda n: n.func.value
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _called(node.value) != "close":
        yield "removed statement", lambda n: ast.Pass()
    if isinstance(node, ast.AugAssign) and not any(
        isinstance(n, ast.JoinedStr) for n in ast.walk(node.value)
    ):
        yield "removed statement", lambda n: ast.Pass()
        if type(node.op) in OPERATORS:
            yield "operator", lambda n: _with(n, op=OPERATORS[type(n.op)]())


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, Callable[[Any], ast.AST]]]:
    value = node.value
    if isinstance(value, bool):
        yield "flag", lambda n: ast.Constant(not n.value)
    elif isinstance(value, int):
        yield "constant", lambda n: ast.Constant(n.value + 1)
        if value > 0:
            yield "constant", lambda n: ast.Constant(n.value - 1)
    elif isinstance(value, float):
        yield "constant", lambda n: ast.Constant(2.0 * n.value if n.value else 1.0)
        if value == 1.0:
            yield "constant", lambda n: ast.Constant(0.0)
    elif isinstance(value, str):
        for kind, table in (("mask, length or variable", SWAPS), ("axis", AXES), ("reduction", REDUCTIONS)):
            if value in table:
                yield kind, lambda n, table=table: ast.Constant(table[n.value])


def _with(node: Any, **new: Any) -> Any:
    for name, value in new.items():
        setattr(node, name, value)
    return node


def _text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _class(func: ast.AST) -> bool:
    """Whether a call makes an object: its arguments have types that differ."""
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return name[:1].isupper() or name in (
        "isinstance",
        "len",
        "range",
        "str",
        "tuple",
        "list",
        "set",
        "dict",
        "zip",
        "enumerate",
    )


def _refuses(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body)


def _called(node: ast.AST) -> str:
    func = node.func if isinstance(node, ast.Call) else None
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """Nodes that may change, each with its statement and the function that it is in."""

    def inside(node: ast.AST, statement: ast.AST, where: str) -> Iterator[tuple[ast.AST, ast.AST, str]]:
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert | ast.arg):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return  # of zip: shows only where lengths differ that are equal by how they were made
        if isinstance(node, ast.stmt):
            statement = node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            where = f"{where}.{node.name}".lstrip(".")
            parts: list[ast.AST] = list(node.body)
            parts += node.args.defaults if isinstance(node, ast.FunctionDef) else []
        elif isinstance(node, ast.AnnAssign):
            parts = [node.value] if node.value else []
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        elif isinstance(node, ast.Call) and _called(node) in WORDS:
            parts = node.args[:1] if _called(node) in ("labelled", "assign_attrs") else []
            parts += [node.func] if _called(node) == "assign_attrs" else []
        else:
            yield node, statement, where
            parts = list(ast.iter_child_nodes(node))
        for part in parts:
            yield from inside(part, statement, where)

    for node in tree.body:
        yield from inside(node, node, "")


@dataclass(frozen=True)
class Mutant:
    """One change: of a module, in a function, of a kind; `place` and `choice` number it."""

    part: str
    module: str
    line: int
    function: str
    kind: str
    before: str
    after: str
    place: int
    choice: int

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What it is called in the list of equivalents, whatever the line."""
        return self.module, self.function, self.kind, self.before, self.after


def module_path(module: str, root: Path = ROOT) -> Path:
    return root / "src" / "warmstart" / f"{module}.py"


def candidates(module: str) -> dict[str, list[tuple[int, int]]]:
    """Places and choices of all changes of a module, by kind."""
    tree, found = ast.parse(module_path(module).read_text(encoding="utf-8")), {}
    for place, (node, _, _) in enumerate(places(tree)):
        for choice, (kind, _) in enumerate(changes(node)):
            found.setdefault(kind, []).append((place, choice))
    return found


def mutant_of(part: str, module: str, kind: str, place: int, choice: int) -> Mutant | None:
    """One change, with what it looks like; None where it changes nothing."""
    tree = ast.parse(module_path(module).read_text(encoding="utf-8"))
    node, statement, where = next(itertools.islice(places(tree), place, None))
    before, line = _short(ast.unparse(_head(statement))), getattr(node, "lineno", statement.lineno)
    after = _short(ast.unparse(_head(_changed(tree, place, choice))))
    if before == after:
        return None
    return Mutant(part, module, line, where, kind, *_differing(before, after), place, choice)


def _changed(tree: ast.Module, place: int, choice: int) -> ast.AST:
    """Make one change in a tree; return the statement that it is in."""
    for number, (node, statement, _) in enumerate(places(tree)):
        if number == place:
            new = list(changes(node))[choice][1](node)
            if new is not node:
                _replace(tree, node, new)
            ast.fix_missing_locations(tree)
            return new if node is statement else statement
    raise LookupError((place, choice))


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list) and any(v is old for v in value):
                value[[v is old for v in value].index(True)] = new
                return


def _head(statement: ast.AST) -> ast.AST:
    """A statement without its body."""
    if hasattr(statement, "body") and isinstance(statement.body, list):
        statement = copy.copy(statement)
        statement.body = [ast.Pass()]
        if hasattr(statement, "orelse"):
            statement.orelse = []
    return statement


def _short(text: str) -> str:
    return " ".join(text.split())


def _differing(before: str, after: str, around: int = 40) -> tuple[str, str]:
    """The parts of two texts that differ, with a little around them."""
    start = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    end = next((i for i, (a, b) in enumerate(zip(before[::-1], after[::-1], strict=False)) if a != b), 0)
    end = min(end, len(before) - start, len(after) - start)
    start, end = max(0, start - around), max(0, end - around)
    return before[start : len(before) - end], after[start : len(after) - end]


def drawn(seed: int, only: str | None = None) -> list[Mutant]:
    """Draw the mutants of a seed: of each part its number, of each module and each kind of change as often as of another."""
    known = equivalents()
    sample = []
    for part, (number, patterns) in PARTS.items():
        if only not in (None, part):
            continue
        source = random.Random(f"{seed} {part}")
        pools = {module: candidates(module) for module in modules(patterns)}
        chosen: list[Mutant] = []
        while len(chosen) < number:
            order = sorted(m for m in pools if pools[m])
            source.shuffle(order)
            for module in order[: number - len(chosen)]:
                kind = source.choice(sorted(pools[module]))
                mutant = mutant_of(part, module, kind, *source.choice(pools[module][kind]))
                if mutant and mutant.key not in known and mutant not in chosen:
                    chosen.append(mutant)
        sample += chosen
    return sample


def modules(patterns: tuple[str, ...]) -> list[str]:
    """Modules that fit, sorted."""
    base = ROOT / "src" / "warmstart"
    paths = {p for pattern in patterns for p in base.glob(f"{pattern}.py") if p.name != "__init__.py"}
    return sorted(str(p.relative_to(base).with_suffix("")) for p in paths)


def equivalents() -> set[tuple[str, ...]]:
    """Keys of the mutants that nothing can see."""
    if not EQUIVALENT.exists():
        return set()
    with EQUIVALENT.open(encoding="utf-8", newline="") as file:
        return {
            tuple(row[n] for n in ("module", "function", "kind", "before", "after"))
            for row in csv.DictReader(file)
        }


# ---------------------------------------------------------------- runs


def tests_of(module: str) -> list[str]:
    """Test files of a module, and the module itself for its examples."""
    key = module if module in TESTS else f"{module.rpartition('/')[0]}/*"
    if key not in TESTS:
        raise SystemExit(f"Error: no tests are named for {module}; add them to TESTS")
    return [f"tests/{name}.py" for name in TESTS[key].split()] + [f"src/warmstart/{module}.py"]


class Watch:
    """Pytest plugin that keeps the name of the first test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} (import)"


def run_tests(tree: Path, module: str, mutant: Mutant | None, limit: int) -> tuple[str, str, float]:
    """Run the tests of a module in a process of its own: outcome, first test that failed, CPU seconds."""
    reading, writing = os.pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        answer = ("error", "", 0.0)
        try:
            answer = _in_child(tree, module, mutant)
        finally:
            os.write(writing, pickle.dumps(answer))
            os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.alarm(12 * limit)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    os.waitpid(pid, 0)
    signal.alarm(0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome, by, _ = pickle.loads(content) if content else ("killed", "does not end", 0.0)  # noqa: S301 (our own child)
    return outcome, by, spent


def _in_child(tree: Path, module: str, mutant: Mutant | None) -> tuple[str, str, float]:
    import pytest

    os.chdir(tree)
    sys.path[:0] = [str(tree / "src")]
    os.environ |= {"PYTHONPATH": str(tree / "src"), "PYTEST_XDIST_WORKER": "gw0"}
    if mutant is not None:
        finder = Planted(mutant, tree)
        sys.meta_path.insert(0, finder)
        try:  # before pytest, which would import the module itself for its examples
            importlib.import_module(finder.name)
        except Exception as error:  # noqa: BLE001 (whatever a change does to an import, the tests would see it)
            return "killed", f"import: {type(error).__name__}", 0.0
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    base = tempfile.mkdtemp(dir=tree.parent)
    watch = Watch()
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={base}/tmp"]
    os.environ["TMPDIR"] = base
    code = pytest.main([*options, *tests_of(module)], plugins=[watch])
    shutil.rmtree(base, ignore_errors=True)
    return (
        ("survived" if code == 0 else "killed"),
        watch.failed or f"exit code {int(code)}" * (code != 0),
        0.0,
    )


class Planted:
    """Finds one module with a change in it, and leaves all others to Python."""

    def __init__(self, mutant: Mutant, tree: Path) -> None:
        self.mutant, self.path = mutant, module_path(mutant.module, tree)
        self.name = "warmstart." + mutant.module.replace("/", ".")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(
            name, self.path, loader=Loader(name, str(self.path), self.mutant)
        )


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles the changed source."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self.mutant = mutant

    def get_code(self, fullname: str) -> Any:
        parsed = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        _changed(parsed, self.mutant.place, self.mutant.choice)
        return compile(parsed, self.path, "exec", dont_inherit=True)


def fresh_tree(folder: Path) -> Path:
    """What a clone holds and the tests need, without anything beside it."""
    tree = folder / "clone" / "warmstart"
    tree.mkdir(parents=True)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, tree)
    (tree / "data").symlink_to(ROOT / "data")
    return tree


def warm_up() -> None:
    """Import what all tests import, once, but nothing of the package."""
    for name in ("numpy", "pandas", "scipy.sparse.linalg", "scipy.stats", "xarray", "netCDF4", "h5netcdf", "h5py", "zarr", "dask.array",
                 "torch", "pytest", "pydantic", "yaml", "typer", "gsw", "f90nml", "hypothesis", "_pytest.doctest"):  # fmt: skip
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(PARTS))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--unchanged", action="store_true")
    parser.add_argument("--survivors", type=Path, help="run again those that survived in this result")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    sample = drawn(options.seed, options.only)
    if options.survivors:
        with options.survivors.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        keys = {tuple(r[n] for n in ("module", "function", "kind", "before", "after")) for r in rows if r["outcome"] == "survived"}  # fmt: skip
        sample = [m for m in sample if m.key in keys]
    if options.list:
        for number, m in enumerate(sample, 1):
            print(
                f"{number:3} {m.module}:{m.line} {m.function} [{m.kind}]\n      - {m.before}\n      + {m.after}"
            )
        return
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        tree = fresh_tree(Path(folder))
        if options.unchanged:
            for part, (_, patterns) in PARTS.items():
                for module in modules(patterns) if options.only in (None, part) else ():
                    outcome, by, seconds = run_tests(tree, module, None, 600)
                    print(
                        f"{module:28} {'passed' if outcome == 'survived' else outcome} {by} {seconds:.1f} s",
                        flush=True,
                    )
            return
        rows = []
        for m in sample:
            tests_of(m.module)
        for number, m in enumerate(sample, 1):
            outcome, by, seconds = run_tests(tree, m.module, m, 300)
            rows.append(
                [
                    m.part,
                    m.module,
                    m.line,
                    m.function,
                    m.kind,
                    m.before,
                    m.after,
                    outcome,
                    by,
                    round(seconds, 1),
                ]
            )
            print(f"{number:3} {outcome:8} {m.module}:{m.line} [{m.kind}] {by} {seconds:.1f} s", flush=True)
            if outcome != "killed":
                print(f"      - {m.before}\n      + {m.after}", flush=True)
    killed = sum(row[7] == "killed" for row in rows)
    print(f"{killed} of {len(rows)} killed, {sum(row[9] for row in rows):.0f} s")
    if options.only is None and not options.survivors:
        write(options.output or RESULTS / f"mutants_{options.seed}.csv", rows, killed)


def write(path: Path, rows: list[list[Any]], killed: int) -> None:
    from machine import describe

    with path.open("w", encoding="utf-8", newline="") as file:
        for key, value in {**describe(__file__), "killed": f"{killed} of {len(rows)}"}.items():
            if key != "versions":
                file.write(f"# {key}: {value}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["part", "module", "line", "function", "kind", "before", "after", "outcome", "by", "cpu_seconds"]
        )
        table.writerows(rows)


if __name__ == "__main__":
    main()
