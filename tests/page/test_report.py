"""The page: one file that needs nothing else, holds the numbers it was given, and refuses what it cannot read."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from report_inputs import verification, write_control, write_states

from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean.basin import basin
from warmstart.page import inputs as inputs_part
from warmstart.page import simulations as ensemble_part
from warmstart.page import states as states_part
from warmstart.page import trial as trial_part
from warmstart.page.html import gauge, number, render
from warmstart.page.inputs import control_index, differing_parameters, read
from warmstart.page.states import state_sections
from warmstart.scores.metrics import METRICS
from warmstart.scores.verification import COLUMNS
from warmstart.verbs.check import check
from warmstart.verbs.dataset import dataset
from warmstart.verbs.report import report

MEMBERS = Path(__file__).parents[2] / "data" / "dino-4deg"


class Page(HTMLParser):
    """What a page contains: identifiers, links, loaded resources, text, and data elements."""

    VOID = frozenset({"meta", "circle", "rect", "br", "path", "use", "image", "stop", "link", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids, self.links, self.loads, self.values, self.open = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        (self.links if tag == "a" else self.loads).extend(
            given[k] for k in ("href", "src", "srcset") if given.get(k)
        )
        self.values += [given["value"]] if tag == "data" else []
        if tag in ("script", "link", "iframe", "object", "embed"):
            self.loads.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"{tag} closed out of turn"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures stay empty, for tests of what stands around them."""
    for module in (states_part, trial_part, ensemble_part):
        monkeypatch.setattr(module, "svg", lambda figure, name, dpi=0: "<svg></svg>")


def sections(html: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', html)


def test_the_page_is_one_file_that_loads_nothing(made):
    page = Page(made.html)
    assert all(load.startswith(("#", "data:image/png;base64,")) for load in page.loads)
    assert not re.search(r"https?:|@import|url\((?!#)", made.html)
    assert made.page.stat().st_size < 5e6
    assert not page.open


def test_every_place_in_the_contents_exists_once(made):
    page = Page(made.html)
    assert sorted(set(page.ids)) == sorted(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert [link.removeprefix("#") for link in page.links] == sections(made.html)


def test_sections_come_in_the_order_of_reading(made):
    expected = [
        "asked",
        "headline",
        "sections",
        "surface",
        "overturning",
        "profiles",
        "restart",
        "metrics",
        "constraints",
        "provenance",
    ]
    assert sections(made.html) == expected


def test_every_number_of_the_metrics_is_on_the_page_digit_for_digit(made):
    with made.metrics.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert rows and {row["metric"] for row in rows} <= set(METRICS)
    cells = set(re.findall(r"<td[^>]*>([^<]*)</td>", made.html))
    for row in rows:
        assert row["value"] in cells or not row["value"]
        assert row["metric"] in made.html
        assert row["description"] in made.html.replace("&lt;", "<").replace("&gt;", ">")


def test_headline_numbers_are_the_metrics_and_the_verification(made):
    table = check(made.states, reference=made.control)
    tiles = re.search(r'<section id="headline">.*?</section>', made.html, re.DOTALL)[0]
    for name in ("channel_transport", "overturning_north", "inversions", "mask_violations"):
        mean = table[table.metric == name]["value"].groupby(table["sample"]).first().mean()
        assert any(np.isclose(float(v), mean, rtol=1e-12) for v in Page(tiles).values)
    assert "0.0123456789" in Page(tiles).values
    assert "&gt;\xa0<data" in tiles  # years saved are a lower bound here
    assert "at least: the start from rest needs more than 4 years" in tiles


def test_numbers_of_the_control_are_computed_by_the_metrics_of_check(made):
    state, grid = basin(nx=8, ny=14, nz=5)
    value = float(METRICS["channel_transport"].function(state, grid))
    assert f"control {number(value, 4, trim=True)}" in made.html


def test_the_difference_in_the_caption_is_the_one_of_the_states(made):
    """The generated temperature is the control's plus 0.5 K everywhere."""
    assert "potential temperature 0.500 K (mean difference 0.50 K)".replace(" K", "\xa0K") in made.html


def test_the_control_is_the_last_equilibrium_snapshot_of_the_same_parameters(
    made, tmp_path, ocean_values, undrawn
):
    assert control_index(read([made.states], made.control)) == 1
    state, grid = basin(nx=8, ny=14, nz=5)
    others = write_control(tmp_path / "others.nc", grid, state, ocean_values | {"bottom_drag": 3e-6})
    inputs = read([made.states], others)
    assert differing_parameters(inputs) == ["bottom_drag"]
    assert "other values of bottom_drag" in state_sections(inputs)[0].parts[0].body


def test_differences_are_drawn_where_there_is_a_control(made):
    panels = 7  # temperature, salinity, three surface fields, two streamfunctions
    assert made.html.count(">difference</text>") == panels
    series = 4  # kinetic energy and transport of the first days, transport and deep temperature of all years
    assert made.html.count("minus control</text>") == series


def test_a_control_that_still_drifts_is_not_called_an_equilibrium(made, tmp_path, undrawn):
    for drift, said in ((0.2, True), (0.005, False)):
        ds = verification().assign(
            drift_thetao_deep=("start", [0.0, 0.0, drift, 0.0], {"units": "K/century"})
        )
        files.write_dataset(tmp_path / f"{drift}.nc", ds)
        html = report(tmp_path / f"{drift}.nc", tmp_path / f"{drift}.html").read_text()
        assert ("The control itself drifts by 0.20 K/century" in html) is said


def saved_page(tmp_path, rows):
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "verify.csv", index=False)
    return report(tmp_path / "verify.csv", tmp_path / "a.html").read_text()


def test_without_years_saved_the_page_says_why(tmp_path, undrawn):
    why = "not known: this start needs more than 20 years, nothing is known of a start from rest"
    rows = [("generated 0", "years_saved", np.nan, "", "years", why)]
    html = saved_page(tmp_path, rows)
    assert html.count(why) >= 2, "on the tile and beside the table"


def test_a_start_that_did_not_arrive_is_no_credit_beside_a_dash(tmp_path, undrawn):
    """Nothing known at the equilibrium: the tile takes the nearest distance of which something is, and says which."""
    rows = [
        ("generated 0", "years_saved", np.nan, "", "years", "not known: needs more than 20 years"),
        (
            "generated 0",
            "years_saved_at_0.5",
            180.0,
            ">",
            "years",
            "at least: the control's own spin-up needs more",
        ),
        ("generated 0", "years_saved_at_0.3", 90.0, "<", "years", "at most: the start from rest needs 110"),
        ("generated 0", "spinup_years_passed", 200.0, ">", "years", "the control's own spin-up"),
    ]
    tiles = re.search(r'<section id="headline">.*?</section>', saved_page(tmp_path, rows), re.DOTALL)[0]
    assert "Spin-up years passed" not in tiles
    assert (
        "to a distance of 0.3" in tiles
        and "&lt;\xa0<data" in tiles
        and "at most: the start from rest needs 110" in tiles
    )


def test_a_table_without_bounds_is_refused_not_shown_as_equal(tmp_path):
    rows = [("generated 0", "years_saved", 3.0, "years", "> 3: a lower bound")]
    table = pd.DataFrame(rows, columns=["start", "metric", "value", "unit", "note"])
    table.to_csv(tmp_path / "verify.csv", index=False)
    with pytest.raises(UserError, match="does not say which values are bounds; verify again"):
        report(tmp_path / "verify.csv", tmp_path / "a.html")


def test_verdicts_are_words_and_failures_come_first(made):
    found = re.findall(
        r'<span class="verdict (\w+)">(\w+|.)</span>', made.html[made.html.index('id="metrics"') :]
    )
    assert all(css == word.lower() for css, word in found if css != "none")
    rank = [{"fail": 0, "warn": 1, "pass": 2, "none": 2}[css] for css, _ in found]
    assert rank == sorted(rank)
    assert rank[0] == 0  # this analytic flow has divergence


def test_parameters_stand_beside_the_training_range_and_outside_is_said(
    made, generator, tmp_path, ocean_values, undrawn
):
    grid = files.open_grid(made.states)
    state = files.open_dataset(made.states).isel(sample=0)[["thetao", "so"]].load()
    far = write_states(
        tmp_path / "far.nc", grid, [state], ocean_values | {"wind_stress_south": 0.39}, extrapolated="far out"
    )
    html = report([far, generator], tmp_path / "a.html").read_text()
    row = re.search(r"<tr>(?:(?!</tr>).)*wind_stress_south.*?</tr>", html, re.DOTALL)[0]
    assert "0.1 … 0.3" in row
    assert "WARN" in row
    assert "Extrapolated: far out" in html
    assert "held fixed" in html


def test_a_card_brings_neither_markup_nor_images_from_outside(generator, tmp_path):
    html = report(generator, tmp_path / "card.html").read_text()
    assert "<td>1</td>" in html
    assert "licence: x" not in html
    assert not [load for load in Page(html).loads if not load.startswith("#")]


def test_states_alone_are_checked_on_the_way(made, tmp_path):
    html = report([made.states], tmp_path / "a.html").read_text()
    assert {"metrics", "sections"} <= set(sections(html))
    assert ">difference</text>" not in html


def test_a_folder_is_reported_as_what_it_holds(made):
    found = {kind: path.name for kind, path in read([made.folder]).paths.items()}
    assert found == {
        "generated": "states.nc",
        "control": "control.nc",
        "metrics": "metrics.csv",
        "verify": "verify.nc",
        "verify_table": "verify.csv",
    }


def test_metrics_and_verifications_make_a_page_without_states(made, tmp_path, undrawn):
    html = report([made.metrics, made.verify], tmp_path / "a.html").read_text()
    assert sections(html) == ["headline", "restart", "metrics", "provenance"]


def test_a_verification_without_control_distance_or_known_series_is_no_error(tmp_path, undrawn):
    ds = verification(("generated 0",))[["channel_transport"]]
    files.write_dataset(tmp_path / "verify.nc", ds)
    html = report(tmp_path / "verify.nc", tmp_path / "a.html").read_text()
    assert html.count("<figure>") == 2


def test_an_ensemble_shows_every_member_finished_or_not(runs, tmp_path):
    html = report(runs, tmp_path / "a.html").read_text()
    assert "3 members (3 train, 0 validation, 0 test), 2 at equilibrium" in html
    assert "not started" in html
    assert html.count("<figure>") == 3  # series, temperature, overturning
    assert "001 train, year 600" in html


def test_member_files_are_an_ensemble_with_states_and_series(tmp_path, undrawn):
    """Three of the published members, one that blew up, and a second run of a member, which is none."""
    for index in (0, 3, 7):
        shutil.copy(MEMBERS / f"member_{index:03d}.nc", tmp_path)
    shutil.copy(MEMBERS / "member_003.nc", tmp_path / "member_003_cold.nc")
    shutil.copy(MEMBERS / "plan.yaml", tmp_path)
    dump_yaml({"members": [{"member": 5, "year": 3.0}]}, tmp_path / "blow_ups.yaml")
    html = report(tmp_path, tmp_path / "a.html").read_text()
    assert "4 members (2 train, 1 validation, 1 test)" in html
    assert "blew up" in html
    assert html.count("<figure>") == 3  # series, temperature, overturning
    ensemble = read([tmp_path]).ensemble
    assert [m.index for m in ensemble.members] == [0, 3, 5, 7]
    assert ensemble.ranges["wind_stress_south"] == (0.05, 0.4)
    with files.open_dataset(MEMBERS / "member_003.nc") as ds:
        last = ds.isel(time=-1).load()
    member = ensemble.members[1]
    assert np.array_equal(member.state.thetao, last.thetao, equal_nan=True)
    assert (
        member.facts["year"] == float(last.year) and member.facts["drift"] == ds.attrs["drift_K_per_century"]
    )
    assert member.series["year"][-1] >= 500


def test_a_store_gives_the_training_range_of_profiles(made, runs, tmp_path, undrawn):
    dataset(runs, tmp_path / "states.zarr")
    html = report([made.states, tmp_path / "states.zarr"], tmp_path / "a.html").read_text()
    assert "range of the 2 training members" in html
    assert "Training range" in html
    assert sections(html)[-2:] == ["ensemble", "provenance"]


def test_text_of_users_is_escaped(tmp_path):
    html = render("<script>alert(1)</script>", [("a", "<b>")], [], "&")
    assert "<script>" not in html
    assert "<dd>&lt;b&gt;</dd>" in html


def test_an_existing_page_is_kept_unless_told_otherwise(made, tmp_path):
    page = tmp_path / "a.html"
    page.write_text("mine")
    with pytest.raises(UserError, match="exists"):
        report(made.metrics, page)
    assert page.read_text() == "mine"
    with pytest.raises(UserError, match="may be yours"):
        report(made.metrics, page, overwrite=True)
    assert page.read_text() == "mine"
    page.unlink()
    for _ in range(2):
        report(made.metrics, page, overwrite=True)
    assert "<h1>" in page.read_text()


def bad_inputs(made, tmp_path):
    """What a user may hand over by mistake, and a word of the answer."""
    cut = tmp_path / "cut.nc"
    cut.write_bytes(made.states.read_bytes()[:5000])
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "others" / "member_001").mkdir(parents=True)
    (tmp_path / "others" / "member_001" / "namelist_cfg").write_text("&namrun\n/\n")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc")
    lines = made.metrics.read_text().splitlines(keepends=True)
    (tmp_path / "short.csv").write_text("".join(lines[:-3]))
    state, grid = basin(nx=6, ny=14, nz=5)
    files.write_dataset(tmp_path / "coarse.nc", state.expand_dims("time"), grid)
    return {
        "missing": (["nowhere.nc"], None, "does not exist"),
        "cut": ([cut], None, "cannot read"),
        "foreign csv": ([tmp_path / "notes.csv"], None, "metrics CSV"),
        "text": ([tmp_path / "notes.txt"], None, "cannot"),
        "empty folder": ([tmp_path / "empty"], None, "cannot tell what"),
        "members of another program": ([tmp_path / "others"], None, "with 'warmstart dataset'"),
        "foreign netcdf": ([tmp_path / "other.nc"], None, "cannot tell what"),
        "short metrics": ([tmp_path / "short.csv"], None, "whole metrics CSV"),
        "two of a kind": ([made.states, made.states], None, "one of a kind"),
        "another grid": ([made.states], tmp_path / "coarse.nc", "another grid"),
        "nothing": ([], None, "nothing to report on"),
    }


def test_what_cannot_be_read_is_refused_with_a_reason_and_nothing_is_written(made, tmp_path):
    for name, (paths, control, reason) in bad_inputs(made, tmp_path).items():
        with pytest.raises(UserError) as error:
            report(paths, tmp_path / "out.html", control=control)
        assert reason in str(error.value), name
        assert not list(tmp_path.glob("*out.html*")), name
    with pytest.raises(UserError, match=r"ends in \.html"):
        report(made.metrics, tmp_path / "out.pdf")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234567.0, 4, "1.235x10⁶"),
        (999.96, 4, "1000"),
        (-0.00012345, 2, "-1.2x10⁻⁴"),
        (np.nan, 4, "\N{EN DASH}"),
        (12.0, 4, "12.00"),
    ],
)
def test_numbers_are_written_with_their_significant_digits(value, digits, text):
    expected = text.replace("x", "\N{MULTIPLICATION SIGN}").replace("-", "\N{MINUS SIGN}")
    assert number(value, digits) == expected


def test_a_gauge_puts_the_ends_of_the_range_on_the_ends_of_its_band():
    at = [
        float(x) for x in re.findall(r'cx="([\d.]+)"', gauge([1.0, 10.0, 100.0, 1e9], 1.0, 100.0, log=True))
    ]
    left, width = (
        float(x) for x in re.search(r'rect x="([\d.]+)" y="4" width="([\d.]+)"', gauge([], 1.0, 2.0)).groups()
    )
    np.testing.assert_allclose(at[:3], [left, left + width / 2, left + width])
    assert at[3] == 100.0  # beyond the scale: at its edge


@pytest.mark.parametrize(
    "ranges", [["0.05 Pa", "0.4 Pa"], 2230, {"bottom_drag": 3}, {"bottom_drag": ["a", "b"]}]
)
def test_ranges_of_a_plan_that_somebody_edited_are_refused_in_a_sentence(runs, tmp_path, ranges):
    shutil.copytree(runs, folder := tmp_path / "edited")
    (folder / "plan.yaml").write_text(json.dumps({"ranges": ranges}))
    with pytest.raises(UserError, match=r"plan\.yaml: ranges: expected parameter names"):
        report(folder, tmp_path / "a.html")


@pytest.mark.parametrize("column", ["start", "metric"])
def test_a_row_of_a_verification_without_a_name_is_refused_in_a_sentence(tmp_path, column):
    path = tmp_path / "verify.csv"
    row = dict.fromkeys(COLUMNS, "") | {"start": "rest", "metric": "shock", "value": 1.0} | {column: ""}
    pd.DataFrame([dict.fromkeys(COLUMNS, "a") | {"value": 1.0}, row]).to_csv(path, index=False)
    with pytest.raises(UserError, match="row 2 names no start or no metric"):
        read([path])


def test_a_value_of_a_verification_that_is_no_number_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "verify.csv"
    pd.DataFrame([dict.fromkeys(COLUMNS, "a") | {"value": "much"}]).to_csv(path, index=False)
    with pytest.raises(UserError, match="row 1: the value 'much' is no number"):
        read([path])


def test_a_card_that_is_damaged_is_shown_as_far_as_it_can_be_read(tmp_path):
    (tmp_path / "README.md").write_bytes(b"# A generator\n\xe4Ld\xac\n")
    text, config = inputs_part._card(tmp_path)
    assert text.startswith("# A generator") and config == {}


@pytest.mark.parametrize("parameters", [{"bottom_drag": None}, ["bottom_drag"], {"bottom_drag": "much"}])
def test_a_job_that_somebody_edited_is_refused_in_a_sentence(runs, tmp_path, parameters):
    shutil.copytree(runs, folder := tmp_path / "edited")
    path = sorted(folder.glob("member_*"))[0] / "job.yaml"
    dump_yaml(read_yaml(path) | {"parameters": parameters}, tmp_path / "job.yaml")
    shutil.copy(tmp_path / "job.yaml", path)
    with pytest.raises(UserError, match=r"job\.yaml or status\.yaml holds what no run wrote"):
        report(folder, tmp_path / "a.html")


@pytest.mark.parametrize(
    "told", [{"drift_K_per_century": "abc"}, {"years": [600.0]}, {"drift_K_per_century": {}}]
)
def test_a_status_whose_numbers_are_none_is_refused_in_a_sentence(runs, tmp_path, told):
    shutil.copytree(runs, folder := tmp_path / "edited")
    path = next(p for p in sorted(folder.glob("member_*/status.yaml")))
    dump_yaml(read_yaml(path) | told, tmp_path / "status.yaml")
    shutil.copy(tmp_path / "status.yaml", path)
    with pytest.raises(UserError, match=r"job\.yaml or status\.yaml holds what no run wrote"):
        inputs_part.read([folder])


def test_a_range_of_a_plan_that_no_member_has_is_no_column_of_the_page(runs, tmp_path):
    shutil.copytree(runs, folder := tmp_path / "edited")
    (folder / "plan.yaml").write_text(
        json.dumps({"ranges": {"bottom_drag": [1e-6, 2e-6], "unheard_of": [1, 2]}})
    )
    columns = ensemble_part._members(inputs_part.read([folder]).ensemble).columns
    assert [str(name).partition("<")[0] for name, _ in columns][5:] == ["bottom drag"]


def test_states_of_no_record_or_with_labels_that_do_not_fit_are_refused_in_a_sentence(made, tmp_path):
    with files.open_dataset(made.control) as ds:
        whole, grid = ds.load(), files.open_grid(made.control)
    spoilt = {
        "holds no state: time has length 0": whole.isel(time=slice(0, 0)),
        "year lies along y": whole.assign_coords(year=("y", np.arange(whole.sizes["y"]) * 1.0)),
        "bottom_drag lies along x": whole.assign(bottom_drag=("x", np.ones(whole.sizes["x"]))),
    }
    for count, (says, ds) in enumerate(spoilt.items()):
        path = files.write_dataset(tmp_path / f"{count}.nc", ds, grid)
        with pytest.raises(UserError, match=says):
            inputs_part.read([path])


@pytest.mark.parametrize(
    "ranges", ["{", "[1]", "5", "null", '{"bottom_drag": 1}', '{"bottom_drag": ["a", 2]}']
)
def test_a_store_that_does_not_say_its_ranges_is_refused_in_a_sentence(runs, tmp_path, ranges):
    dataset(runs, tmp_path / "states.zarr")
    zarr.open_group(tmp_path / "states.zarr").attrs["parameter_ranges"] = ranges
    with pytest.raises(UserError, match=r"parameter names with \[lowest, highest\]; make the store again"):
        inputs_part.read([tmp_path / "states.zarr"])


def test_a_store_whose_members_have_no_labels_is_refused_in_a_sentence(runs, tmp_path):
    dataset(runs, tmp_path / "states.zarr")
    group = zarr.open_group(tmp_path / "states.zarr")
    numbers = group["member"][...]
    del group["member"]
    group.create_array("member", data=numbers[:, None] * np.ones(3), dimension_names=["sample", "other"])
    with pytest.raises(UserError, match="has no member along sample"):
        inputs_part.read([tmp_path / "states.zarr"])
