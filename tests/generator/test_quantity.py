"""A quantity is one file: what is registered is fitted, stored, loaded, imposed and told of, and nothing else names it."""

from dataclasses import replace

import pytest

from warmstart.errors import UserError
from warmstart.generator import quantities
from warmstart.generator.checkpoint import load
from warmstart.generator.constraints.constraint import declared
from warmstart.generator.constraints.contents import means
from warmstart.generator.quantities import QUANTITIES, ordered
from warmstart.generator.quantities.quantity import Quantity
from warmstart.generator.settings import resolve
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.verbs.generate import generate
from warmstart.verbs.train import train

TOY = '''
import numpy as np
from warmstart.generator.constraints.constraint import declared
from warmstart.generator.quantities.quantity import Quantity

RECORDS = {"constraint_added_salinity": ("1e-3", "salinity added everywhere")}

def mean(state, grid):
    return float((state["so"] * grid.volume).sum() / grid.volume.sum())

class Saltier(Quantity):
    """Mean salinity and one more, so that no other constraint makes it."""
    name, title = "saltier", "a mean salinity that is one more"
    needs, changes, records = ("so",), ("so",), RECORDS
    after = ("transports",)

    def weights(self, grid):
        return np.ones(1)

    def measure(self, state, grid):
        return np.array([mean(state, grid) + 1])

    def impose(self, target, share):
        @declared(needs=self.needs, changes=self.changes, records=RECORDS)
        def salt(state, grid):
            added = share * (float(target[0]) - mean(state, grid))
            return state.assign(so=state["so"] + added), {"constraint_added_salinity": added}

        return salt

QUANTITY = Saltier()
'''
PLAIN = {
    "residual": {"model": "none"}, "condition": {"initial_state": False}, "mean": {"theory": False},
    "quantities": {"mixed_layer": 0, "transports": 0, "currents": 0},
}  # fmt: skip
ASKED = {"wind_stress_south": 0.2}


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The toy as one more file of the folder that quantities are looked for in."""
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "saltier.py").write_text(TOY)
    monkeypatch.setattr(quantities, "__path__", [*quantities.__path__, str(tmp_path / "toys")])
    found = quantities.find()
    assert list(found)[:2] == ["mixed_layer", "transports"] and list(found)[-1] == "currents"
    for name, quantity in found.items():
        monkeypatch.setitem(QUANTITIES, name, quantity)
    return found["saltier"]


def test_one_file_is_fitted_stored_loaded_imposed_and_told_of(registered, ensemble_store, tmp_path):
    trained = train(ensemble_store, PLAIN, tmp_path / "generator")
    assert list(trained.quantities) == ["saltier"]
    assert "a mean salinity that is one more" in (tmp_path / "generator" / "README.md").read_text()
    again = load(tmp_path / "generator")
    state = generate(again, ASKED)
    plain = generate(replace(again, quantities={}), ASKED)
    moved = means(state.isel(sample=0), again.grid)["so"] - means(plain.isel(sample=0), again.grid)["so"]
    said = state.attrs["constraint_added_salinity"]
    assert moved == pytest.approx(said[0]) == pytest.approx(1, abs=0.05)
    assert "constraint_added_salinity" not in plain.attrs
    half = again.config.config.model_copy(
        update={"quantities": again.config.config.quantities | {"saltier": 0.5}}
    )
    other = generate(replace(again, config=again.config.model_copy(update={"config": half})), ASKED)
    assert other.attrs["constraint_added_salinity"][0] == pytest.approx(0.5 * moved)


def test_what_is_registered_may_be_left_out_by_its_name(registered, ensemble_store, tmp_path):
    settings = PLAIN | {"quantities": PLAIN["quantities"] | {"saltier": 0}}
    trained = train(ensemble_store, settings, tmp_path / "generator")
    assert not trained.quantities and trained.config.config.quantities["saltier"] == 0


def test_an_unknown_quantity_is_refused_and_the_known_ones_are_named():
    with pytest.raises(UserError, match="salinity: expected mixed_layer, transports, currents"):
        resolve({"quantities": {"salinity": 1}})
    with pytest.raises(UserError, match=r"quantities\.transports"):
        resolve({"quantities": {"transports": 1.5}})


@pytest.mark.parametrize(
    ("former", "name", "share"),
    [
        ({"mean": {"mixed_layer": False}}, "mixed_layer", 0),
        ({"mean": {"transports": False, "parts": True}}, "transports", 0),
        ({"residual": {"balance": 0.25}}, "currents", 0.25),
        ({"residual": {"balance": 0.25}, "quantities": {"transports": 0}}, "currents", 0.25),
    ],
)
def test_keys_of_former_configurations_are_understood(former, name, share):
    assert resolve(former).quantities[name] == share
    part, (key, _) = next((p, next(iter(c.items()))) for p, c in former.items() if p != "quantities")
    assert not hasattr(getattr(resolve(former), part), key)
    assert resolve(resolve(None), ["residual.balance=0.125"]).quantities["currents"] == 0.125


class First(Quantity):
    name, changes, after = "first", ("so",), ("second",)


class Second(Quantity):
    name, changes = "second", ("thetao",)


class Third(Quantity):
    name, changes = "a third", ("uo",)


def test_quantities_come_in_the_order_that_they_ask_for_the_water_first():
    found = {q.name: q for q in (First(), Second(), Third())}
    assert list(ordered(found)) == ["second", "first", "a third"]

    class Circle(Second):
        after = ("first",)

    with pytest.raises(ValueError, match="first, second has to come after"):
        ordered({"first": First(), "second": Circle()})


def test_what_a_constraint_declares_has_a_name():
    with pytest.raises(ValueError, match="heat: expected names of FACTS"):
        declared(needs=(), changes=(), keeps=("heat",), records={})


def test_what_follows_from_the_condition_is_computed_once_for_all_samples(generator, monkeypatch):
    """Parameters are scaled once, and every regression is asked once, however many states are drawn."""
    from warmstart.generator import draw
    from warmstart.generator.model import Generator
    from warmstart.generator.quantities.quantity import QuantityModel
    from warmstart.regression.mean import MeanModel

    counts: dict[str, int] = {}

    def counted(owner, name):
        plain = getattr(owner, name)

        def call(*args, **kwargs):
            counts[name, owner.__name__] = counts.get((name, owner.__name__), 0) + 1
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for owner, name in (
        (parameters, "scaled"), (Generator, "predict"), (QuantityModel, "predict"), (MeanModel, "coefficients_at"),
        (draw, "condition"), (draw, "responses_of"), (QuantityModel, "target"),
    ):  # fmt: skip
        counted(owner, name)
    state, _ = basin(nx=9, ny=14, nz=5)
    found = []
    for n in (1, 4):
        counts.clear()
        generate(generator, ASKED, n=n, initial=state, age=50, extrapolate=True)
        found.append(dict(counts))
    assert found[0]["scaled", "warmstart.ocean.parameters"] == 1
    assert found[0]["predict", "Generator"] == 1
    assert found[0]["predict", "QuantityModel"] == len(generator.quantities) == 2
    # of what is drawn the target is one a sample; of what is not, one
    assert [f.pop(("target", "QuantityModel")) for f in found] == [2, 5]
    assert found[0] == found[1]
