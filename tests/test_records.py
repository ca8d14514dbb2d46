"""Figures of the README and result files: each says how it was made, and none differs from where it is said to come from."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = sorted(
    [*ROOT.glob("experiments/*/*.csv"), *ROOT.glob("benchmarks/results/*.json"), *ROOT.glob("benchmarks/results/*.csv")]
)  # fmt: skip
#: Numbers of the README that are no results: versions, settings, names and lengths.
PLAIN = re.compile(r"exit code 1|Python 3\.\d+|20\s+model years|DINO-?4deg|48 simulations|200 and 500 years|GPL-3|CC-BY-4\.0|et al\. \d{4}")  # fmt: skip


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def head(path):
    """What a result file says of itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    lines = [line[2:].partition(": ") for line in text.splitlines() if line.startswith("# ")]
    return {key: value.strip().strip('"') for key, _, value in lines}


def test_the_table_of_the_readme_is_the_one_that_its_files_give(figures):
    page = figures.README.read_text(encoding="utf-8")
    assert figures.replaced(page) == page, "run: python docs/figures.py"


def test_a_figure_that_differs_from_its_file_is_found(figures):
    page = figures.README.read_text(encoding="utf-8")
    for _, figure, _ in figures.rows():
        changed = page.replace(f"| {figure} |", "| better |", 1)
        assert changed != page and figures.replaced(changed) != changed


def test_the_readme_says_no_figure_outside_that_table(figures):
    before, rest = figures.README.read_text(encoding="utf-8").split(figures.BEGIN)
    prose = before + rest.split(figures.END)[1]
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", prose, flags=re.S)
    left = re.findall(r"\S*\d\S*", PLAIN.sub("", prose))
    assert not left, f"figures without a result file: {left}"


def test_every_file_that_a_figure_comes_from_is_there(figures):
    assert all((ROOT / source).is_file() for _, _, source in figures.rows())


@pytest.mark.parametrize("path", TABLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_result_file_says_command_commit_and_machine(path):
    said = head(path)
    assert said.get("command") and said.get("commit") and said.get("machine"), f"{path} says {list(said)}"
    assert not str(said["commit"]).endswith("-dirty"), "made from files that were not committed"
    script = re.search(r"python (?:-m (\S+)|(\S+\.py))", said["command"])
    assert script, said["command"]
    places = [ROOT / str(script[2])] if script[2] else [ROOT / "tests" / script[1]]
    assert places[0].exists(), f"nothing makes {path} again: {said['command']}"


def test_the_commits_of_the_results_belong_to_this_history():
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no git checkout with its history")
    commits = {c[:7] for p in TABLES for c in re.findall(r"\b[0-9a-f]{7,40}\b", str(head(p)["commit"]))}
    known = set(git("rev-list", "--abbrev-commit", "--abbrev=7", "HEAD").stdout.split())
    assert commits and not commits - known
