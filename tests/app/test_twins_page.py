"""Change the book, see the effect: a twin of the displayed run is trained by one click and compared with it."""

import json

import pytest
from making import wait_until
from patience import patience
from play import click, complaints, keys, open_app, said, trained_run

from microllm.data.builtin import drawing_room
from microllm.data.edits import chapters
from microllm.data.store import load_text
from microllm.runs import catalog
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.state import twins

TEXT = drawing_room(6_000)


@pytest.fixture
def original() -> Run:
    return trained_run(TEXT, max_steps=20)


def open_twins(run: Run):
    return open_app("learn", run=run.id).button_group(key="learn-watch").set_value("twins").run()


def field(at, name: str):
    (found,) = (one for one in (*at.text_input, *at.number_input) if (one.key or "").startswith(f"twin-{name}-"))
    return found


def trained(at, button: str = "twin-start") -> Run:
    """Press a button; the run that this starts, when it has ended."""
    before = {run.id for run in all_runs()}
    click(at, button)
    assert at.session_state["session"].problem is None
    (new,) = (run for run in all_runs() if run.id not in before)
    wait_until(lambda: new.read_info().state == "finished" and not server.runner().job(new.id))
    return new


def compared(at, original: Run, twin: Run, other: Run | None = None):
    """The page when the comparison is there."""
    twins.comparison(original, twin, other).wait(patience())
    return at.run()


def shown(at) -> dict:
    (proto,) = (one.proto for one in at.get("bidi_component") if one.proto.component_name == "microllm.effect")
    return json.loads(proto.json)


def test_a_twin_is_trained_by_one_click_and_what_is_different_in_it_is_shown(original):
    at = open_twins(original)
    assert "twin-start" in keys(at)
    twin = trained(at)
    assert twin.read_info().edit.kind == "rename"
    at = compared(at, original, twin)
    found = twins.comparison(original, twin, None).result
    assert f"{found.put_in.original:.3f} | {found.put_in.twin:.3f}" in said(at)
    assert f"{found.taken_out.original:.3f} | {found.taken_out.twin:.3f}" in said(at)
    sent = shown(at)
    assert "".join(sent["passage"]["text"]).replace("␠", " ").replace("⏎", "\n") == found.before.text
    assert sent["samples"]["ends"][0][0] != sent["samples"]["ends"][1][0]

    other = trained(at, "twin-other")
    assert other.read_info().text == original.read_info().text
    at = compared(at, original, twin, other)
    found = twins.comparison(original, twin, other).result
    assert f"{abs(found.put_in.noise):.3f}" in said(at)


@pytest.mark.parametrize("kind", ["leave-out", "repeat", "plant"])
def test_each_kind_of_edit_can_be_made_as_it_is_offered(original, kind):
    at = open_twins(original)
    at.button_group(key="twin-kind").set_value(kind).run()
    if kind != "leave-out":
        field(at, "times").set_value(3).run()
    twin = trained(at)
    assert twin.read_info().edit.kind == kind
    if kind == "plant":
        assert load_text(twin.read_info().text.sha256).count(twin.read_info().edit.words[0]) == 3
    assert not compared(at, original, twin).exception
    assert shown(at)["passage"]


def test_a_twin_that_is_there_is_not_trained_again(original):
    at = open_twins(original)
    older = trained(at)
    at.run()
    assert "twin-start" not in keys(at) and "twin-other" in keys(at)
    at.button_group(key="twin-kind").set_value("leave-out").run()
    assert "twin-start" in keys(at)
    newer = trained(at)
    at = compared(at, original, newer)
    at.button_group(key="twin-kind").set_value("rename").run()
    click(at, "twin-compare")  # the older one, which is in the form
    assert at.session_state["twin-shown"] == older.id and "twin-compare" not in keys(at)
    trained(at, "twin-other")
    assert "twin-other" not in keys(at.run())


def test_a_left_out_chapter_is_named_by_its_heading(original):
    at = open_twins(original)
    at.button_group(key="twin-kind").set_value("leave-out").run()
    twin = trained(at)
    heading = chapters(TEXT)[0].heading
    assert heading in twin.read_info().text.name
    assert heading in said(compared(at, original, twin))


def test_the_twins_of_the_displayed_run_are_one_click_away_from_train(original):
    at = click(open_app("train", run=original.id), "twins-link")
    assert at.query_params["run"] == original.id and "twin-start" in keys(at)


def test_a_run_that_ships_is_trained_here_by_one_click_for_an_exact_comparison():
    shipped = Run.open("words-twice").read_info()
    at = open_twins(Run.open("words-twice"))
    click(at, "twin-original")
    (own,) = all_runs()
    info = own.read_info()
    assert (info.model, info.train, info.text.sha256) == (shipped.model, shipped.train, shipped.text.sha256)
    assert at.query_params["run"] == own.id
    assert "twin-start" in keys(at) and "twin-original" not in keys(at)


def test_an_edit_that_is_not_possible_is_refused_before_the_click(original):
    at = open_twins(original)
    field(at, "new").set_value("日本").run()
    assert "twin-start" not in keys(at)
    assert "日" in said(at) or "2" in said(at)
    assert "twin-other" in keys(at)


def test_a_run_that_cannot_have_a_twin_says_why(original):
    (original.folder / "events.jsonl").write_text(json.dumps({"step": 3, "learning_rate": 0.004}) + "\n")
    at = open_twins(original)
    assert original.read_info().name in said(at)
    assert "twin-start" not in keys(at)


def test_a_twin_whose_original_was_deleted_says_so(original):
    at = open_twins(original)
    trained(at)
    catalog.delete(original)
    at.run()
    assert not at.exception and not complaints(at)
    assert "twin-start" not in keys(at)
