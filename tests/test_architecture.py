"""The house: names that mean one thing each, rooms that exist, public names that stay what they are."""

import ast
import importlib
from collections import Counter
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import warmstart as ws

HOUSE = Path(ws.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
VERBS = sorted(p.stem for p in (HOUSE / "verbs").glob("*.py") if p.stem != "__init__")


def twice(names):
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_two_modules_have_the_same_name():
    named = [p.parent.name if p.stem == "__init__" else p.stem for p in FILES if p.stem != "__main__"]
    assert twice(named) == []


def test_no_two_classes_have_the_same_name():
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in FILES]
    assert twice(n.name for tree in trees for n in tree.body if isinstance(n, ast.ClassDef)) == []


def test_every_module_of_a_verb_has_the_function_of_its_name_and_the_package_gives_it():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for verb in VERBS:
        module = importlib.import_module(f"warmstart.verbs.{verb}")
        assert isinstance(getattr(ws, verb), FunctionType) and getattr(ws, verb) is getattr(module, verb)


def test_no_room_is_called_like_a_verb():
    assert not {p.name for p in HOUSE.iterdir() if p.is_dir()} & set(VERBS)


def test_tables_and_rooms_are_public():
    assert ws.variables["thetao"].units == "degC" and "wind_stress_south" in ws.parameters
    assert isinstance(ws.physics, ModuleType) and isinstance(ws.engines, ModuleType)
    assert set(ws.__all__) < set(dir(ws))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ws.nothing


def test_nobody_imports_a_private_name_of_another_module():
    found = [
        f"{p.relative_to(HOUSE)}: {a.name}"
        for p in FILES
        for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("warmstart")
        for a in n.names
        if a.name.startswith("_")
    ]
    assert found == []
