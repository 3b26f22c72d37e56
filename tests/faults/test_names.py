"""Names are only labels: folders and files are never named after what a person typed."""

import pytest
from making import new_run

from microllm.data import texts
from microllm.data.builtin import words_twice
from microllm.environment import runs_dir, texts_dir
from microllm.runs.catalog import all_runs
from microllm.runs.export import command_line, file_name
from microllm.runs.info import RunProblem
from microllm.runs.run import Run
from microllm.ui.words import literal

STRANGE = ["../../etc", "C:\\x", "CON", "a\0b", "n" * 10_000, "👩‍👩‍👧", "", " ", "-rf", "<b>&", "\ud800"]


@pytest.fixture
def run():
    return new_run()


# ---- 31. ../../etc, C:\\x, CON, NUL, ten kilobytes, emoji


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a_text_may_be_called_anything_and_is_kept_under_its_sha_256(name):
    run = new_run(text_name=name)
    assert Run.open(run.id).read_info().text.name == name.replace(
        "\ud800", "?"
    )  # half of a pair of characters is no text
    assert [path.name for path in texts_dir().glob("*.txt")] == [f"{run.read_info().text.sha256}.txt"]
    assert [path.name for path in runs_dir().iterdir()] == [run.id]
    assert "train --preset quick" in command_line(run)


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_whatever_it_is_called_can_be_sent_to_a_browser(name):
    for shown in (literal(name), new_run(text_name=name).read_info().text.name):
        assert shown.encode().decode() == shown


@pytest.mark.parametrize("name", [name for name in STRANGE if name != "\ud800"], ids=ascii)
def test_a_run_may_be_called_anything_and_its_folder_has_the_generated_id(name, run):
    with run.writing():
        run.update(name=name)
    assert [(one.id, one.read_info().name) for one in all_runs()] == [(run.id, name)]
    taken = file_name(run, "csv")
    assert taken.isascii() and taken.endswith(".csv") and len(taken) < 80
    assert not set(taken.removesuffix(".csv")) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


# ---- 48. what could not be read is not written


def test_a_run_is_not_called_what_is_no_unicode_and_keeps_its_name(run):
    before = run.read_info()
    with run.writing(), pytest.raises(RunProblem):
        run.update(name="\ud800")
    assert Run.open(run.id).read_info().name == before.name


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_whatever_its_text_is_called_a_run_can_be_read_and_named_in_a_command(name):
    notice = f"{name} was read as Western European."
    text = texts.prepare(words_twice(1_000), name, notice=notice)
    run = new_run(text)
    assert command_line(Run.open(run.id)).encode().startswith(b"python -m microllm train")
    assert "Western European" in run.read_info().text.notice.encode().decode()


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        ".",
        "..",
        "../../etc",
        "/etc/passwd",
        "0" * 16,
        "0" * 15,
        "0" * 17,
        "ABCDEF0123456789",
        "0" * 16 + "\n",
        "?" * 999,
    ],
)
def test_an_id_that_is_none_is_refused_in_a_short_sentence(run_id, run):
    with pytest.raises(RunProblem, match="There is no run") as refused:
        Run.open(run_id)
    assert len(str(refused.value)) < 120


def test_an_id_cannot_lead_out_of_the_folder_of_runs(run, tmp_path):
    run.folder.rename(tmp_path / "home" / ("a" * 16))
    with pytest.raises(RunProblem, match="There is no run"):
        Run.open("../" + "a" * 16)


def test_a_folder_whose_name_is_no_id_is_no_run(run):
    renamed = run.folder.rename(run.folder.with_name(f"{run.id}-copy"))
    with pytest.raises(RunProblem, match="There is no run"):
        Run.open(renamed.name)
