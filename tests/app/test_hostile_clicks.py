"""What one visitor can do to others, or to another run of their own, by clicking."""

import pytest
from play import KEY, TINY, click, complaints, new_run, open_app
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from microllm.config import PRESETS
from microllm.cost import Speed
from microllm.environment import texts_dir
from microllm.runs.catalog import all_runs
from microllm.ui import browser_input, server


def kept_texts() -> int:
    return len(list(texts_dir().glob("*.txt")))


def test_texts_that_are_cut_here_and_there_or_pasted_leave_the_disk_to_runs(monkeypatch):
    monkeypatch.setenv("MICROLLM_DISK", "0.2")
    at = open_app("train")
    for first in range(5_000, 5_012):
        at.number_input(key="text-first").set_value(first).run()
        assert not at.exception
    assert kept_texts() <= 0.1 * 200_000 / 5_000
    at.selectbox(key="text").select("own").run()
    for letter in "abcdefgh":
        at.text_area(key="pasted").set_value(f"{letter} word or two. " * 400).run()
        assert not at.exception and not complaints(at)
    assert kept_texts() <= 0.1 * 200_000 / 5_000


def test_a_cut_text_that_a_run_has_learned_stays():
    at = open_app("train")
    for name, value in (TINY | {"max_steps": 5}).items():
        at.session_state[f"knob-{name}"] = value
    at.number_input(key="text-first").set_value(5_000).run()
    click(at, "start")
    (run,) = all_runs()
    server.runner().start(run).join(30)
    for first in (6_000, 7_000):
        at.number_input(key="text-first").set_value(first).run()
    assert run.load_corpus().train is not None and (texts_dir() / f"{run.read_info().text.sha256}.txt").exists()


def test_a_disk_that_is_full_takes_no_cut_texts(monkeypatch):
    at = open_app("train")
    before = kept_texts()
    monkeypatch.setenv("MICROLLM_DISK", "0")
    at.number_input(key="text-first").set_value(5_000).run()
    assert not at.exception and complaints(at) and at.button(key="start").disabled
    assert kept_texts() == before


@pytest.mark.parametrize("key", ["delete", "bar-go-on"])
def test_a_button_that_was_drawn_for_one_run_does_nothing_to_another(key):
    named, shown = new_run(max_steps=5), new_run(max_steps=5)
    for run in (named, shown):
        run.update(state="stopped")
    at = open_app("train", run=named.id, key=KEY)
    at.session_state["session"].owner_keys = {named.id: KEY, shown.id: KEY}
    for open_key in ("runs-menu", "runs-manage", f"sure-{named.id}"):
        at.session_state[open_key] = True
    at.run()
    button = at.button(key=key)
    at.session_state["session"].run_id = shown.id  # a click on the menu came before this one
    button.click().run()
    assert not at.exception
    assert {run.id for run in all_runs()} == {named.id, shown.id}
    assert server.runner().job(named.id) is server.runner().job(shown.id) is None


def test_a_run_whose_steps_would_keep_everybody_waiting_is_refused_with_a_size_that_fits(monkeypatch):
    slow = Speed(dict.fromkeys(("adamw", "muon"), (30.0, 1e-12)))
    at = open_app("train")
    monkeypatch.setattr(server, "speed", lambda: slow)
    click(at, "start")
    assert not all_runs() and "batch_size" in complaints(at)


def test_a_run_whose_validation_checks_would_keep_everybody_waiting_is_refused(monkeypatch):
    model, train = PRESETS["quick"].model, PRESETS["quick"].train
    unit = Speed(dict.fromkeys(("adamw", "muon"), (0.0, 1.0)))
    slow = Speed(dict.fromkeys(unit.seconds, (0.0, 20 / unit.seconds_per_check(model, train, 60))))
    assert slow.seconds_per_step(model, train, 60) < 5
    at = open_app("train")
    monkeypatch.setattr(server, "speed", lambda: slow)
    click(at, "start")
    assert not all_runs() and complaints(at)


def test_a_window_holds_so_many_bytes_of_uploads_and_the_newest_of_them(monkeypatch):
    open_app("train")  # from then on the server is guarded
    monkeypatch.setattr(browser_input, "MAX_UPLOADED_BYTES", 100)
    manager = MemoryUploadedFileManager("/upload")
    for number in range(8):
        manager.add_file("a window", UploadedFileRec(f"made up {number}", "a.txt", "text/plain", bytes(40)))
    assert list(manager.file_storage["a window"]) == ["made up 6", "made up 7"]


def test_all_windows_together_hold_so_many_bytes_of_uploads_and_the_one_with_most_loses_its_oldest(monkeypatch):
    open_app("train")
    monkeypatch.setattr(browser_input, "MAX_ALL_UPLOADED_BYTES", 300)
    manager = MemoryUploadedFileManager("/upload")
    for window, number in [("greedy", 1), ("modest", 1), ("greedy", 2), ("greedy", 3), ("new", 1), ("new", 2)]:
        manager.add_file(window, UploadedFileRec(f"{window} {number}", "a.txt", "text/plain", bytes(60)))
    held = {window: list(files) for window, files in manager.file_storage.items()}
    assert held == {"greedy": ["greedy 2", "greedy 3"], "modest": ["modest 1"], "new": ["new 1", "new 2"]}
    manager.add_file("huge", UploadedFileRec("huge", "a.txt", "text/plain", bytes(1_000)))
    assert {window for window, files in manager.file_storage.items() if files} == {"huge"}
