"""Whatever people write, and however they name things, the browser never treats it as markup.

The tests read every message to the browser as it is sent, so they also see parts of a page that arrive later.
"""

import json
import re
from dataclasses import replace

import pytest
from google.protobuf.descriptor import FieldDescriptor
from making import wait_until
from play import KEY, click, complaints, go_to, open_app, said, trained_run
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from microllm.data.decode import TextProblem
from microllm.data.store import forget_text
from microllm.jobs.training import TrainingJob
from microllm.runs.info import Parent, RunProblem
from microllm.runs.run import Run
from microllm.runs.weights import WeightsProblem
from microllm.ui import server

pytestmark = pytest.mark.timeout(30)  # they draw every page, some often

# ---- 27. markup in names, texts, messages and links, without a browser


PIECES = (
    "![x](http://evil/x.png)",
    "[x](http://evil)",
    "http://evil",
    "www.evil.example",
    "x@evil.example",
    ":material/bug:",
    ":red[x]",
    ":tea:",
    "**zq**",
    "_zq_",
    "~~zq~~",
    "`zq`",
    "$zq$",
    "<b>zq</b>",
    "&amp;",
)
"""What Streamlit's Markdown treats as markup; none of them occurs in our own words."""
HOSTILE = " ".join(PIECES)
UNKNOWN = "☕"  # occurs in no text here
IN_A_TEXT = ":tea: **zq** `zq` $zq$ <b>zq</b> "
"""Markup that a tiny model learns in a second, because it is short and regular."""

LITERAL = {
    "code.code_text",
    "text.body",
    "text_input.default",
    "text_input.value",
    "text_area.default",
    "text_area.value",
    "selectbox.options",
    "bidi_component.json",  # our components write with textContent, as test_markup.py sees in a browser
    "vega_lite_chart.data.data",  # Vega draws text on a canvas
    "query_string",
}
"""Where the browser shows text literally."""


def strings(message, path=()):
    """(the last two names of its path, its path, text) of every string in a protobuf message."""
    for field, value in message.ListFields():
        here, values = (*path, field.name), value if field.is_repeated else [value]
        for one in values:
            if field.type == FieldDescriptor.TYPE_MESSAGE and hasattr(one, "ListFields"):
                yield from strings(one, here)
            elif isinstance(one, (str, bytes)):
                yield ".".join(here[-2:]), here, one if isinstance(one, str) else one.decode("utf-8", "replace")


class Sent(list):
    """The messages to the browser so far."""

    def texts(self):
        """(where it is shown, text) of everything that is not shown literally."""
        for message in self:
            for place, path, text in strings(message):
                names = {path[-1], place, ".".join(path[-3:])}
                if not names & LITERAL:
                    yield place, text

    def shows(self, *places: str, what: str = "zq") -> "Sent":
        """Assert that no foreign markup is active, and that it occurs (escaped) in each of these places."""
        found = set()
        for place, text in self.texts():
            unescaped = re.sub(r"\\.", "", text)
            assert not [piece for piece in PIECES if piece in unescaped], (place, text)
            if what in text:
                found.add(place)
        assert set(places) <= found, found
        self.clear()
        return self


@pytest.fixture
def sent(monkeypatch):
    """Every message to the browser, as it is sent."""
    messages, enqueue = Sent(), ForwardMsgQueue.enqueue

    def note(queue, message) -> None:
        messages.append(message)
        enqueue(queue, message)

    monkeypatch.setattr(ForwardMsgQueue, "enqueue", note)
    return messages


def hostile(run: Run, **changes) -> Run:
    """The run with markup for its name, its message and the name of its text."""
    text = replace(run.read_info().text, name=HOSTILE, notice=HOSTILE)
    parent = Parent(run.id, HOSTILE, 0, True, True, text, HOSTILE)
    run.update(**{"name": HOSTILE, "message": HOSTILE, "text": text, "parent": parent} | changes)
    return run


def trained(text: str = IN_A_TEXT * 40, **settings) -> Run:
    run = trained_run(text, **{"max_steps": 10} | settings)
    with (run.folder / "metrics.jsonl").open("a") as metrics:  # long enough to show its speed
        metrics.write(json.dumps({"step": 11, "seconds": 9.0, "train_loss": 3.0, "val_loss": 3.0}) + "\n")
    return run


def all_of(at):
    """Open everything that can be opened, and draw the page."""
    for fold in ("more", "runs-menu", "runs-manage", "share", "take-away", "fork", "guess-fold", "text-change"):
        at.session_state[fold] = True
    at.run()
    assert not at.exception
    return at


@pytest.mark.parametrize("state", ["stopped", "interrupted", "failed", "finished"])
def test_a_runs_name_message_text_and_parent(state, sent):
    run = hostile(trained(), state=state, full_val_loss=2.0 if state == "finished" else None)
    at = open_app("train", run=run.id, key=KEY)
    for page in ("train", "attention", "generate"):
        all_of(go_to(at, page))
        sent.shows("popover.label", "button.label", "checkbox.label")
    all_of(go_to(at, "train"))
    sent.shows("markdown.body", "button.label", *(["alert.body"] if state != "finished" else []))


def test_the_name_of_a_text_that_is_not_kept_here(sent):
    run = hostile(trained(), parent=None)
    forget_text(run.read_info().text.sha256)
    open_app("train", run=run.id, key=KEY)
    sent.shows("markdown.body")


def test_runs_that_train_and_wait_and_what_they_warn_of(live_run, sent):
    live_run.update(name=HOSTILE)
    at = open_app("train", run=live_run.id, key=KEY)
    server.runner().job(live_run.id).warning = HOSTILE
    all_of(at)
    sent.shows("popover.label", "alert.body", "button.label", "button.help")
    click(at.slider(key="knob-n_layer").set_value(1).run(), "queue")
    (other,) = (it for it in server.runner()._jobs.values() if it.run.id != live_run.id)
    other.run.update(name=HOSTILE)
    click(at.run(), f"way-to-{other.run.id}")
    for page in ("train", "attention", "generate"):
        all_of(go_to(at, page))
        sent.shows("markdown.body", "button.label")


def test_a_persons_text_its_name_and_what_is_wrong_with_it(sent):
    at = open_app("train", run=hostile(trained("abc def " * 100), parent=None).id)
    at.selectbox(key="text").set_value("own").run()
    at.file_uploader(key="upload").upload(HOSTILE, IN_A_TEXT.encode() * 40, "text/plain").run()
    assert at.session_state["session"].own.text
    all_of(at)
    sent.shows("markdown.body")
    at.file_uploader(key="upload").upload(HOSTILE, b"", "text/plain").run()
    sent.shows("alert.body")
    at.file_uploader(key="upload").upload(HOSTILE, "Ünï ".encode("cp1252") * 100, "text/plain").run()
    sent.shows()
    at.text_area(key="pasted").set_value((HOSTILE + UNKNOWN) * 20).run()
    sent.shows()


def test_a_sentence_a_prompt_and_a_text_to_read(sent):
    run = hostile(trained())
    at = go_to(open_app("train", run=run.id, sentence=HOSTILE + UNKNOWN), "attention")
    sent.shows()
    go_to(at, "generate").text_area(key="prompt").set_value(HOSTILE + UNKNOWN).run()
    sent.shows()
    at.session_state["view"] = "Read"
    for source in ("passage", "sentence", "own"):
        at.session_state["reading-source"] = source
        at.session_state["reading-own"] = HOSTILE + UNKNOWN
        at.run()
        assert not at.exception
        sent.shows(*(["markdown.body"] if source == "passage" else []))


def test_what_a_sample_copied_of_its_text(sent):
    run = trained(max_steps=150, learning_rate=0.01)
    at = open_app("generate", run=run.id)
    at.session_state["length"] = 100
    click(at.text_area(key="prompt").set_value(IN_A_TEXT).run(), "generate")
    wait_until(lambda: at.run() and at.button(key="stop-writing").disabled)
    at.session_state["view"], at.session_state["reading-source"] = "Read", "sample"
    wait_until(lambda: "longest" in said(at.run()))
    sent.shows("markdown.body")


def test_what_a_link_says(sent):
    names = ("run", "preset", "text", "transform", "first", "n_embd", "learning_rate", "optimizer", "causal", "zoom")
    for some in (PIECES[: len(names)], PIECES[len(names) :]):
        open_app("train", **dict(zip(names, some, strict=False)), sentence=HOSTILE)
        sent.shows("alert.body", what="x" if some[0] == PIECES[0] else "zq")
    run = trained()
    open_app("train", run=run.id, key=HOSTILE, step=":tea: zq", also=HOSTILE)
    sent.shows("alert.body")


def refuse(error):
    def instead(*_, **__):
        raise error

    return instead


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("ui.server.fetch", TextProblem(HOSTILE)),
        ("data.texts.prepare", TextProblem(HOSTILE)),
        ("ui.parts.guess_game.load_corpus", TextProblem(HOSTILE)),
        ("runs.fork.settings", ValueError(HOSTILE)),
        ("runs.export.command_line", RunProblem(HOSTILE)),
        ("runs.archive.folder_zip", OSError(HOSTILE)),
        ("runs.run.Run.model_at", WeightsProblem(HOSTILE)),
    ],
)
def test_why_something_cannot_be_done(what, error, sent, monkeypatch):
    run = trained()
    monkeypatch.setattr(f"microllm.{what}", refuse(error))
    is_about_texts = what in ("ui.server.fetch", "data.texts.prepare")
    at = all_of(open_app("train", **{} if is_about_texts else {"run": run.id, "key": KEY}))
    if what == "runs.archive.folder_zip":  # in the background
        wait_until(lambda: "zq" in complaints(at.run()))
    sent.shows("markdown.body" if "guess" in what else "alert.body")
    if what == "runs.run.Run.model_at":
        for page in ("attention", "generate"):
            open_app(page, run=run.id)
            sent.shows("alert.body")


def test_why_a_click_is_not_obeyed(live_run, sent, monkeypatch):
    at = all_of(open_app("train", run=live_run.id, key=KEY))
    with monkeypatch.context() as for_now:
        for_now.setattr(TrainingJob, "change", refuse(ValueError(HOSTILE)))
        at.number_input(key="live-learning_rate").set_value(0.5)
        click(at, "live-apply")
        sent.shows("alert.body")
    with monkeypatch.context() as for_now:
        for_now.setattr("microllm.runs.importing.import_run", refuse(RunProblem(HOSTILE)))
        at.file_uploader(key="import").upload(HOSTILE + ".zip", b"zip", "application/zip").run()
        sent.shows("alert.body")
    with monkeypatch.context() as for_now:
        for_now.setattr("microllm.runs.catalog.create", refuse(RunProblem(HOSTILE)))
        click(at, "start")
        sent.shows("alert.body")
    with monkeypatch.context() as for_now:
        for_now.setattr("microllm.ui.parts.write.Generation", refuse(ValueError(HOSTILE)))
        click(go_to(at, "generate"), "generate")
        sent.shows("alert.body")
