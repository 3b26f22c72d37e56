"""The menu of runs: what it says about each, who finds which, and that none is out of reach."""

import json
import shutil
import time

import pytest
from play import KEY, click, keys, new_run, open_app, said

from microllm.environment import runs_dir
from microllm.runs import gallery
from microllm.runs.history import History
from microllm.runs.run import Run
from microllm.ui.parts import runs_menu


def copies(run: Run, count: int, **changes) -> list[str]:
    """The ids of some copies of a run, from the newest, each an hour older than the one before it."""
    content = json.loads((run.folder / "run.json").read_text())
    ids = [f"{number:016x}" for number in range(count)]
    for number, run_id in enumerate(ids):
        shutil.copytree(run.folder, runs_dir() / run_id)
        told = content | {"id": run_id, "name": f"copy-{number}", "created": time.time() - 3600 * (number + 1)}
        (runs_dir() / run_id / "run.json").write_text(json.dumps(told | changes))
    return ids


def open_menu(at):
    at.session_state["runs-menu"] = True
    at.run()
    assert not at.exception
    return at


def listed(at) -> list[str]:
    """The ids of the runs in the menu, from the top, but for those that came with MicroLLM."""
    ids = [button.key.removeprefix("open-") for button in at.button if (button.key or "").startswith("open-")]
    return [run_id for run_id in ids if run_id not in gallery.IDS]


def search(at, query: str) -> list[str]:
    at.text_input(key="runs-search").set_value(query).run()
    assert not at.exception
    return listed(at)


@pytest.fixture
def public(finished_run) -> Run:
    """A finished run on a text that everybody has, with KEY as its owner key."""
    path = finished_run.folder / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"text": content["text"] | {"source": "words-twice"}}))
    return finished_run


def test_none_of_many_runs_is_out_of_reach_and_only_those_that_are_drawn_are_read(public, monkeypatch):
    ids = copies(public, 100)
    read = []
    monkeypatch.setattr(runs_menu, "summary", lambda path, used=runs_menu.summary: read.append(path) or used(path))
    at = open_menu(open_app("attention"))
    assert listed(at) == [public.id, *ids[:29]] and len(read) == 30
    click(at, "runs-more")
    assert listed(at) == [public.id, *ids[:59]]
    assert search(at, "COPY-99") == ids[99:]
    assert search(at, "copy-9") == [ids[9], *ids[90:]]
    at.button(key=f"open-{ids[90]}").click().run()
    assert at.query_params["run"] == ids[90] and not at.session_state["runs-menu"]
    open_menu(at)
    for _ in range(3):
        click(at, "runs-more")
    assert listed(at) == [public.id, *ids] and "runs-more" not in keys(at)


def test_the_search_finds_a_run_by_its_text_its_state_and_its_settings(public):
    ids = copies(public, 9)
    path = runs_dir() / ids[4] / "run.json"
    told = json.loads(path.read_text())
    told |= {"state": "stopped", "text": told["text"] | {"name": "Persuasion, Chapter 7"}}
    told["model"]["n_layer"] = 1
    path.write_text(json.dumps(told))
    at = open_menu(open_app("train"))
    for query in ("persuasion", "stopped", "n_layer=1", "stopped copy-4 block_size=8", "STOPPED  7"):
        assert search(at, query) == [ids[4]], query
    assert search(at, "n_layer=2 finished") == [public.id, *(each for each in ids if each != ids[4])]
    assert search(at, "block_size=80") == search(at, "n_layer=") == search(at, "[.*") == []
    assert len(search(at, " ")) == 10


def test_a_few_runs_need_no_search(public):
    copies(public, 7)
    assert not any(field.key == "runs-search" for field in open_menu(open_app("train")).text_input)


def test_a_run_is_described_by_its_text_its_difference_its_steps_its_lowest_loss_its_age_and_its_state(public):
    (copy,) = copies(public, 1)
    path = runs_dir() / copy / "run.json"
    told = json.loads(path.read_text())
    told["model"]["n_head"] = 1
    path.write_text(json.dumps(told))
    with (runs_dir() / copy / "metrics.jsonl").open("a") as metrics:
        for step, loss in ((1_021, 0.98765), (1_022, 1.5)):
            metrics.write(json.dumps({"step": step, "seconds": 9.0, "train_loss": 3.0, "val_loss": loss}) + "\n")
    at = open_menu(open_app("train", run=public.id))
    label = at.button(key=f"open-{copy}").label
    best = History(public.history.path).read().best
    assert f"{best:.3f}" in at.button(key=f"open-{public.id}").label
    parts = ("copy-0", "made here", "n_head 1", "1,022 steps", "**0.988**", "1 h ago", "finished")
    assert [part for part in parts if part not in label] == []


def test_ones_own_runs_come_first_and_search_finds_no_private_run_of_another_person(public):
    ids = copies(public, 9, owner=None)
    private = new_run()
    private.update(state="stopped")
    at = open_menu(open_app("train", run=public.id, key=KEY))
    assert listed(at) == [public.id, *ids]
    assert [group in said(at) for group in ("**Yours** (1)", "(9)")] == [True, True]
    assert search(at, private.read_info().name) == []
    at = open_menu(open_app("train", run=private.id, key=KEY))
    assert search(at, private.read_info().name) == [private.id]
