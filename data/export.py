"""Turn folders of members into compressed NetCDF files of this collection, or a member file back into a restart of Veros.

python data/export.py runs/member_* data/dino-4deg
python data/export.py --undisturbed OLD runs/member_* data/dino-4deg  # with years 200 and 500 of runs without extrapolation
python data/export.py data/dino-4deg/member_000.nc restart.h5

A file that is there is kept. A run that blew up leaves no states; it is noted in ``blow_ups.yaml`` instead.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from member_files import write_member_file, write_restart_of

from warmstart.io.config import dump_yaml, read_yaml
from warmstart.store.members import BLOW_UPS, labels_of
from warmstart.errors import UserError


def export(run: Path, collection: Path, undisturbed: Path | None = None) -> str:
    """Write the member file of a run, or note that it blew up; say what was done."""
    status = read_yaml(run / "status.yaml") if (run / "status.yaml").exists() else {}
    if status.get("state") == "failed" and status.get("blow_ups"):
        labels = dict(zip(("name", "split"), labels_of(run), strict=True))
        last = status["blow_ups"][-1] | {key: label for key, label in labels.items() if label}
        note_blow_up(int(run.name.removeprefix("member_")), last, collection / BLOW_UPS)
        return "blew up, noted"
    output = collection / f"{run.name}.nc"
    if output.exists():
        return "exists, kept"
    other = undisturbed / output.name if undisturbed is not None else None
    return f"{write_member_file(run, output, undisturbed=other).stat().st_size} bytes"


def note_blow_up(member: int, last: dict[str, object], path: Path) -> None:
    """Add a member to the list of those that blew up."""
    former = read_yaml(path) if path.exists() else {"members": []}
    listed = former["members"]
    others = [m for m in listed if m["member"] != member]
    kept = {name: last.get(name) for name in ("year", "phase", "dt_momentum", "dt_tracer", "parameters")}
    kept |= {name: last[name] for name in ("name", "split") if name in last}
    members = sorted([*others, {"member": member, **kept}], key=lambda m: m["member"])
    dump_yaml({"members": members}, path, former=former)


def main(sources: list[Path], output: Path, undisturbed: Path | None = None) -> int:
    """Export all runs, whatever becomes of one of them; the number of those that could not be."""
    if len(sources) == 1 and sources[0].suffix == ".nc":
        write_restart_of(sources[0], output)
        return 0
    if not output.is_dir():
        raise UserError(f"{output} is no folder; make the folder of the collection first")
    failures = 0
    for run in sources:
        try:
            print(f"{run.name}: {export(run, output, undisturbed)}")
        except UserError as error:
            failures += 1
            print(f"{run.name}: not written: {error}", file=sys.stderr)
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="folders of finished members, or one member file")
    parser.add_argument("output", type=Path, help="folder of the collection, or the restart to write")
    parser.add_argument("--undisturbed", type=Path, help="folder of member files of runs without extrapolation")
    given = parser.parse_args()
    try:
        sys.exit(min(main(given.sources, given.output, given.undisturbed), 1))
    except UserError as error:
        sys.exit(f"Error: {error}")
