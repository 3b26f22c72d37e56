"""Where things are kept, and that no file is ever half-written."""

import os
from pathlib import Path

import pytest

from microllm.environment import (
    checkpoint_seconds,
    grace_seconds,
    home,
    home_is_temporary,
    max_disk_bytes,
    only_read,
    process_count,
    runs_dir,
    texts_dir,
)
from microllm.storage import write_atomically


def test_everything_is_kept_under_microllm_home(tmp_path):
    assert home() == tmp_path / "home"
    assert runs_dir() == tmp_path / "home" / "runs"
    assert texts_dir() == tmp_path / "home" / "texts"
    assert not home_is_temporary()


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_wish_the_home_is_in_the_working_folder(unset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MICROLLM_HOME") if unset is None else monkeypatch.setenv("MICROLLM_HOME", unset)
    assert home() == tmp_path / ".microllm"


def test_a_home_that_cannot_be_written_is_replaced_by_a_temporary_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MICROLLM_HOME", str(tmp_path / "file" / "home"))
    assert home_is_temporary()
    assert home().is_dir()
    assert home() == home()  # one for the whole process
    home().rmdir()


NUMBERS = {
    "MICROLLM_DISK": lambda: max_disk_bytes() / 1e6,
    "MICROLLM_GRACE": grace_seconds,
    "MICROLLM_CHECKPOINT": checkpoint_seconds,
    "WORLD_SIZE": process_count,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_makes_no_sense_leaves_the_default(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    default = NUMBERS[name]()
    monkeypatch.setenv(name, "3")
    assert NUMBERS[name]() == 3 != default > 0
    for unusable in ("", "nan", "-1", "-inf", "many"):
        monkeypatch.setenv(name, unusable)
        assert NUMBERS[name]() == default
    monkeypatch.setenv(name, "0")
    assert NUMBERS[name]() == (1 if name == "WORLD_SIZE" else 0)


def test_runs_may_be_kept_elsewhere_than_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(tmp_path / "elsewhere"))
    assert runs_dir() == tmp_path / "elsewhere"
    assert texts_dir() == tmp_path / "home" / "texts"


def test_a_relative_home_stays_where_it_was_when_the_working_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICROLLM_HOME", "mine")
    assert home() == tmp_path / "mine"
    monkeypatch.chdir("/")
    assert home() == tmp_path / "mine"
    assert not home_is_temporary()


def test_a_tilde_is_the_folder_of_the_person(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MICROLLM_HOME", "~/mine")
    assert (home(), texts_dir()) == (tmp_path / "mine", tmp_path / "mine" / "texts")
    monkeypatch.setenv("MICROLLM_RUNS_DIR", "~/my runs")
    assert runs_dir() == tmp_path / "my runs"


@pytest.mark.parametrize("parent", ["", "file"])
def test_who_only_reads_has_the_home_that_was_asked_for_and_makes_nothing(parent, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    wished = tmp_path / parent / "home"
    monkeypatch.setenv("MICROLLM_HOME", str(wished))
    with only_read():
        assert home() == wished
        assert not home_is_temporary()
    assert not wished.exists()
    assert home_is_temporary() == (parent == "file")  # a command that writes needs one that can be written
    assert home().is_dir()
    if home_is_temporary():
        home().rmdir()


@pytest.mark.parametrize("data", ["Élan\r\n", b"\0\xff"])
def test_a_file_is_written_as_given_and_its_folder_made(data, tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    replace, seen = os.replace, []

    def look_and_replace(source, target):
        seen.append((path.read_text(), Path(source).read_text()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_and_replace)
    write_atomically(path, "new")
    assert seen == [("old", "new")]
    assert path.read_text() == "new"


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(broken, tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    write_atomically(path, "old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert [(p.name, p.read_text()) for p in path.parent.iterdir()] == [("file", "old")]
