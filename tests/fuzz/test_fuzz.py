"""A few damaged inputs of every reader, always the same; ``PYTHONPATH=tests python -m fuzz`` tries thousands."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the generator is not installed")
pytest.importorskip("matplotlib", reason="what a report needs is not installed")

from .bases import make
from .readers import READERS
from .record import BEGIN, END, PAGE, RESULT, section
from .run import draw, warm
from .sandbox import GOOD, Input, attempt

#: Inputs of a reader.
FEW = 2


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    warm(folder)
    return make(folder)


@pytest.mark.parametrize("reader", READERS, ids=lambda name: name.replace(" ", "-"))
def test_an_input_is_right_or_refused_in_a_sentence(reader, bases):
    wrong = [found for case in draw(reader, FEW, 1) if (found := attempt(case, bases)).result not in GOOD]
    assert not wrong, "\n".join(f"{found.result}: {found.case!r}\n{found.text}" for found in wrong)


def test_the_harness_sees_what_it_is_for(bases):
    """A traceback, a file left behind, an input that is changed, one that takes too long."""

    def result(call: str, *edits: tuple[object, ...]) -> str:
        return attempt(Input("harness", ("states.nc",), edits, ("python", call, "states.nc")), bases).result

    assert result("open_state") == "accepted"
    assert result("open_state", ("write", "states.nc", b"no NetCDF")) == "refused"
    assert result("fails") == "traceback"
    assert result("leaves") == "left behind"
    assert result("harms") == "an input changed"
    assert result("crashes") == "crash by signal 11"
    # the library cannot close this file: left open here it would be written after the call, and seem to be changed by it
    whole = ("netcdf", "states.nc", (("shape", "seed", "huge"), ("shape", "seed", "huge")))
    assert result("open_state", whole) == "refused"


@pytest.mark.skipif(not RESULT.exists(), reason="the long run has no result yet")
def test_the_page_says_what_the_result_file_says_and_nothing_went_wrong():
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert f"{BEGIN}\n{section(result)}{END}" in PAGE.read_text(encoding="utf-8")
    total = result["readers"][-1]
    assert total["inputs"] >= 5000 and total["refused"] + total["accepted"] == total["inputs"]
    assert {row["reader"] for row in result["readers"][:-1]} == set(READERS)
