"""The page of metrics: made from docstrings, complete, and red when a metric is undocumented."""

import importlib
import importlib.util
import inspect
import re
from functools import partial
from pathlib import Path

import pytest

from warmstart.physics import literature
from warmstart.scores import metrics as listed
from warmstart.verbs import check

PAGE = Path(__file__).parents[1] / "docs" / "metrics_page.py"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("metrics_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lacks(maker, function):
    """What the documentation of a metric function does not say."""
    parts = maker.sections(function)
    missing = [] if len(parts["summary"]) > 20 else ["summary"]
    missing += [name for name in ("Returns", "Examples") if not parts.get(name)]
    if not re.search(r"\[[^\]]+\]|units of", parts.get("Returns", "")):
        missing.append("unit")
    return missing


def metrics():
    return {name: getattr(m.function, "func", m.function) for name, m in listed.ALL.items()}


@pytest.mark.parametrize("name", list(listed.ALL))
def test_every_metric_says_what_it_is_its_unit_and_how_to_use_it(maker, name):
    assert lacks(maker, metrics()[name]) == []


def test_an_undocumented_metric_would_be_found(maker):
    def bare(state, grid):
        return state.zos.mean()

    def half(state, grid):
        """Area mean of the sea level, somehow.

        Returns
        -------
        A number.
        """

    assert lacks(maker, bare) and "unit" in lacks(maker, half) and "Examples" in lacks(maker, half)


def test_sources_are_named_where_a_definition_is_not_ours_alone(maker):
    named = [n for n, f in metrics().items() if maker.sections(f).get("Notes")]
    assert set(listed.PUBLISHED) <= set(named)
    assert {"thermal_wind_residual", "convective_energy", "mixed_layer_mean"} & set(named)


def test_the_page_holds_every_metric_and_every_public_function_of_the_families(maker):
    text = maker.page()
    for name in listed.ALL:
        assert f"| `{name}` |" in text
    assert "| `heat_content` | J |" in text and "**hard**: at most 0 |" in text
    for family in maker.FAMILIES:
        module = maker.module_of(family)
        for name, function in vars(module).items():
            if (
                not inspect.isfunction(function)
                or name.startswith("_")
                or function.__module__ != module.__name__
            ):
                continue
            assert function.__doc__, f"{family}.{name} has no docstring"
            for extra in maker.FURTHER.get(family, ()):
                assert f"### `{family}.{extra}`" in text
    assert ":func:" not in text and "``" not in text.replace("```", "")


def test_every_family_has_a_picture_of_a_real_run(maker, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn = maker.pictures(tmp_path / "pictures")
    assert set(drawn) == set(maker.FAMILIES) == set(maker.CAPTIONS)
    assert all((tmp_path / "pictures" / f"{family}.svg").stat().st_size > 5000 for family in drawn)
    text = maker.page(drawn)
    assert all(f"]({path})" in text for path in drawn.values())


def test_a_metric_is_one_function_and_one_line(ocean, ocean_grid, monkeypatch):
    monkeypatch.setitem(
        listed.ALL, "mean_sea_level", listed.Metric(partial(mean_sea_level, scale=1.0), ("zos",))
    )
    table = check.check(ocean, ocean_grid, only=["mean_sea_level"])
    assert table.unit[0] == "m"


def mean_sea_level(state, grid, scale):
    mean = scale * (state.zos.fillna(0.0) * grid.area).sum(("y", "x")) / grid.area.sum()
    return mean.assign_attrs(units="m", long_name="mean sea level")


def test_the_published_csv_maps_to_published_functions():
    assert {f.__name__ for f in literature.NEMO_SPINUP_EVALUATION.values()} <= set(listed.PUBLISHED)
