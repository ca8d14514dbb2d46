"""Inputs that the tests of the report share, and the page made of them."""

from pathlib import Path

import pytest
import xarray as xr
import yaml
from report_inputs import RANGES, Made, verification, verification_table, write_control, write_states

from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.verbs.check import check
from warmstart.verbs.report import report


@pytest.fixture(scope="session")
def ocean_values() -> dict[str, float]:
    return parameters.defaults() | {"wind_stress_south": 0.25}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, ocean_values: dict[str, float]) -> Made:
    folder = tmp_path_factory.mktemp("report")
    state, grid = basin(nx=8, ny=14, nz=5)
    other = state.assign(thetao=(state.thetao + 0.5).assign_attrs(state.thetao.attrs))
    states = write_states(folder / "states.nc", grid, [other, state], ocean_values)
    control = write_control(folder / "control.nc", grid, state, ocean_values)
    check(states, reference=control, output=folder / "metrics.csv")
    files.write_dataset(folder / "verify.nc", verification())
    verification_table().to_csv(folder / "verify.csv", index=False)
    paths = [states, folder / "metrics.csv", folder / "verify.nc"]
    page = report(paths, folder / "report.html", control=control)
    return Made(
        folder,
        states,
        control,
        folder / "metrics.csv",
        folder / "verify.nc",
        page,
        page.read_text(encoding="utf-8"),
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished members and one that has not begun."""
    state, grid = basin(nx=8, ny=14, nz=5)
    folder = tmp_path / "runs"
    for index, wind in enumerate((0.15, 0.25, 0.2)):
        member = folder / f"member_{index:03d}"
        member.mkdir(parents=True)
        values = parameters.defaults() | {"wind_stress_south": wind}
        (member / "job.yaml").write_text(yaml.safe_dump({"member": index, "parameters": values}))
        if index < 2:
            write_control(member / "states.nc", grid, state, values)
            year = ("time", [1.0, 2.0], {"units": "1", "long_name": "model years"})
            line = ("time", [1.0, 2.0 + index], {"units": "Sv", "long_name": "transport"})
            series = xr.Dataset({"channel_transport": line}, {"year": year})
            files.write_dataset(member / "series.nc", series)
            status = {
                "state": "finished",
                "years": 600.0,
                "drift_K_per_century": 0.004,
                "verdict": "equilibrium",
            }
            (member / "status.yaml").write_text(yaml.safe_dump(status))
    (folder / "plan.yaml").write_text(yaml.safe_dump({"ranges": {n: list(r) for n, r in RANGES.items()}}))
    return folder


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A generator folder as the report sees it: a card and a configuration."""
    folder = tmp_path / "generator"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"")
    seen = {n: {"low": low, "high": high, "units": "", "varies": True} for n, (low, high) in RANGES.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump({"parameters": seen}))
    card = "---\nlicence: x\n---\n# A card\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![far](https://example.org/a.png) <script>far()</script>\n"
    (folder / "README.md").write_text(card)
    return folder
