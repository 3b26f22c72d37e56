"""A visitor who does not use a browser: whatever they send, nothing is read, stopped or broken by it."""

import asyncio
import contextlib
import json
import math
import time
import tomllib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from driving import PATIENCE, Server, finished_run, tracebacks
from patience import patience
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed

from benchmarks.visitor import Visitor
from microllm.data.published import PUBLIC_TEXTS
from microllm.ui import browser_input
from microllm.ui.state.draft import MAX_PASTED_CHARACTERS

ROOT = Path(__file__).parents[2]

# ---- 46. values that were never offered

_SECRET = "the operator's own file\n" * 40
_TEXTS = ["", "own", "None", "no such option", "\u202e\x00\x1b[31m", "x" * 10_000, "utf_16", "[" * 5_000]
_EVENTS = ("picked", "pressed", "chosen", "made")  # of our components
_NUMBERS = [-1, 0, 2.5, 1e18, 1e308, math.inf, -math.inf, math.nan]
_JSON = [
    None,
    True,
    -1,
    10**30,
    "x" * 5_000,
    [],
    [[]],
    [None, None],
    ["a", {}],
    [10**9, 10**9],
    {"turn": "0", "character": 5},
    {"turn": 0, "character": "\ud800xx"},
    {"turn": [0]},
    {"guessed": "low", "opened": 5},
    {"guessed": math.nan},
    {"selection": []},
]


_PLAIN = {"button", "button_group", "checkbox", "number_input", "popover", "radio", "selectbox", "slider"}
_PLAIN |= {"download_button", "file_uploader", "text_area", "text_input"}  # widgets that send no JSON


def _hostile(widget_id: str, is_plain: bool, secret: str) -> list[WidgetState]:
    """All values of the kinds that such a widget may send, and some of the others, which are refused for their kind."""
    plain, told = [*_plain_values(widget_id, secret)], [*_told(widget_id)]
    return plain + told[::7] if is_plain else plain[::12] + told


def _plain_values(widget_id: str, secret: str):
    """What is no JSON: texts, numbers, lists of them, and nothing."""
    texts = [secret, f"../{secret}", *_TEXTS]
    for text in texts:
        yield WidgetState(id=widget_id, string_value=text)
    for text in texts[:5]:
        yield _array(widget_id, "string_array_value", [text, text])
    for number in _NUMBERS:
        yield WidgetState(id=widget_id, double_value=number)
        yield _array(widget_id, "double_array_value", [number])
        yield _array(widget_id, "double_array_value", [number, number])
    for empty in ("string_array_value", "double_array_value", "int_array_value"):
        yield _array(widget_id, empty, [])
    yield WidgetState(id=widget_id, int_value=-(2**62))
    yield WidgetState(id=widget_id, bool_value=True)
    yield WidgetState(id=widget_id, bytes_value=b"\xff\x00")
    yield WidgetState(id=widget_id)


def _told(widget_id: str):
    """What a component or a chart might send."""
    for said in _JSON:
        told = json.dumps(said)
        yield WidgetState(id=widget_id, json_value=told)
        yield WidgetState(id=widget_id, json_value=json.dumps(dict.fromkeys(_EVENTS, said)))
        triggers = [{"event": event, "value": said} for event in _EVENTS]
        yield WidgetState(id=widget_id, json_trigger_value=json.dumps(triggers))
    yield WidgetState(id=widget_id, json_value="[" * 20_000)
    yield WidgetState(id=widget_id, json_trigger_value="{")


def _array(widget_id: str, kind: str, values: list) -> WidgetState:
    state = WidgetState(id=widget_id)
    getattr(state, kind).SetInParent()
    getattr(state, kind).data.extend(values)
    return state


@contextlib.contextmanager
def _running(home: Path, mirror: Path):
    """A server, which no test may make stumble."""
    server = Server(home, mirror).wait_until_it_answers()
    yield server
    assert server.end() == 0, server.log
    assert not tracebacks(server.log)


@pytest.fixture(scope="module")
def server(mirror, tmp_path_factory):
    """A server that several visitors attack, one after another."""
    with _running(tmp_path_factory.mktemp("attacked") / "home", mirror) as server:
        yield server


@pytest.fixture
def fresh_server(mirror, tmp_path):
    """A server on which nobody trains, for what is timed."""
    with _running(tmp_path / "home", mirror) as server:
        yield server


def _play(visit: Callable[[], Coroutine]) -> Any:
    """Carry out a visit, in a thread of its own: that of the tests may belong to a browser's event loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: asyncio.run(visit())).result()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


_PLACES = [  # page, what is on it, what is unfolded there: key, value, and what appears
    (
        "train",
        "start",
        [
            ("fork-button", True, "fork-start"),
            ("guess-fold-button", True, "next-letter"),
            ("take-away-button", True, "take-curves"),
            ("text", "Your own text", "pasted"),
            ("runs-menu", True, "runs-manage-button"),
            ("runs-manage-button", True, "import"),
        ],
    ),
    ("learn", "learn-row", [("front-path", True, "path-passage"), ("path-card-tokens", True, "path-sentence")]),
    ("attention", "sentence", []),
    ("inside", "inside-mode", []),
    ("inside", "inside-mode", [("inside-mode", "Training step", "training-step")]),
    ("inside", "inside-mode", [("inside-mode", "Knock-out", "knockout-map")]),
    ("inside", "inside-mode", [("inside-mode", "Characters", "character-map")]),
    ("learn", "learn-row", [("learn-path", "Glossary", "glossary-search")]),
    ("learn", "learn-row", [("learn-glossary", "Twins", "twin-start")]),
    ("learn", "learn-row", [("twin-kind", "Plant a sentence that is not true", "twin-start")]),
    ("generate", "generate", []),
    ("generate", "view", [("view", "Read", "reading-source"), ("reading-source", "Your text", "reading-own")]),
    ("experiments", "question-say-it-twice", [("question-say-it-twice", True, "prediction-say-it-twice")]),
]


async def _send(visitor: Visitor, states: list[WidgetState], fragment: str = "") -> None:
    """Let the page run with these values, and wait for the end of that."""
    visitor._values.clear()
    runs = visitor._runs
    await visitor._ask(fragment, states)
    async with visitor._changed:
        await asyncio.wait_for(visitor._changed.wait_for(lambda: visitor._ended > runs), 60)


async def _tell(visitor: Visitor, answer: dict) -> None:
    """Say what the browser's storage has, as a browser does once."""
    trigger = _make_trigger_id(visitor.shown["storage"].message.id, "events")
    told = json.dumps([{"event": "told", "value": answer}])
    await _send(visitor, [WidgetState(id=trigger, json_trigger_value=told)])


@pytest.mark.timeout(300)
def test_no_widget_of_any_page_takes_a_value_that_it_did_not_offer(server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(_SECRET)

    async def attack() -> set[str]:
        tried, seen = set(), set()
        async with Visitor(server.url) as visitor:
            await visitor.open("train", until="storage")
            await _tell(visitor, {})
            await visitor.press("more-button", lambda: "knob-max_steps" in visitor.shown)
            await visitor.set("knob-max_steps", 60)
            await visitor.press("start", lambda: visitor.run is not None)
            await _until(lambda: server.run(visitor.run)["state"] == "finished")
            for page, landmark, unfolded in _PLACES:
                await visitor.open(page, until=landmark)
                for key, value, there in unfolded:
                    await visitor._act({key: value}, lambda there=there: there in visitor.shown)
                kinds = {one.message.id: one.kind for one in visitor.shown.values() if hasattr(one.message, "id")}
                ids = sorted(kinds)
                seen |= {*kinds.values()}
                tried |= {one.split("-", 2)[2] for one in ids if one.startswith("$$ID-")}
                for states in zip(*(_hostile(one, kinds[one] in _PLAIN, str(secret)) for one in ids), strict=True):
                    await _send(visitor, list(states))
                    assert not visitor.problems, f"{page}: {str(states[0])[:300]}\n{server.log[-6000:]}"
                await visitor.open(page, until=landmark)  # and the page still works
            assert not visitor.problems
        assert seen - _PLAIN == {"bidi_component", "plotly_chart"}
        return tried

    tried = _play(attack)
    assert {
        "text",
        "text-how",
        "preset",
        "knob-block_size",
        "knob-optimizer",
        "axis",
        "sentence",
        "temperature",
    } <= tried
    assert {"upload", "pasted", "import", "fork-start", "next-letter", "reading-own", "take-curves"} <= tried
    assert {"path-sentence", "prediction-say-it-twice"} <= tried
    assert {"knockout-map", "character-map", "glossary-search", "twin-kind", "twin-start"} <= tried
    assert _SECRET[:20] not in server.log


def test_a_start_with_a_value_that_was_not_offered_makes_no_run_of_it(server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(_SECRET)
    before = {*(server.home / "runs").glob("*/run.json")}

    async def attack() -> None:
        async with Visitor(server.url) as visitor:
            await visitor.open("train", until="storage")
            start = WidgetState(id=visitor.shown["start"].message.id, trigger_value=True)
            for key in ("text", "text-how", "preset", "knob-optimizer", "pasted", "text-first", "key of no widget"):
                # a widget that is not on the page has an id all the same: it can be known from another visit
                there = visitor.shown.get(key)
                its_id = there.message.id if there else f"$$ID-{'0' * 32}-{key}"
                await _send(visitor, [WidgetState(id=its_id, string_value=str(secret)), start])
                await _send(visitor, [WidgetState(id=its_id, double_value=1e15), start])
                await _send(visitor, [_array(its_id, "string_array_value", [str(secret)]), start])
            assert not visitor.problems

    _play(attack)
    for folder in {*(server.home / "runs").glob("*/run.json")} - before:
        assert json.loads(folder.read_text())["text"]["source"] in PUBLIC_TEXTS
    assert not any(_SECRET[:20] in path.read_text() for path in (server.home / "texts").glob("*.txt"))


def test_a_forged_answer_of_the_browsers_storage_opens_no_run_and_costs_little(fresh_server):
    server = fresh_server
    private = finished_run(server.home, own_text=_SECRET)
    path = server.home / "runs" / private / "run.json"
    path.write_text(json.dumps(server.run(private) | {"owner": "0" * 64}))
    answers = [
        {"keys": [[private, "guessed"]] * 10_000},
        {"keys": [[f"{number:016x}", "x"] for number in range(10_000)], "draft": "&" * 5_000_000},
        {"keys": [[private, "x" * 5_000_000]], "draft": f"run={private}&text=own", "mine": True},
        {"keys": [[private]] * 10_000, "draft": ["x"] * 10_000, "done": [["text"], "x" * 100_000] * 10, "refused": 5},
        {"predictions": [["a-head-is-born", "x" * 100_000], *([[], {}], 5) * 10_000]},
        {"games": "[" * 5_000_000},
    ]

    async def attack() -> None:
        for answer in answers:
            async with Visitor(server.url) as visitor:
                await visitor.open("train", until="storage")
                began = time.monotonic()
                await _tell(visitor, answer)
                assert time.monotonic() - began < patience(3.0)
                assert not visitor.problems
                assert visitor.run is None
                assert private not in str(visitor.shown)

    _play(attack)
    assert "guessed" not in server.log


def test_a_stranger_can_clear_no_caches_and_so_stop_nobody(server):

    async def attack() -> None:
        async with Visitor(server.url) as owner, Visitor(server.url) as stranger:
            await owner.open("train", until="storage")
            await owner.press("start", lambda: owner.run is not None)
            await stranger.open("train", until="storage")
            for kind in ("clear_cache", "load_git_info", "set_run_on_save"):
                message = BackMsg()
                setattr(message, kind, True)
                await stranger._socket.send(message.SerializeToString())
            before = server.steps(owner.run)
            await _until(lambda: server.steps(owner.run) > before + 20)
            await stranger.open("train", until="storage")
            assert server.run(owner.run)["state"] == "training"
            await owner.press("bar-stop", lambda: "bar-go-on" in owner.shown)
            assert not owner.problems and not stranger.problems

    _play(attack)


@pytest.mark.parametrize("size", [1, 100, 101, 100_000])
def test_a_message_with_a_longer_list_than_a_browser_sends_is_dropped(size):
    files, run = BackMsg(), BackMsg()
    files.file_urls_request.file_names.extend(["a.txt"] * size)
    run.rerun_script.cached_message_hashes.extend(["0" * 32] * size)
    assert browser_input.is_needed(files) == (size <= 100)
    assert browser_input.is_needed(run) == (size <= 10_000)


def test_a_message_with_more_widgets_or_json_than_a_window_has_is_dropped():
    asked = BackMsg()
    widgets = asked.rerun_script.widget_states.widgets
    widgets.extend(WidgetState(id=str(i), string_value="x" * 1_000) for i in range(1_000))
    assert browser_input.is_needed(asked)
    widgets.add()
    assert not browser_input.is_needed(asked)
    del widgets[100:]
    for kind in ("json_value", "json_trigger_value"):
        for widget in widgets:
            setattr(widget, kind, "[" * 20_000)
        assert browser_input.is_needed(asked)
        setattr(widgets[0], kind, "[" * 20_001)
        assert not browser_input.is_needed(asked)


_SMALL, _NAMES = BackMsg(app_heartbeat=True), BackMsg()
_NAMES.file_urls_request.file_names.extend(["a.txt"] * 100)


@pytest.mark.parametrize(
    "send",
    [
        lambda socket: socket.send(_SMALL.SerializeToString()),
        lambda socket: socket.send(_NAMES.SerializeToString()),
        lambda socket: socket.pong(),
    ],
    ids=["small messages", "messages that take long", "frames without a message"],
)
def test_a_connection_that_sends_far_more_than_a_browser_can_is_closed(server, send):
    async def attack() -> None:
        async with Visitor(server.url) as flood, Visitor(server.url) as other:
            await flood.open("train", until="storage")
            await other.open("train", until="storage")
            with pytest.raises(ConnectionClosed):
                for _ in range(20_000):
                    await send(flood._socket)
            await other.open("attention", until="sentence")
            assert not other.problems

    _play(attack)


def test_a_page_that_ticks_with_the_largest_pastes_in_its_boxes_is_no_flood():
    asked = BackMsg()
    pasted = "😀" * MAX_PASTED_CHARACTERS
    asked.rerun_script.widget_states.widgets.extend(WidgetState(id=str(i), string_value=pasted) for i in range(2))
    ticks = browser_input._FLOOD_SECONDS / 0.2
    assert ticks * browser_input.weight(asked) < browser_input._FLOOD_MESSAGES / 1.5
    assert browser_input.weight(BackMsg(app_heartbeat=True)) == pytest.approx(1, abs=0.01)


def test_a_message_may_be_as_large_as_two_pastes_and_hardly_larger():
    limits = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["server"]
    pastes = 2 * len("😀".encode()) * MAX_PASTED_CHARACTERS / 1e6  # on Train, and on Generate > Read
    assert pastes < limits["maxWidgetStateSize"] < 1.5 * pastes
    assert limits["maxWidgetStateSize"] <= limits["maxMessageSize"] < 4 * pastes


@pytest.mark.parametrize("fragment", ["x" * 201, "a\nb", "\x1b[2J"])
def test_a_fragment_that_would_fill_or_forge_the_log_is_dropped(fragment):
    message = BackMsg()
    message.rerun_script.fragment_id = fragment
    assert not browser_input.is_needed(message)
