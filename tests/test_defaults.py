"""What a verb does when nothing is said: the defaults that README and docs tell."""

import inspect

import pytest

import warmstart as ws

DEFAULTS = {
    "simulate": {"members": None, "scheduler": None, "workers": None, "batch": 1, "device": "cpu", "dashboard": False},
    "dataset": {"overwrite": False, "transient": True, "engine": None, "equilibrium": None, "equilibrium_from": None},
    "train": {"sets": (), "overwrite": False},
    "generate": {"n": 1, "seed": 0, "extrapolate": False, "overwrite": False, "age": None, "conserve": None},
    "check": {"reference": None, "output": None, "thresholds": None, "only": None, "overwrite": False, "published": False},
    "restart": {"engine": "veros", "template": None, "regrid": False, "date": None, "overwrite": False},
    "verify": {"years": 20, "control": None, "rest": True, "workers": 2, "overwrite": False, "engine": "veros"},
    "report": {"output": "report.html", "control": None, "overwrite": False},
    "regrid": {"method": "bilinear", "stable": True},
}  # fmt: skip


def test_train_without_a_yaml_trains_what_ships():
    """But for the words about it, and the mesh that it is for."""
    pytest.importorskip("torch", reason="torch is not installed")
    from pathlib import Path

    from warmstart.generator.checkpoint import load
    from warmstart.generator.settings import resolve

    default, own = resolve(None), ("description", "shape")
    for name in ("dino-4deg", "dino-4deg-diffusion"):
        shipped = load(name).config.config
        example = resolve(Path(__file__).parents[1] / "examples" / f"{name}.yaml")
        assert shipped == example, name
        same = shipped.model_dump(exclude=set(own)) == default.model_dump(exclude=set(own))
        assert same == (name == "dino-4deg")
    assert default.shape is None, "it is for any mesh"


@pytest.mark.parametrize("verb", DEFAULTS)
def test_a_verb_does_what_is_said_of_it_where_nothing_is_said(verb):
    found = inspect.signature(getattr(ws, verb)).parameters
    assert {name: found[name].default for name in DEFAULTS[verb]} == DEFAULTS[verb]
