"""Published texts besides the book, and lists of names: chosen at one click, learned, and measured by their lines."""

import hashlib
import json
import re
import shutil
import socket
from dataclasses import replace

import pytest
from making import wait_until
from patience import patience
from play import TINY, click, complaints, go_to, keys, open_app, said

from microllm.data.builtin import BUILTIN_TEXTS, transform
from microllm.data.published import PUBLISHED_TEXTS
from microllm.data.store import load_text
from microllm.jobs.samples import PROMPT, prompt_for
from microllm.runs import export
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.state import link
from microllm.ui.state.view import SENTENCE

NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "amelia", "harper", "evelyn", "anna maria"]
LIST = "\n".join(NAMES * 60) + "\n"


@pytest.fixture(autouse=True)
def names(mirror, tmp_path, monkeypatch):
    """A mirror with the made book and a made list for `names`, but nothing for `shakespeare`."""
    folder = tmp_path / "mirror"
    shutil.copytree(mirror, folder)
    text = PUBLISHED_TEXTS["names"]
    (folder / text.file).write_text(LIST)
    sha256 = hashlib.sha256(LIST.encode()).hexdigest()
    monkeypatch.setitem(PUBLISHED_TEXTS, "names", replace(text, size=len(LIST), sha256=sha256))
    monkeypatch.setenv("MICROLLM_MIRROR", str(folder))
    return folder / text.file


def choose(at, text: str):
    """Choose a text, and wait until it is there or has been refused."""
    at.selectbox(key="text").set_value(text).run()
    if text in PUBLISHED_TEXTS:
        server.published(text).wait(patience())
        at.run()
    assert not at.exception
    return at


def train_page(*, max_steps: int = 60, **query: str):
    """The Train page with the settings of a tiny model."""
    return open_app("train", **{name: str(value) for name, value in (TINY | {"max_steps": max_steps}).items()}, **query)


def start(at) -> Run:
    """Train to the end; the page shows that run then."""
    click(at, "start")
    run = Run.open(at.query_params["run"])
    wait_until(lambda: run.read_info().state == "finished")
    at.run()
    return run


# ---- the choice


@pytest.mark.parametrize("key", PUBLISHED_TEXTS)
def test_each_published_text_is_offered_with_its_size_where_it_comes_from_and_its_license(key):
    at = open_app("train")
    text = PUBLISHED_TEXTS[key]
    (label,) = (option for option in at.selectbox(key="text").options if text.name in option)
    assert f"{text.size / 1e6:.1f} MB" in label
    choose(at, key)
    assert text.note in said(at)
    assert "public" in text.note.lower()


def test_a_published_text_is_downloaded_when_it_is_chosen_and_learned(names):
    at = choose(train_page(), "names")
    assert not complaints(at)
    text = start(at).read_info().text
    assert (text.name, text.source, text.is_own) == (PUBLISHED_TEXTS["names"].name, "names", False)
    assert load_text(text.sha256) == LIST
    names.unlink()  # it is kept here now
    server.published.clear("names")
    assert not complaints(choose(open_app("train"), "names"))


def test_a_text_that_cannot_be_downloaded_says_why_and_the_earlier_choice_stays_usable(names):
    names.write_text(LIST.replace("emma", "anna"))
    at = choose(choose(train_page(), "words-twice"), "names")
    assert PUBLISHED_TEXTS["names"].name in complaints(at) and "SHA-256" in complaints(at)
    assert BUILTIN_TEXTS["words-twice"].name in complaints(at)  # which Start uses meanwhile
    assert start(at).read_info().text.source == "words-twice"
    names.write_text(LIST)
    click(at, "download-again")
    server.published("names").wait(patience())
    assert not complaints(at.run())
    assert start(at).read_info().text.source == "names"
    assert PUBLISHED_TEXTS["shakespeare"].name in complaints(choose(at, "shakespeare"))
    assert not complaints(choose(at, "book"))


def test_a_download_never_blocks_the_page_and_its_cancellation_leaves_the_other_texts_alone(monkeypatch):
    at = open_app("train")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("MICROLLM_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        at.selectbox(key="text").set_value("shakespeare").run()
        assert "download-cancel" in keys(at)
        assert at.button(key="start").disabled
        go_to(at, "generate")
        click(at, "bar-start")
        assert PUBLISHED_TEXTS["shakespeare"].name in complaints(at)  # it is still downloading
        assert not all_runs()
        go_to(at, "train")
        click(at, "download-cancel")
    assert "download-again" in keys(at)
    assert not at.button(key="start").disabled
    assert server.published("book").result


@pytest.mark.parametrize(("how", "first"), [("reversed", None), ("words", 2_000), ("letters", 2_000)])
def test_a_published_text_can_be_modified_and_its_command_and_its_link_repeat_that(how, first):
    given = {"text": "names", "transform": how} | ({"first": str(first)} if first else {})
    server.published("names").wait(patience())
    at = train_page(**given)
    assert at.selectbox(key="text").value == "names"
    run = start(at)
    text = run.read_info().text
    assert load_text(text.sha256) == transform(LIST, how, first)
    assert f"--text names --transform {how}" in export.command_line(run)
    assert link.written(link.read(given)) == given


# ---- lists of lines


def numbers(sentence: str) -> tuple[int, int, int]:
    """(new lines, all lines, those in the list) of a page."""
    found = re.search(r"\*\*(\d+)\*\* of (\d+) lines are new, (\d+) ", sentence)
    return tuple(map(int, found.groups()))


def counted(written: str) -> tuple[int, int, int]:
    lines = {line for line in written.split("\n")[:-1] if line}
    return len(lines - set(NAMES)), len(lines), len(lines & set(NAMES))


def paste(at):
    choose(at, "own").text_area(key="pasted").set_value(LIST).run()
    return at


@pytest.mark.parametrize("take", [lambda at: choose(at, "names"), paste], ids=["names", "a list of one's own"])
def test_beside_a_sample_of_a_list_stands_how_many_of_its_lines_are_new(take):
    run = start(take(train_page(max_steps=200)))
    sample = server.samples().at(run, 200, wait=patience())
    assert numbers(said(open_app("train", run=run.id))) == counted(sample.text.removeprefix(prompt_for(run)))


def test_what_is_generated_from_a_list_begins_with_whole_lines_of_it_and_is_measured_by_its_lines():
    run = start(choose(train_page(max_steps=200), "names"))
    at = open_app("generate", run=run.id)
    prompt = at.text_area(key="prompt").value
    assert prompt != PROMPT and set(prompt.splitlines()) <= set(NAMES)
    click(at, "generate")
    wait_until(lambda: at.run() and at.button(key="stop-writing").disabled)
    (letters,) = (one for one in at.get("bidi_component") if one.proto.component_name == "microllm.letters")
    shown = numbers(said(at))
    assert shown == counted(json.loads(letters.proto.json)["samples"][0]["text"])
    at.session_state["view"], at.session_state["reading-source"] = "Read", "sample"
    assert numbers(said(at.run())) == shown
    go_to(at, "attention")
    sentence = at.text_area(key="sentence").value
    assert sentence != SENTENCE and set(sentence.splitlines()) <= set(NAMES)
