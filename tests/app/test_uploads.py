"""A window holds only the newest uploaded file of each field, and none after it has closed."""

import io
from types import SimpleNamespace

import pytest
from play import new_run, open_app
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from microllm.ui import server
from microllm.ui.state import draft, uploads

MOST_BYTES_OF_A_MESSAGE = 25_000_000  # Streamlit closes the connection at a larger one


class Held(io.BytesIO):
    """A file as Streamlit gives it to the page."""

    def __init__(self, file_id: str) -> None:
        super().__init__(b"text")
        self.file_id = file_id


@pytest.fixture
def manager(monkeypatch):
    """Streamlit's manager of uploaded files, for this window and another one."""
    made = MemoryUploadedFileManager("/upload")
    context = SimpleNamespace(uploaded_file_mgr=made, session_id="this window")
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: context)
    put(made, "x", "another window")
    return made


def put(manager, file_id: str, window: str = "this window") -> Held:
    manager.add_file(window, UploadedFileRec(file_id, f"{file_id}.txt", "text/plain", b"text"))
    return Held(file_id)


def kept(manager, window: str = "this window") -> list[str]:
    return list(manager.file_storage.get(window, ()))


def test_the_newest_file_of_each_field_is_held(manager):
    mine = uploads.Uploads()
    first, zipped = put(manager, "a"), put(manager, "b")
    mine.hold("upload", first)
    mine.hold("import", zipped)
    put(manager, "never looked at")
    mine.hold("upload", put(manager, "c"))
    assert kept(manager) == ["b", "c"]
    assert first.closed and not zipped.closed


def test_a_file_that_comes_while_another_one_is_read_stays(manager):
    mine = uploads.Uploads()
    earlier = put(manager, "a")
    put(manager, "b")
    mine.hold("upload", earlier)
    assert kept(manager) == ["a", "b"]


def test_with_the_window_all_of_its_files_go_and_nobody_elses(manager):
    mine, file = uploads.Uploads(), put(manager, "a")
    mine.hold("upload", file)
    put(manager, "b")
    mine.close()
    assert kept(manager) == [] and file.closed
    assert kept(manager, "another window") == ["x"]
    assert uploads.content(file) is None


def test_a_box_for_a_text_takes_no_more_than_the_connection_does_and_says_so():
    at = open_app("train")
    at.selectbox(key="text").set_value("own").run()
    box = at.text_area(key="pasted")
    assert box.proto.max_chars == draft.MAX_PASTED_CHARACTERS
    assert f"{draft.MAX_PASTED_CHARACTERS:,}" in box.label
    run = new_run(max_steps=1)
    server.runner().start(run).join(60)
    at = open_app("generate", run=run.id)
    at.button_group(key="view").set_value("Read").run()
    at.button_group(key="reading-source").set_value("own").run()
    other = at.text_area(key="reading-own")
    assert 4 * (box.proto.max_chars + other.proto.max_chars) < MOST_BYTES_OF_A_MESSAGE
