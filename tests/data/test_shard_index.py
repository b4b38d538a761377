"""The index of our own shards: incomplete ones are refused, and so are missing, altered and strange ones; resuming and
overwriting touch nothing that was not written here.
"""

import errno
import fcntl
import json
import os
import shutil

import pytest
import torch
from storages import encoded, write_tar, write_tars, write_tree

from aninfonce.cli import run
from aninfonce.data import load_images, read_batches, shard_content, write_shards
from aninfonce.data.reading import ImageReadError

SHARD = "train/aninfonce-000001-of-000004.tar"


def tree(root):
    """Everything below a folder: name -> content, or what it is."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else "link" if path.is_symlink() else "folder"
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def name(tmp_path):
    write_tree(tmp_path / "data", range(20))
    return f"files:{tmp_path / 'data'}"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def write(name, out, per_shard=4, **options):
    return list(write_shards(load_images(name), out, per_shard=per_shard, **options))


def broken_off(name, out, after, **options):
    """As after a kill: the index says incomplete, and some shards are there."""
    writer = write_shards(load_images(name), out, per_shard=4, **options)
    for _ in range(after):
        next(writer)
    writer.close()


def test_equal_arguments_make_equal_bytes(name, out, tmp_path):
    write(name, out)
    for path in (tmp_path / "data").rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    write(name, tmp_path / "again")
    assert tree(out) == tree(tmp_path / "again")
    index = json.loads((out / "shards.json").read_text())
    assert index["complete"] is True
    assert index["source"] == name
    assert sum(entry["images"] for entry in index["shards"].values()) == 20
    assert sorted(tree(out)) == sorted(["classes.txt", "shards.json", "test", "train", *index["shards"]])


@pytest.mark.parametrize("after", [1, 2, 4, 5])
def test_incomplete_shards_are_refused_and_resumed_to_the_same_bytes(name, out, tmp_path, after):
    write(name, tmp_path / "whole")
    broken_off(name, out, after)
    with pytest.raises(ValueError, match=r"incomplete: aninfonce shards was interrupted; continue with .* --resume"):
        load_images(f"shards:{out}")
    with pytest.raises(ValueError, match=r"incomplete|number \d is missing"):
        load_images(f"shards:{out / 'train'}")
    with pytest.raises(ValueError, match="pass --resume, since they are not complete, or --overwrite"):
        write(name, out)
    before = (out / "train" / "aninfonce-000000-of-000004.tar").stat().st_mtime_ns
    write(name, out, resume=True)
    assert tree(out) == tree(tmp_path / "whole")
    assert (out / "train" / "aninfonce-000000-of-000004.tar").stat().st_mtime_ns == before, (
        "what is done is not done again"
    )


def test_the_command_resumes_and_overwrites(name, out, tmp_path, capsys):
    command = ["shards", name, str(out), "--per-shard", "4"]
    assert run(["shards", name, str(tmp_path / "whole"), "--per-shard", "4"]) == 0
    broken_off(name, out, 2)
    assert run(command) == 2
    assert "--resume, since they are not complete" in capsys.readouterr().err
    assert run([*command, "--resume", "--overwrite"]) == 2
    assert run([*command, "--resume"]) == 0
    assert tree(out) == tree(tmp_path / "whole")
    assert run([*command, "--resume"]) == 0, "nothing is left to do"
    assert run(command) == 2
    assert run([*command, "--overwrite"]) == 0
    assert tree(out) == tree(tmp_path / "whole")


def test_what_is_resumed_has_the_same_images_and_settings(name, out, tmp_path):
    broken_off(name, out, 2)
    before = tree(out)
    with pytest.raises(ValueError, match="begun with per_shard 4, now 5"):
        write(name, out, per_shard=5, resume=True)
    with pytest.raises(ValueError, match="begun with seed 0, now 1"):
        write(name, out, seed=1, resume=True)
    (tmp_path / "data" / "cat" / "000.png").rename(tmp_path / "data" / "cat" / "001.png")
    with pytest.raises(ValueError, match="begun with images "):
        write(name, out, resume=True)
    assert tree(out) == before


def test_resuming_mends_shards_that_were_damaged_or_lost(name, out):
    write(name, out)
    whole = tree(out)
    for harm in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:700]), flip):
        harm(out / SHARD)
        write(name, out, resume=True)
        assert tree(out) == whole


def flip(path):
    """One bit in the middle of an image."""
    content = bytearray(path.read_bytes())
    content[512 + 60] ^= 1
    path.write_bytes(content)


def test_skipped_images_are_in_the_index_also_of_a_resumed_set(name, out, tmp_path):
    for number in ("000", "003", "006"):
        (tmp_path / "data" / "cat" / f"{number}.png").write_bytes(b"broken")
    write(name, tmp_path / "whole")
    broken_off(name, out, 3)
    write(name, out, resume=True)
    assert tree(out) == tree(tmp_path / "whole")
    skipped = json.loads((out / "shards.json").read_text())["skipped"]
    assert [entry["file"][-7:] for entry in skipped] == ["000.png", "003.png", "006.png"]
    assert all("not an image" in entry["reason"] for entry in skipped)


# --- what is checked before training --------------------------------------------------------------------------------


def test_missing_renamed_altered_and_strange_shards_are_errors(name, out):
    def check(match, harm):
        shutil.rmtree(out, ignore_errors=True)
        write(name, out)
        harm(out / SHARD)
        with pytest.raises(ValueError, match=match):
            load_images(f"shards:{out}")

    check(r"1 of the 5 shards in .* are missing, .*000001-of-000004", lambda path: path.unlink())
    check("are missing", lambda path: path.rename(path.with_name("other.tar")))
    check("not among the shards", lambda path: write_tar(path.with_name("other.tar"), {"0.png": encoded(0)}))
    check("was altered: it has", lambda path: path.write_bytes(path.read_bytes()[:-512]))
    check("holds other images or labels", lambda path: exchange(path, path.with_name(path.name.replace("01", "00", 1))))
    check("holds other images or labels", relabelled)
    check("classes.txt is missing or was altered", lambda path: (out / "classes.txt").write_text("a\nb\nc\n"))
    check("are missing", lambda path: shutil.rmtree(out / "test"))
    check("shards.json is damaged", lambda path: cripple(out / "shards.json"))


def exchange(a, b):
    first, second = a.read_bytes(), b.read_bytes()
    size = max(len(first), len(second))
    a.write_bytes(second)
    b.write_bytes(first)
    assert len(first) == len(second) == size


def relabelled(path):
    content = path.read_bytes()
    place = next(i for i in range(0, len(content), 512) if content[i : i + 20].rstrip(b"\0").endswith(b".cls")) + 512
    path.write_bytes(content[:place] + (b"0" if content[place : place + 1] != b"0" else b"1") + content[place + 1 :])


def cripple(path):
    content = json.loads(path.read_text())
    del content["classes"]
    path.write_text(json.dumps(content))


def test_an_image_that_was_altered_is_an_error_and_not_a_corrupt_image(name, out):
    write(name, out)
    flip(out / SHARD)
    images = load_images(f"shards:{out}", image_size=8).train.images
    for images.workers in (0, 1):
        with pytest.raises(OSError, match=r"aninfonce-000001-of-000004\.tar/.* was altered since"):
            list(read_batches(images, [torch.arange(len(images))], torch.device("cpu")))


def test_a_copy_without_the_index_must_be_whole(name, out, tmp_path):
    write(name, out)
    shutil.copytree(out / "train", tmp_path / "copy")
    assert len(load_images(f"shards:{tmp_path / 'copy'}", image_size=8).train.images) > 0
    (tmp_path / "copy" / "aninfonce-000002-of-000004.tar").unlink()
    with pytest.raises(ValueError, match="has 3 of 4 shards, number 2 is missing"):
        load_images(f"shards:{tmp_path / 'copy'}")


def test_shards_of_others_need_no_index_whatever_their_folder_holds(tmp_path):
    write_tars(tmp_path, range(9), 3)
    for content in ("{}", "[1]", "no JSON", json.dumps({"format": "wids", "complete": False})):
        (tmp_path / "shards.json").write_text(content)
        assert len(load_images(f"shards:{tmp_path}", image_size=8).train.images) > 0


# --- nothing of others is touched -----------------------------------------------------------------------------------


def test_overwriting_removes_the_shards_of_its_index_and_nothing_else(name, out):
    write(name, out, per_shard=3)
    strangers = ["thesis.tex", "src/main.c", "train/notes.txt", "train/mine.tar", "train/deep/x.tar", "test/.keep"]
    for stranger in strangers:
        (out / stranger).parent.mkdir(exist_ok=True)
        (out / stranger).write_bytes(b"mine")
    write(name, out, per_shard=8, overwrite=True)
    found = tree(out)
    assert all(found[stranger] == b"mine" for stranger in strangers)
    assert sorted(path for path in found if "aninfonce" in path) == [
        "test/aninfonce-000000-of-000001.tar",
        "train/aninfonce-000000-of-000002.tar",
        "train/aninfonce-000001-of-000002.tar",
    ]


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_folders_of_others_are_refused_and_left_as_they_are(name, out, tmp_path, flags):
    elsewhere = tmp_path / "elsewhere"
    write_tar(elsewhere / "0.tar", {"0.png": encoded(0)})

    def attempt(match, make):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        make()
        before, beside = tree(out), tree(elsewhere)
        with pytest.raises(ValueError, match=match):
            write(name, out, **flags)
        assert tree(out) == before
        assert tree(elsewhere) == beside

    attempt("not written here", lambda: write_tars(out / "train", range(4), 2))
    attempt("not written here", lambda: (out / "test").mkdir() or (out / "test" / "a.txt").write_text("mine"))
    attempt("shards.json was not written here", lambda: (out / "shards.json").write_text('{"my": "project"}'))
    attempt("shards.json was not written here", lambda: (out / "shards.json").symlink_to(elsewhere / "0.tar"))
    attempt("classes.txt was not written here", lambda: (out / "classes.txt").write_text("mine"))
    attempt("is a link, or no folder", lambda: (out / "train").symlink_to(elsewhere))
    attempt("is a link, or no folder", lambda: (out / "test").write_text("mine"))


@pytest.mark.parametrize("finished", [True, False])
def test_overwriting_never_follows_links_and_never_removes_what_was_changed(name, out, tmp_path, finished):
    precious = tmp_path / "precious.tar"

    def attempt(match, harm):
        shutil.rmtree(out, ignore_errors=True)
        if finished:
            write(name, out)
        else:
            broken_off(name, out, 3)
        precious.write_bytes(b"precious")
        harm()
        before = tree(out)
        with pytest.raises(ValueError, match=match):
            write(name, out, per_shard=7, overwrite=True)
        assert tree(out) == before
        assert precious.read_bytes() == b"precious"

    def link():
        (out / SHARD).unlink()
        (out / SHARD).symlink_to(precious)

    def linked_folder():
        shutil.move(out / "train", tmp_path / f"moved-{finished}")
        (out / "train").symlink_to(tmp_path / f"moved-{finished}")

    attempt("not the file that was written here", link)
    attempt("is a link, or no folder", linked_folder)
    if finished:
        attempt("not the file that was written here", lambda: (out / SHARD).write_bytes(b"mine"))
        attempt(r"classes\.txt was changed", lambda: (out / "classes.txt").write_text("mine"))


def test_resuming_replaces_no_links_and_no_names_that_were_changed(name, out, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    broken_off(name, out, 2)
    (out / SHARD).unlink()
    for path in (out / SHARD, out / "classes.txt"):
        path.symlink_to(precious)
        with pytest.raises(ValueError, match="is a link, or no file"):
            write(name, out, resume=True)
        assert path.is_symlink()
        path.unlink()
    (out / "classes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"classes\.txt was changed"):
        write(name, out, resume=True)
    assert (out / "classes.txt").read_text() == "mine"
    assert precious.read_bytes() == b"precious"


def test_an_index_that_names_other_files_removes_none(name, out, tmp_path):
    write(name, out)
    (tmp_path / "precious.tar").write_bytes(b"precious")
    index = json.loads((out / "shards.json").read_text())
    for path in ("../precious.tar", str(tmp_path / "precious.tar"), "train/../../precious.tar", "train/mine.tar"):
        for place in ("shards", "remove"):
            changed = json.loads(json.dumps(index))
            if place == "shards":
                changed["shards"][path] = index["shards"][SHARD]
            else:
                changed["remove"] = [path]
            (out / "shards.json").write_text(json.dumps(changed))
            for flags in ({"overwrite": True}, {"resume": True}):
                with pytest.raises(ValueError, match="strange shards"):
                    write(name, out, **flags)
    assert (tmp_path / "precious.tar").read_bytes() == b"precious"


def test_links_in_the_place_of_half_written_files_are_not_written_through(name, out, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    broken_off(name, out, 1)
    for path in (out / "shards.json", out / "classes.txt", out / SHARD):
        path.with_name(f".{path.name}.aninfonce-partial").symlink_to(precious)
    write(name, out, resume=True)
    assert precious.read_bytes() == b"precious"
    assert not list(out.rglob(".*"))


def test_the_images_themselves_are_never_in_the_way(name, out, tmp_path):
    write(name, out)
    for source, target in ((f"shards:{out}", out), (f"shards:{out / 'train'}", out), (name, tmp_path / "data")):
        before = tree(tmp_path)
        with pytest.raises(ValueError, match=r"holds the images of .* themselves"):
            write(source, target, overwrite=True)
        assert tree(tmp_path) == before
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(ValueError, match="is a link; name the folder itself"):
        write(name, tmp_path / "link", overwrite=True)


def test_a_bad_setting_is_refused_before_anything_is_removed(name, out, capsys):
    write(name, out)
    before = tree(out)
    for wrong in (["--per-shard", "0"], ["--max-corrupt", "2"]):
        assert run(["shards", name, str(out), "--overwrite", *wrong]) == 2
    assert run(["shards", "files:/nowhere", str(out), "--overwrite"]) == 2
    assert tree(out) == before


def test_two_processes_do_not_write_at_the_same_time(name, out):
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match="another process is writing to"):
        write(name, out)
    os.close(handle)
    write(name, out)


def test_an_error_of_the_disk_is_no_corrupt_image_and_the_shards_go_on_after_it(name, out, tmp_path, monkeypatch):
    write(name, tmp_path / "whole")

    def failing(path):
        if path.name == "007.png":
            raise ImageReadError(errno.EIO, str(path))
        return path.read_bytes()

    with monkeypatch.context() as broken:
        broken.setattr(shard_content, "read_file", failing)
        with pytest.raises(OSError, match="Input/output error"):
            write(name, out)
    write(name, out, resume=True)
    assert tree(out) == tree(tmp_path / "whole")
