"""A short run of the faults that need no disk of their own; the long one is by hand: ``python -m faults``."""

import numpy as np
import pytest

from faults.trials import FAULTS, make_inputs, measure, trial


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    return folder, make_inputs(folder)


@pytest.mark.parametrize(
    "fault", [name for name in FAULTS if name not in ("disk full", "read-only folder", "ASCII locale")]
)
@pytest.mark.parametrize("name", ["check --published", "restart"])
def test_the_same_command_ends_with_the_same_bits_whatever_came_between(inputs, tmp_path, name, fault):
    folder, commands = inputs
    measure(commands[name], folder, tmp_path / "here")
    moment = np.random.default_rng(len(fault)).random()
    outcome = trial(name, commands[name], fault, moment, folder, tmp_path / "here")
    assert outcome.right, outcome
