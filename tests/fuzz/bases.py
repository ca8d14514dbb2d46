"""Good files of every kind: what the damage is done to."""

from __future__ import annotations

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
import yaml


def make(folder: Path) -> Path:
    """Write one of every file and folder that is read.

    Parameters
    ----------
    folder : existing and empty.

    Returns
    -------
    `folder`.
    """
    from report_inputs import verification, verification_table, write_control, write_states

    import warmstart as ws
    from nemo_files import write_mesh, write_template
    from nemo_layouts import (
        mesh_variables,
        ocean,
        restart_variables,
        write,
        write_output,
        write_pieces,
    )
    from small_ensemble import make_store
    from veros_files import write_snapshot
    from warmstart.engines import dino
    from warmstart.engines.nemo.restart_file import write_restart
    from warmstart.io import files
    from warmstart.ocean import parameters
    from warmstart.ocean.basin import basin, finish
    from warmstart.verbs.train import train

    shape = {"nx": 9, "ny": 14, "nz": 5}
    state, grid = basin(**shape)
    values = parameters.defaults() | {"wind_stress_south": 0.25}
    large = make_store(folder / "large.zarr", **shape)
    train(large, GENERATOR, folder / "generator")
    shutil.rmtree(large)

    other = state.assign(thetao=(state.thetao + 0.5).assign_attrs(state.thetao.attrs))
    write_states(folder / "states.nc", grid, [other, state], values)
    write_control(folder / "control.nc", grid, state, values)
    shutil.copyfile(folder / "control.nc", folder / "good.nc")
    early = parameters.attach(state, values).assign_coords(year=50.0)
    files.write_dataset(folder / "early.nc", early, grid)
    ws.check(folder / "states.nc", reference=folder / "control.nc", output=folder / "metrics.csv")
    ws.check(folder / "states.nc", only=["inversions", "heat_content"], output=folder / "metrics.nc")
    files.write_dataset(folder / "verify.nc", verification())
    verification_table().to_csv(folder / "verify.csv", index=False)

    for index, wind in enumerate((0.15, 0.25)):
        member = folder / "runs" / f"member_{index:03d}"
        member.mkdir(parents=True)
        own = parameters.defaults() | {"wind_stress_south": wind}
        (member / "job.yaml").write_text(yaml.safe_dump({"member": index, "parameters": own}))
        write_control(member / "states.nc", grid, state + 0.1 * index, own)
        year = ("time", [1.0, 2.0], {"units": "1"})
        line = ("time", [1.0, 2.0 + index], {"units": "Sv", "long_name": "transport"})
        files.write_dataset(
            member / "series.nc", xr.Dataset({"channel_transport": line, "thetao_deep": line}, {"year": year})
        )
        status = {"state": "finished", "years": 600.0, "drift_K_per_century": 0.004, "verdict": "equilibrium"}
        (member / "status.yaml").write_text(yaml.safe_dump(status))
    (folder / "runs" / "plan.yaml").write_text(yaml.safe_dump({"ranges": {"wind_stress_south": [0.1, 0.3]}}))
    ws.dataset(folder / "runs", folder / "store.zarr")

    collection = folder / "collection"
    collection.mkdir()
    for index, wind in enumerate((0.15, 0.25, 0.3)):
        path = collection / f"member_{index:03d}.nc"
        told = {"member": index, "verdict": "equilibrium", "drift_K_per_century": 0.004, "years": 600.0}
        own = parameters.defaults() | {"wind_stress_south": wind}
        write_control(folder / "own.nc", grid, state + 0.1 * index, own)
        with files.open_dataset(folder / "own.nc") as ds:
            files.write_dataset(path, ds.load().assign_attrs(told), grid)
        (folder / "own.nc").unlink()
        with files.open_dataset(folder / "runs" / "member_000" / "series.nc") as ds:
            ds.load().to_netcdf(path, mode="a", group="series")
    (collection / "blow_ups.yaml").write_text(BLOW_UPS)

    sea, mesh = ocean()
    nemo = folder / "nemo" / "a"
    nemo.mkdir(parents=True)
    write(nemo / "mesh_mask.nc", mesh_variables(mesh))
    for year in (1, 2):
        write(
            nemo / f"DINO_{5760 * year:08d}_restart.nc",
            restart_variables(sea, kt=5760 * year),
            form="NETCDF4",
        )
    (nemo / "namelist_cfg").write_text(NAMELIST)
    (nemo / "namelist_ref").write_text("&namusr_def\n rn_srp = -3.858e-3\n/\n&namzdf\n rn_avt0 = 1.2e-5\n/\n")
    output = folder / "output"
    output.mkdir()
    shutil.copyfile(nemo / "mesh_mask.nc", output / "mesh_mask.nc")
    days = np.array([30.0, 60.0])
    both = {n: np.stack([np.nan_to_num(sea[n].values)] * 2) for n in ("thetao", "so", "uo", "vo", "zos")}
    write_output(
        output / "DINO_1m_grid_T.nc",
        {"toce": both["thetao"], "soce": both["so"], "ssh": both["zos"]},
        days,
        30.0,
        calendar="360_day",
        units={"toce": "degC", "soce": "1e-3", "ssh": "m"},
    )
    write_output(
        output / "DINO_1m_grid_U.nc", {"uoce": both["uo"]}, days, 30.0, "u", "360_day", units={"uoce": "m/s"}
    )

    pieces = folder / "pieces"
    pieces.mkdir()
    write(pieces / "mesh_mask.nc", mesh_variables(mesh))
    for piece in write_pieces(pieces, "DINO_00005760_restart", restart_variables(sea), (2, 1)):
        with netCDF4.Dataset(piece, "r+") as nc:
            nc["nav_lat"][...] = 0.0  # as where a process was left out: it says nothing
    cmip = folder / "cmip"
    cmip.mkdir()
    shutil.copyfile(nemo / "mesh_mask.nc", cmip / "mesh_mask.nc")
    for name, units in (("thetao", "degC"), ("so", "0.001")):
        field = xr.DataArray(both[name], dims=("time", "lev", "y", "x"), name=name, attrs={"units": units})
        ds = field.to_dataset().assign_coords(time=("time", days, {"units": "days since 1850-01-01"}))
        ds.assign_attrs(mip_era="CMIP6", variable_id=name).to_netcdf(cmip / f"{name}.nc")
    write_snapshot(folder / "veros.nc")

    small, plain = basin(nx=8, ny=12, nz=5)
    classic = folder / "classic"
    classic.mkdir()
    write_mesh(classic / "mesh_mask.nc", plain)
    write_template(classic / "template.nc", plain, "5.0 MLF")
    files.write_dataset(classic / "states.nc", parameters.attach(small, values), plain)
    (classic / "namelist_cfg").write_text(NAMELIST)
    for name, warming in (("control", 0.0), ("generated", 0.1)):
        run = folder / "finished" / name
        run.mkdir(parents=True)
        for year in (1, 2):
            date = {"kt": 2880.0 * year, "ndastp": 10000.0 * year + 1230.0, "adatrj": 360.0 * year}
            old = write_template(run / "old", plain, "5.0 RK3", scalars=date)
            warm = small.assign(thetao=small.thetao + warming * year)
            write_restart(warm, run / f"DINO_{2880 * year:08d}_restart.nc", template=old, grid=plain)
            old.unlink()
    shutil.copyfile(classic / "mesh_mask.nc", folder / "finished" / "mesh_mask.nc")

    own = dino.grid(10.0, 6)
    rest = finish(xr.Dataset({"thetao": 4.0 * own.tmask, "so": 35.0 * own.tmask}), own)
    files.write_dataset(folder / "dino.nc", parameters.attach(rest, values), own)
    ws.restart(folder / "dino.nc", folder / "restarts")
    (folder / "verify_runs").mkdir()
    (folder / "verify_runs" / "verify.yaml").write_text(
        yaml.safe_dump({"years": 2, "states": "0", "samples": [0], "control": None, "parameters": values})
    )

    (folder / "plan.yaml").write_text(PLAN)
    (folder / "listed.yaml").write_text(LISTED)
    (folder / "tabled.yaml").write_text(TABLED)
    (folder / "members.csv").write_text(MEMBERS)
    (folder / "train.yaml").write_text(TRAIN)
    (folder / "thresholds.yaml").write_text(THRESHOLDS)
    (folder / "parameters.yaml").write_text("wind_stress_south: 0.2 Pa\nvertical_diffusivity: 3e-5\n")
    (folder / "job.yaml").write_text(_job())
    return folder


def _job() -> str:
    from warmstart.ensemble import design

    read = design.load_plan(yaml.safe_load(PLAN))
    return yaml.safe_dump(design.member_job(read, design.member_parameters(read)[0], Path("runs")))


#: The smallest generator with all its parts: what it draws is of no concern.
GENERATOR = {
    "mean": {"relevance": False, "parts": False},
    "residual": {"model": "diffusion", "modes": 2},
    "network": {"widths": [8], "embedding": 8},
    "training": {
        "steps": 2,
        "batch": 2,
        "validate_every": 2,
        "checkpoint_every": 2,
        "warmup": 1,
        "patience": 0,
    },
    "sampling": {"steps": 3},
}
NAMELIST = """! a run of DINO
&namrun
   cn_exp = "DINO"
   nn_it000 = 1
   nn_itend = 99
   nn_date0 = 00010101
/
&namusr_def
   rn_trp = -40.   ! heat
   rn_srp = -3.858e-3
   rn_tstar_n = 5.0, rn_tstar_s = -0.5
   rn_tstar_eq = 27.
   ln_mid = .true.
/
&namtra_eiv
   ln_ldfeiv = .true.
   nn_aei_ijk_t = 0
   rn_Ue = 0.02
   rn_Le = 1e5
/
&namzdf
   rn_avt0 = 1.2e-5
   rn_avm0 = 1.2e-4
/
"""
PLAN = """configuration: {resolution: 10, levels: 6}
members: 4
seed: 1
years: 30
settle_years: 4
checkpoint_seconds: 60
start: rest
ranges:
  wind_stress_south: [0.05 Pa, 0.4 Pa]
  vertical_diffusivity: [1e-5, 1e-4]
fixed:
  bottom_drag: 2e-6 s-1
"""
TABLED = """configuration: {resolution: 10, levels: 6}
years: 30
start: rest
parameters: members.csv
"""
LISTED = TABLED.replace(
    "members.csv", "\n  - {name: calm, split: test, wind_stress_south: 50 mPa}\n  - {bottom_drag: 2e-6}\n"
)
MEMBERS = """name,split,wind_stress_south [mPa],vertical_diffusivity
,,Pa,cm2 s-1
calm,train,100,
strong,test,0.3 Pa,0.15
"""
BLOW_UPS = """members:
  - {member: 7, year: 12.5, parameters: {wind_stress_south: 0.4}, name: storm, split: test}
"""
TRAIN = """description: small
seed: 0
shape: [5, 14, 9]
condition: {initial_state: true, dropout: 0.15}
mean: {model: gaussian-process, variance: 0.999}
residual: {model: diffusion, coordinates: eof, modes: 4}
network: {widths: [8, 12], embedding: 16}
training: {steps: 4, batch: 2, warmup: 2, validate_every: 2, checkpoint_every: 2, patience: 0}
sampling: {steps: 4}
"""
THRESHOLDS = """widen: 0.1
metrics:
  mask_violations: {hard: true, compare: none, high: 0}
  heat_content: {hard: true, widen: 1.0}
  inversions: {hard: true, compare: above, widen: 0.0, high: 0.35}
"""
