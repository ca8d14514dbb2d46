"""Configurations: a misspelt key is an error with its path."""

import pytest
from pydantic import model_validator

from warmstart.errors import UserError
from warmstart.io.config import Config, build, dump_yaml, load_yaml


class Inner(Config):
    rate: float = 0.1


class Outer(Config):
    steps: int
    train: Inner = Inner()

    @model_validator(mode="after")
    def _enough(self):
        if self.steps > 1000:
            raise ValueError(f"steps is {self.steps}; expected at most 1000")
        return self


def test_overrides_reach_nested_keys():
    assert build(Outer, {"steps": 1}, "here", ["train.rate=0.5", "steps=7"]) == Outer(
        steps=7, train=Inner(rate=0.5)
    )


def test_a_misspelt_key_is_answered_with_its_path(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("steps: 1\ntrain: {rat: 2}\n")
    with pytest.raises(UserError, match=r"a\.yaml: train\.rat: Extra inputs are not permitted"):
        load_yaml(path, Outer)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\tx: 1", ""])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        load_yaml(path, Outer)


def test_set_without_a_value_says_how_to_write_it():
    with pytest.raises(UserError, match="expected KEY=VALUE"):
        build(Outer, {"steps": 1}, "here", ["steps"])


@pytest.mark.parametrize("value", ["[", "{a", "'1", "@"])
def test_set_with_a_value_that_is_no_yaml_is_refused(value):
    with pytest.raises(UserError, match=r"--set steps=.* is no value"):
        build(Outer, {"steps": 1}, "here", [f"steps={value}"])


def test_what_concerns_several_keys_is_said_alone():
    with pytest.raises(UserError) as error:
        build(Outer, {"steps": 2000}, "here")
    assert str(error.value) == "here: steps is 2000; expected at most 1000. Known keys: steps, train"


def test_a_folder_in_place_of_a_file_is_called_a_folder(tmp_path):
    with pytest.raises(UserError, match="is a folder; give a YAML file"):
        load_yaml(tmp_path, Outer)


def test_configurations_are_frozen_and_survive_their_file(tmp_path):
    config = Outer(steps=3)
    with pytest.raises(ValueError, match="frozen"):
        config.steps = 4
    dump_yaml(config, tmp_path / "a.yaml")
    assert load_yaml(tmp_path / "a.yaml", Outer) == config
