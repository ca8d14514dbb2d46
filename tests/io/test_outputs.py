"""Outputs: whole or not at all, only in the place of what the product made, by one command at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import outputs
from warmstart.io.config import dump_yaml
from warmstart.io.files import write_csv, write_dataset
from warmstart.io.outputs import foreign, held, replacing, require_free, require_room, require_work
from warmstart.ocean.basin import basin


def ours(path: Path, text: str = "old") -> Path:
    path.write_text(f"{outputs.mark()}\n{text}")
    return path


def our_folder(path: Path) -> Path:
    with replacing(path) as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "a.txt").write_text("a")
        (temporary / "deep" / "b.txt").write_text("b")
    return path


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder, without following links."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
    return found


# ---------------------------------------------------------------- whole or not at all


def test_an_existing_output_is_refused_and_kept(tmp_path):
    target = ours(tmp_path / "a.txt")
    with pytest.raises(UserError, match="--overwrite"), replacing(target):
        pytest.fail("the block must not run")
    assert target.read_text().endswith("old")


def test_a_failure_half_way_leaves_the_old_file_and_no_litter(tmp_path):
    target = ours(tmp_path / "a.txt")
    with pytest.raises(RuntimeError), replacing(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text().endswith("old")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_named_and_leaves_the_old_file_and_no_litter(tmp_path):
    target = ours(tmp_path / "a.txt")
    with pytest.raises(UserError, match="is full"), replacing(target, overwrite=True) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("more than fits")
    assert target.read_text().endswith("old")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_does_not_fit_is_not_begun(tmp_path):
    with pytest.raises(UserError, match="free some space"):
        require_room(tmp_path, size=2**70)
    require_room(tmp_path)


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("one", "two"):
        with replacing(target, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert sorted(os.listdir(target)) == [outputs.CONTENTS, "two"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_stays_where_nothing_was_written_to_take_its_place(tmp_path):
    target = our_folder(tmp_path / "folder")
    before = tree(tmp_path)
    with pytest.raises(FileNotFoundError), replacing(target, overwrite=True):
        pass  # the block forgot to write
    assert tree(tmp_path) == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"), replacing(tmp_path / "no" / "a.txt"):
        pytest.fail("the block must not run")


def test_what_somebody_puts_there_in_the_meantime_is_kept(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(UserError, match="may be yours"), replacing(target, overwrite=True) as temporary:
        temporary.write_text("new")
        target.write_text("mine")
    assert tree(tmp_path) == {"a.txt": b"mine"}


def test_what_a_killed_command_left_is_put_right_by_the_next(tmp_path):
    """Killed while the new folder took the place of the old one, the worst moment; and while the new one was written."""
    code = (
        "import os, sys; from pathlib import Path; from warmstart.io import outputs\n"
        "moment = sys.argv[2]\n"
        "if moment == 'rename': outputs.os.replace = lambda *paths: os._exit(9)\n"
        "with outputs.replacing(sys.argv[1], overwrite=True) as temporary:\n"
        "    temporary.mkdir(); (temporary / 'new').write_text('new')\n"
        "    if moment == 'write': os._exit(9)\n"
    )
    target = our_folder(tmp_path / "folder")
    before = tree(target)
    for moment in ("write", "rename", "rename"):
        subprocess.run([sys.executable, "-c", code, str(target), moment], check=False)
    assert sorted(os.listdir(tmp_path)) == [".folder.warmstart"]
    with pytest.raises(RuntimeError), replacing(tmp_path / "folder", overwrite=True):
        assert tree(target) == before, "the old one is back"
        raise RuntimeError
    assert os.listdir(tmp_path) == ["folder"] and tree(target) == before


def test_a_folder_of_somebody_else_where_outputs_are_made_is_in_the_way(tmp_path):
    (tmp_path / ".a.txt.warmstart").mkdir()
    (tmp_path / ".a.txt.warmstart" / "lock").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="in the way"), held(require_free(tmp_path / "a.txt")):
        pytest.fail("the block must not run")
    outputs.tidy(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["lock", "new", "old", "x" * 255, "ä" * 127, " a b ", ".a", "-o", "a\nb", "$HOME"]
)
def test_any_name_that_a_file_may_have_can_be_made_and_made_again(tmp_path, name):
    for content in ("one", "two"):
        with replacing(tmp_path / name, overwrite=True) as temporary:
            ours(temporary, content)
    assert (tmp_path / name).read_text().endswith("two") and os.listdir(tmp_path) == [name]


# ---------------------------------------------------------------- one command at a time


def test_a_second_command_on_the_same_output_says_so_until_the_first_has_ended_by_any_means(tmp_path):
    code = (
        "import sys, time; from warmstart.io.outputs import held, require_free\n"
        "with held(require_free(sys.argv[1])): print('held', flush=True); time.sleep(60)\n"
    )
    target = tmp_path / "a.txt"
    first = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match="another command is writing"), held(require_free(target)):
        pytest.fail("the block must not run")
    with held(require_free(tmp_path / "b.txt")):
        pass
    first.kill()
    first.wait()
    first.stdout.close()
    with held(require_free(target)), held(require_free(target)):
        pass  # the lock died with its process; within one process it is held once
    assert os.listdir(tmp_path) == []


def verb_of(beside=lambda given: [], work=None):
    """A verb that says what lies in the folder of its output while it works."""

    @outputs.writes(folder=False, beside=beside, work=work)
    def verb(output: Path, overwrite: bool = False) -> list[str]:
        return sorted(os.listdir(output.parent))

    return verb


def test_a_verb_holds_all_that_it_makes_until_it_ends(tmp_path):
    verb = verb_of(lambda given: [tmp_path / "b.csv"], lambda given: (tmp_path / "runs", ()))
    assert verb(tmp_path / "a.nc") == [".a.nc.warmstart", ".b.csv.warmstart", ".runs.warmstart"]
    assert os.listdir(tmp_path) == []


def test_a_verb_refuses_its_output_before_it_names_what_lies_beside_and_leaves_nothing_held(tmp_path):
    with pytest.raises(UserError, match="--overwrite"):
        verb_of(lambda given: pytest.fail("the output was not refused first"))(ours(tmp_path / "a.txt"))
    (tmp_path / "mine.csv").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="may be yours"):
        verb_of(lambda given: [tmp_path / "new.csv", tmp_path / "mine.csv"])(
            tmp_path / "a.txt", overwrite=True
        )
    assert tree(tmp_path) == before


# ---------------------------------------------------------------- what may be replaced


def test_what_the_product_writes_bears_its_mark_and_is_replaced_when_asked(tmp_path):
    import pandas as pd

    state, grid = basin(nx=6, ny=8, nz=4)
    for _ in range(2):
        write_dataset(tmp_path / "a.nc", state, grid, overwrite=True)
        write_csv(tmp_path / "a.csv", pd.DataFrame({"a": [1]}), overwrite=True)
        dump_yaml({"a": 1}, tmp_path / "a.yaml")
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.nc", "a.yaml"]
    xr.Dataset(attrs={outputs.ATTRIBUTE: "0.1"}).to_netcdf(tmp_path / "classic.nc", format="NETCDF3_CLASSIC")
    assert foreign(tmp_path / "classic.nc") is None


FOREIGN = {
    "text": b"my notes on warmstart\n",
    "a plan": b"# my ensemble, made with warmstart 0.1.0\nmembers: 3\n",
    "versions": b"python: 3.11\nwarmstart_version: 0.1.0\n",
    "a script": b"#!/bin/sh\n# warmstart generate dino-4deg -o a.nc\n",
    "nothing": b"",
    "broken HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "broken NetCDF": b"CDF\x01" + bytes(10),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_without_the_mark_is_kept(tmp_path, content):
    target = tmp_path / "a"
    target.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(UserError, match="another output"):
            require_free(target, overwrite)
    with pytest.raises(UserError, match="may be yours"):
        dump_yaml({"a": 1}, target)
    assert tree(tmp_path) == {"a": content}


def test_a_netcdf_file_of_another_program_is_kept(tmp_path):
    xr.Dataset({"a": 1}, attrs={"title": "made with warmstart"}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match="may be yours"):
        write_dataset(tmp_path / "a.nc", xr.Dataset(), overwrite=True)


@pytest.mark.parametrize("where", ["mine.txt", "deep/mine.txt", "deep/er/mine.txt", "a.txt/../mine", "link"])
def test_a_folder_with_anything_foreign_in_it_is_kept_and_the_file_is_named(tmp_path, where):
    target = our_folder(tmp_path / "folder")
    path = Path(os.path.normpath(target / where))
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("a.txt") if where == "link" else path.write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(
        UserError, match=f"holds {path.relative_to(target)}, which warmstart did not put there"
    ):
        require_free(target, overwrite=True)
    assert tree(tmp_path) == before


def test_a_listed_file_that_became_a_link_is_foreign(tmp_path):
    target = our_folder(tmp_path / "folder")
    (target / "a.txt").unlink()
    (target / "a.txt").symlink_to(ours(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"holds a\.txt"):
        require_free(target, overwrite=True)


def test_a_store_is_known_by_its_own_metadata_and_a_file_in_it_is_not(tmp_path):
    import zarr

    store = tmp_path / "a.zarr"
    ds = xr.Dataset({"thetao": ("x", [1.0])}, attrs={outputs.ATTRIBUTE: "0.1"})
    with replacing(store) as temporary:
        ds.to_zarr(temporary, zarr_format=3, consolidated=False)
        ds.to_zarr(temporary, zarr_format=3, mode="a", group="grid", consolidated=False)
        zarr.consolidate_metadata(temporary)
    require_free(store, overwrite=True)
    for name in ("mine.txt", "grid/mine", "thetao/c/mine", "thetao/c/0.bak", "grid/thetao/notes"):
        (store / name).write_text("mine")
        with pytest.raises(UserError, match=f"holds {name}"):
            require_free(store, overwrite=True)
        (store / name).unlink()
    xr.Dataset({"mine": ("x", [1.0])}).to_zarr(store / "mine", zarr_format=3, consolidated=False)
    with pytest.raises(UserError, match="holds mine/"):
        require_free(store, overwrite=True)
    for inside in ("new.nc", "zarr.json", "thetao", "grid/thetao/c/0"):
        with pytest.raises(UserError, match="inside the zarr store"):
            require_free(store / inside, overwrite=True)
    other = tmp_path / "other.zarr"
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(other, zarr_format=3)
    with pytest.raises(UserError, match="may be yours"):
        require_free(other, overwrite=True)


def test_a_file_of_a_folder_is_not_replaced_by_itself(tmp_path):
    target = our_folder(tmp_path / "folder")
    for name in ("a.txt", "deep/b.txt", "deep", outputs.CONTENTS):
        with pytest.raises(UserError, match=r"is a part of|is a folder|does not say"):
            require_free(target / name, overwrite=True)


def test_a_file_that_must_stay_as_it_is_is_known_by_its_hash_in_the_namelist_beside(tmp_path):
    (tmp_path / "r.nc").write_bytes(b"as NEMO wrote it")
    (tmp_path / "r.namelist").write_text(outputs.list_beside([tmp_path / "r.nc"]))
    assert foreign(tmp_path / "r.nc") is None
    (tmp_path / "r.nc").write_bytes(b"as NEMO wrote it later")
    assert foreign(tmp_path / "r.nc") is not None
    (tmp_path / "r.namelist").write_text("&namrun /\n")
    assert foreign(tmp_path / "r.nc") is not None


# ---------------------------------------------------------------- what never is

NAMES = [
    "",
    " ",
    ".",
    "..",
    "/",
    "//",
    "./",
    "../",
    "a/..",
    "a/.",
    "a/../..",
    "../..",
    "/.",
    "/..",
    "./.",
    "~",
    "~/",
    "~/a",
    "a\0b",
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_the_decision_refuses_what_is_no_name_of_its_own(tmp_path, monkeypatch, name, overwrite):
    """The decision alone: it writes and removes nothing, whatever it says."""
    (tmp_path / "here" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for decide in (lambda: require_free(name, overwrite), lambda: require_work(name, ())):
        with pytest.raises(UserError, match=r"empty|expected the name|NUL|has not replaced|never replaced"):
            decide()


def test_the_decision_refuses_home_working_folder_and_those_above_by_any_name(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "home" / "work" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "link").symlink_to(home / "work", target_is_directory=True)
    for path in (home, here, home / "work", tmp_path, "../../work", "../here", tmp_path / "link" / "here"):
        for decide in (
            lambda path=path: require_free(path, overwrite=True),
            lambda path=path: require_work(path, ()),
        ):
            with pytest.raises(UserError, match="never replaced"):
                decide()
    for decide in (require_free, require_work):
        with pytest.raises(UserError, match="never replaced"):
            decide(tmp_path / "link", ())
    for mounted in ("/proc", "/dev"):
        with pytest.raises(UserError, match="mount point"):
            require_free(mounted, overwrite=True)


def test_links_devices_long_names_and_unwritable_folders_are_refused(tmp_path):
    ours(tmp_path / "ours")
    os.mkfifo(tmp_path / "fifo")
    for name, target in {"link": "ours", "dangling": "nothing", "loop": "loop", "to_folder": "."}.items():
        (tmp_path / name).symlink_to(target)
    before = [path.lstat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    for name, match in {
        "link": "symbolic link", "dangling": "symbolic link", "loop": "symbolic link", "to_folder": "symbolic link",
        "fifo": "no plain file", "n" * 300: "too long", "ours/a": "is no folder", "loop/a": "Too many levels",
        "new/": "name of a folder",
    }.items():  # fmt: skip
        for overwrite in (False, True):
            with pytest.raises(UserError, match=match):
                require_free(f"{tmp_path}/{name}", overwrite, folder=False)
    for name in ("dangling", "loop", "fifo", "ours"):
        with pytest.raises(UserError):
            require_work(tmp_path / name, ())
    assert [path.lstat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == before


def test_a_file_never_takes_the_place_of_a_folder_nor_the_other_way_round(tmp_path):
    ours(tmp_path / "file")
    our_folder(tmp_path / "folder")
    with pytest.raises(UserError, match="is a file, and a folder"):
        require_free(tmp_path / "file", overwrite=True, folder=True)
    with pytest.raises(UserError, match="is a folder, and a file"):
        require_free(tmp_path / "folder", overwrite=True, folder=False)


def test_an_input_is_never_the_output_by_whatever_name(tmp_path):
    source = ours(tmp_path / "a.nc")
    folder = our_folder(tmp_path / "folder")
    os.link(source, tmp_path / "hard.nc")
    (tmp_path / "soft.nc").symlink_to("a.nc")
    for output, inputs in (
        (source, [source]), (tmp_path / "hard.nc", [source]), (source, [tmp_path / "hard.nc"]),
        (source, [[tmp_path / "soft.nc"]]), (folder, [None, folder / "deep" / "b.txt"]), (folder, [str(folder)]),
    ):  # fmt: skip
        with pytest.raises(UserError, match="input of the same command"):
            require_free(output, True, inputs)
    path = write_dataset(tmp_path / "lazy.nc", *basin(nx=6, ny=8, nz=4))
    with xr.open_dataset(path) as ds, pytest.raises(UserError, match="input of the same command"):
        require_free(path, True, [ds])


def test_a_folder_to_work_in_is_new_empty_or_says_whose_it_is(tmp_path):
    assert require_work(tmp_path / "new", ["plan.yaml"]) == tmp_path / "new"
    (tmp_path / "held").mkdir()
    require_work(tmp_path / "held", ["plan.yaml"])
    (tmp_path / "held" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds mine\.txt"):
        require_work(tmp_path / "held", ["plan.yaml"])
    (tmp_path / "held" / "plan.yaml").write_text("")
    require_work(tmp_path / "held", ["plan.yaml"])
    (tmp_path / "link").symlink_to("held")  # a scratch disk: nothing takes the place of the link
    assert require_work(tmp_path / "link", ["plan.yaml"]) == tmp_path / "held"


def test_a_work_folder_is_cleared_of_what_is_known_and_only_if_there_is_nothing_else(tmp_path):
    folder = tmp_path / "runs"
    (folder / "a" / "snapshots").mkdir(parents=True)
    (folder / "a" / "job.yaml").write_text("")
    (folder / "a" / "snapshots" / "day_1.npz").write_text("")
    our_folder(folder / "listed")
    (folder / "a" / "mine.txt").write_text("mine")
    before = tree(folder)
    with pytest.raises(UserError, match=r"holds a/mine\.txt"):
        outputs.clear(folder, r"[^/]+/(job\.yaml|snapshots/day_\d+\.npz)")
    assert tree(folder) == before
    (folder / "a" / "mine.txt").unlink()
    outputs.clear(folder, r"[^/]+/(job\.yaml|snapshots/day_\d+\.npz)")
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_ends_at_once_even_where_a_library_waits_for_its_own_lock(
    tmp_path, number
):
    (tmp_path / "old.txt").write_text("as it was")
    program = (
        "import signal, threading; from pathlib import Path; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from warmstart.io.signals import end_at_once; end_at_once()\n"
        "from warmstart.io import outputs\n"
        "lock = threading.Lock(); lock.acquire()\n"
        "with outputs.replacing(Path('new')) as temporary:\n"
        "    temporary.mkdir(); (temporary / 'half').touch(); print('here', flush=True); lock.acquire()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number and "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["old.txt"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_that_was_moved_away_is_not_made_again_by_a_library_that_makes_folders(tmp_path, whole):
    (tmp_path / "here").mkdir()
    with (
        pytest.raises(UserError, match="no longer there"),
        outputs.replacing(tmp_path / "here" / "new") as temporary,
    ):
        temporary.mkdir()
        (tmp_path / "here").rename(tmp_path / "there")
        temporary.mkdir(parents=True)  # as a store of zarr is written
        if not whole:
            raise OSError("what is in it has gone")
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_link_in_the_place_of_the_folder_where_an_output_was_made_loses_nothing_that_it_leads_to(tmp_path):
    (tmp_path / "mine" / "new").mkdir(parents=True)
    (tmp_path / "mine" / "new" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError), outputs.replacing(tmp_path / "out") as temporary:
        temporary.parents[1].rename(tmp_path / "away")
        temporary.parents[1].symlink_to(tmp_path / "mine")
        raise OSError("what was being written has gone")
    assert (tmp_path / "mine" / "new" / "thesis.txt").read_text() == "years of work"
