"""Nobody can read another person's text: which runs are listed for whom, and what must not reveal a run or a text."""

import io
import json
import zipfile

import pytest
import streamlit as st
from making import wait_until
from play import KEY, click, complaints, keys, open_app, said

from microllm.config import configs_from
from microllm.data import texts
from microllm.data.edits import Edit
from microllm.runs import archive, catalog
from microllm.runs.fork import fork
from microllm.runs.importing import import_run
from microllm.runs.info import RunInfo
from microllm.runs.run import Run
from microllm.runs.twin import twin
from microllm.ui import server

SECRET = "Nobody else may read what I wrote here about the neighbours. " * 40


def trained(run: Run) -> Run:
    server.runner().start(run).join(60)
    assert run.read_info().state == "finished", run.read_info().message
    return run


def run_on(text: texts.Text) -> Run:
    """A finished run of a tiny model. KEY is its owner key."""
    model, train = configs_from({"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 1, "max_steps": 20})
    return trained(catalog.create(model, train, text, preset="quick", threads=1, owner_key=KEY))


def own(**how) -> texts.Text:
    return texts.prepare(SECRET, "diary.txt", **how)


def public() -> texts.Text:
    return texts.choose("words-twice", first=2_000)


def listed(**opened) -> set[str]:
    """The ids of the runs that the menu of a window names that is opened like this."""
    at = open_app("train", **opened)
    at.session_state["runs-menu"] = True
    at.run()
    assert not at.exception
    return {key.removeprefix("open-") for key in keys(at) if key.startswith("open-")}


def everything(at) -> str:
    """Everything that the page sends to the browser, as text."""
    return "\n".join(str(element.proto) for element in at.main) + said(at) + str(sorted(keys(at)))


# ---- the menu of runs


@pytest.mark.parametrize("how", [{}, {"how": "letters"}, {"first": 500}], ids=["whole", "shuffled", "cut"])
def test_a_run_on_ones_own_text_is_listed_only_in_windows_that_hold_its_key(how):
    run = run_on(own(**how))
    assert run.id in listed(run=run.id, key=KEY)
    assert run.id in listed(stored={run.id: KEY})
    assert run.id not in listed(stored={run.id: "guessed"})
    assert run.id not in listed()
    assert run.id not in listed(run=run.id)  # with the link one can open it, but no list names it
    assert run.id not in listed(run=run.id, key="guessed")


def test_a_run_on_a_text_that_everybody_has_is_listed_for_all():
    assert run_on(public()).id in listed()


def test_on_ones_own_machine_all_runs_are_listed(monkeypatch):
    run = run_on(own())
    monkeypatch.setenv("MICROLLM_LIST", "all")
    assert run.id in listed()


def test_the_command_line_lists_all_runs(capsys):
    from microllm.__main__ import main

    run = run_on(own())
    assert main(["runs"]) == 0
    assert run.id in capsys.readouterr().out


@pytest.mark.parametrize("source", [None, "./diary.txt", "Book", "book ", "", "/etc/passwd"])
def test_a_text_of_which_nobody_can_say_that_all_have_it_is_somebodys_own(source):
    run = run_on(public())
    path = run.folder / "run.json"
    data = json.loads(path.read_text())
    data["text"]["source"] = source
    path.write_text(json.dumps(data))
    assert Run.open(run.id).read_info().is_private
    assert run.id not in listed()


def test_who_has_the_link_sees_the_run_and_its_text():
    at = open_app("generate", run=run_on(own()).id)
    at.session_state["view"] = "Read"
    at.run()
    assert "diary.txt" in said(at)


def test_a_damaged_run_is_counted_and_named_for_nobody_who_does_not_own_it():
    run, other = run_on(own()), run_on(public())
    at = open_app("train", run=run.id, key=KEY)
    for damaged in (run, other):
        (damaged.folder / "run.json").write_text("{")
    at.session_state["runs-menu"] = True
    at.run()
    assert run.id in said(at) and other.id not in said(at)
    stranger = open_app("train")
    stranger.session_state["runs-menu"] = True
    stranger.run()
    assert run.id not in said(stranger) and other.id not in said(stranger)
    assert ": 2." in said(stranger)


# ---- a fork


def forks(parent: Run) -> dict[str, Run]:
    """Forks of a run: on the same text, on another, and that one's fork on a third."""
    second = fork(parent, 8, public(), KEY)
    return {
        "same text": trained(fork(parent, 8, None, KEY)),
        "another text": trained(second),
        "a third text": trained(fork(second, 0, texts.choose("words-twice", first=3_000), KEY)),
    }


def test_a_fork_of_a_private_run_is_private_whatever_it_learns_then():
    parent = run_on(own())
    children = forks(parent)
    catalog.delete(parent)
    for child in children.values():
        assert child.read_info().is_private
        assert RunInfo.from_json(json.loads((child.folder / "run.json").read_text())) == child.read_info()
    assert not listed() & {child.id for child in children.values()}


def test_the_link_of_a_fork_does_not_give_away_the_run_that_it_was_forked_from():
    parent = run_on(own())
    children = forks(parent)
    for child in (children["same text"], children["another text"]):
        stranger = open_app("train", run=child.id)
        click(stranger, "take-away-button")
        assert "parent" not in keys(stranger)
        assert parent.id not in everything(stranger)
        owner = open_app("train", run=child.id, key=KEY, also=f"{parent.id}.{KEY}")
        click(owner, "take-away-button")
        assert "parent" in keys(owner)
        assert parent.id in everything(owner)


def test_a_packed_fork_holds_no_way_to_the_run_that_it_was_forked_from_nor_to_its_text():
    parent = run_on(own())
    for name, child in forks(parent).items():
        packed = archive.folder_zip(child, names_parent=False)
        with zipfile.ZipFile(io.BytesIO(packed)) as opened:
            content = b"".join(opened.read(one) for one in opened.namelist() if not one.endswith("safetensors"))
        assert child.read_info().parent.id.encode() not in content
        if name != "same text":
            assert parent.read_info().text.sha256.encode() not in content
        if not child.read_info().text.is_own:
            assert parent.read_info().text.name.encode() not in content
        again = import_run(packed)
        assert again.read_info().is_private and again.read_info().parent.step == child.read_info().parent.step
        assert not open_app("train", run=again.id).exception


def test_who_may_not_know_the_parent_gets_a_zip_that_does_not_name_it(monkeypatch):
    asked = []
    monkeypatch.setattr(archive, "folder_zip", lambda run, names_parent: asked.append(names_parent) or b"zip")
    child = trained(fork(run_on(own()), 8, None, KEY))
    for link in ({}, {"also": f"{child.read_info().parent.id}.{KEY}"}):
        told = len(asked)
        click(open_app("train", run=child.id, **link), "take-away-button")
        wait_until(lambda told=told: len(asked) > told)  # it is packed in the background
        st.cache_resource.clear()  # all windows of these tests are one to Streamlit
    assert asked == [False, True]


def test_a_fork_of_a_public_run_names_its_parent_to_all():
    parent = run_on(public())
    child = trained(fork(parent, 8, None, KEY))
    assert not child.read_info().is_private
    assert {parent.id, child.id} <= listed()
    assert "parent" in keys(open_app("train", run=child.id))


# ---- a twin


def test_a_twin_of_a_private_run_does_not_give_away_the_run_that_it_repeats(monkeypatch):
    original, asked, pack = run_on(own()), [], archive.folder_zip
    made = trained(twin(original, Edit("plant", ("may else",), 3), KEY))
    monkeypatch.setattr(archive, "folder_zip", lambda run, names_parent: asked.append(names_parent) or b"zip")
    for link in ({}, {"also": f"{original.id}.{KEY}"}):
        told = len(asked)
        click(open_app("train", run=made.id, **link), "take-away-button")
        wait_until(lambda told=told: len(asked) > told)
        st.cache_resource.clear()  # all windows of these tests are one to Streamlit
    assert asked == [False, True]
    with zipfile.ZipFile(io.BytesIO(pack(made, names_parent=False))) as opened:
        content = opened.read(f"{made.id}/run.json").decode()
    assert original.id not in content
    assert original.read_info().text.sha256 not in content


def test_what_a_person_planted_in_a_public_text_is_listed_for_nobody_else():
    original = run_on(public())
    made = trained(twin(original, Edit("plant", ("the cat",), 3), KEY))
    assert made.read_info().is_private and not original.read_info().is_private
    assert made.id not in listed()
    assert not trained(twin(original, None, KEY)).read_info().is_private


# ---- the texts


def test_one_windows_own_text_is_not_anothers():
    at = open_app("train")
    at.selectbox(key="text").set_value("own").run()
    at.text_area(key="pasted").set_value(SECRET).run()
    other = open_app("train", text="own")  # not a text that a link can name
    other.selectbox(key="text").set_value("own").run()
    assert other.button(key="start").disabled
    assert SECRET[:30] not in everything(other)
    click(other, "bar-start")
    assert other.session_state["session"].problem is None and "run_id" not in other.query_params
    assert "Nobody else" not in complaints(other)


@pytest.mark.parametrize("named", ["own", "./diary.txt", "{path}", "{sha256}"])
def test_a_link_names_no_text_but_those_that_all_have(named):
    text = own()
    path = texts.texts_dir() / f"{text.sha256}.txt"
    at = open_app("train", text=named.format(path=path, sha256=text.sha256))
    assert at.selectbox(key="text").value == "book"


def test_the_page_says_at_the_upload_who_can_see_the_text(monkeypatch):
    def caption() -> str:
        at = open_app("train")
        before = set(said(at).splitlines())
        at.selectbox(key="text").set_value("own").run()
        return "\n".join(line for line in said(at).splitlines() if line not in before)

    usual = caption()
    monkeypatch.setenv("MICROLLM_LIST", "all")
    assert "link" in usual and caption() != usual


def test_share_says_that_the_link_opens_ones_own_text():
    def sentence(run: Run) -> str:
        at = open_app("train", run=run.id, key=KEY, text="book")
        at.session_state["share"] = True
        at.run()
        return said(at)

    assert "own text" in sentence(run_on(own()))
    assert "own text" not in sentence(run_on(public()))
