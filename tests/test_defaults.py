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


@pytest.mark.parametrize("verb", DEFAULTS)
def test_a_verb_does_what_is_said_of_it_where_nothing_is_said(verb):
    found = inspect.signature(getattr(ws, verb)).parameters
    assert {name: found[name].default for name in DEFAULTS[verb]} == DEFAULTS[verb]
