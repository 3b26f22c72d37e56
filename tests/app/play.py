"""What the tests of pages share: runs to show, clicks, and what a page says and offers."""

import json
import threading
from dataclasses import fields
from pathlib import Path

import making
from making import ENDLESS
from patience import patience
from streamlit.testing.v1 import AppTest

from microllm.data.builtin import words_twice
from microllm.jobs.training import TrainingJob
from microllm.runs.run import Run

APP = str(Path(__file__).parents[2] / "app.py")
TINY = making.TINY | {"n_layer": 2}
KEY = "the owner's key"


def new_run(text: str | None = None, **settings) -> Run:
    """A run of a tiny model that is not started yet. KEY is its owner key."""
    given = {"n_layer": 2, "max_steps": ENDLESS, "owner_key": KEY} | settings
    return making.new_run(text or words_twice(2_000), text_name="made here", **given)


_trained: dict[str, tuple[dict[Path, bytes], dict[str, object]]] = {}


def trained_run(text: str | None = None, **settings) -> Run:
    """A run of a tiny model that has finished. The same run is trained once, and copied under another id after that."""
    run, asked = new_run(text, **settings), repr((text, sorted(settings.items())))
    if asked not in _trained:
        before = run.read_info()
        assert making.train(run) == "finished"
        now = run.read_info()
        changes = {one.name: getattr(now, one.name) for one in fields(now)}
        changes = {name: value for name, value in changes.items() if value != getattr(before, name)}
        paths = [path for path in run.folder.rglob("*") if path.is_file() and path.name != "run.json"]
        _trained[asked] = {path.relative_to(run.folder): path.read_bytes() for path in paths}, changes
    else:
        files, changes = _trained[asked]
        for path, content in files.items():
            (run.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / path).write_bytes(content)
        run.update(**changes)
    return run


def open_app(
    page: str | None = None, *, stored: dict[str, str] | None = None, answers: bool = True, **query: str
) -> AppTest:
    """Open the app as a browser does: its first page, or the link to a page. "More" is open.

    `stored` are the owner keys that the browser has, by run id. It `answers` at once what it has.
    """
    at = AppTest.from_file(APP, default_timeout=60)
    at.session_state["more"] = True
    if answers:
        answer(at, stored)
    for name, value in query.items():
        at.query_params[name] = value
    return go_to(at, page) if page else at.run()


def open_inside(mode: str, **query_params: str) -> AppTest:
    """The page Inside in one of its modes."""
    return open_app("inside", **query_params).button_group(key="inside-mode").set_value(mode).run()


def answer(at: AppTest, stored: dict[str, str] | None = None, draft: str | None = None, **others: object) -> None:
    """What the browser sends once when the page is loaded: the keys and the draft that it has."""
    pairs = [[run_id, key] for run_id, key in (stored or {}).items()]
    at.session_state["storage"] = {"told": {"keys": pairs, "draft": draft, "mine": False, "refused": False} | others}


def kept(at: AppTest) -> dict[str, str]:
    """The owner keys that the browser is asked to keep, by run id."""
    return dict(said_to_browser(at)["keep"])


def said_to_browser(at: AppTest) -> dict:
    """What the component that speaks to the browser's storage was told last."""
    (proto,) = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "microllm.storage"]
    return json.loads(proto.json)


def go_to(at: AppTest, page: str) -> AppTest:
    """Open another page by its name."""
    at.switch_page(f"pages/{page}.py")
    return at.run()


def click(at: AppTest, key: str) -> AppTest:
    """Click a button, and check that the page raises no exception."""
    at.button(key=key).click().run()
    assert not at.exception
    return at


def number(at: AppTest, name: str):
    """The control of a setting that is a number."""
    (found,) = (w for w in (*at.slider, *at.select_slider, *at.number_input) if w.key == f"knob-{name}")
    return found


def step_of(training: TrainingJob) -> int:
    """The present step of a training job, after it has carried out all earlier commands."""
    step, _ = training.copy(max_age=0, wait=patience())
    return step


def training_threads() -> list[threading.Thread]:
    """The threads that are training."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("training-")]


def said(at: AppTest) -> str:
    """All text on the page."""
    kinds = ("markdown", "caption", "text", "code", "error", "warning", "info", "success")
    return "\n".join(element.value for kind in kinds for element in at.get(kind))


def complaints(at: AppTest) -> str:
    """All errors and warnings on the page."""
    return "\n".join(element.value for kind in ("error", "warning") for element in at.get(kind))


def keys(at: AppTest) -> set[str]:
    """The keys of all elements that can be used on the page."""
    fields = ["button", "slider", "number_input", "text_input", "text_area", "selectbox", "button_group"]
    others = [
        "toggle",
        "file_uploader",
        "download_button",
        "select_slider",
        "vega_lite_chart",
        "plotly_chart",
        "page_link",
    ]
    shown = (element for kind in fields + others for element in at.get(kind))
    return {element.key for element in shown if element.key and not getattr(element.proto, "disabled", False)}
