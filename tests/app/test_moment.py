"""All pages show one moment: chosen on the timeline, kept in the link, and left again."""

import play
import pytest
from patience import patience
from play import go_to, open_app, said

from microllm.ui import server


@pytest.fixture
def long_run():
    """A finished run with snapshots of steps 0, 8, 12, ... 64."""
    return play.trained_run(max_steps=64)


def test_the_newest_moment_is_on_show_until_another_is_chosen(long_run):
    at = open_app("train", run=long_run.id)
    assert "step 64" in said(at).lower()
    assert "step" not in at.query_params


@pytest.mark.parametrize("page", ["train", "attention", "generate", "inside"])
def test_every_page_shows_the_moment_of_the_link(page, long_run):
    at = open_app(page, run=long_run.id, step="12")
    assert not at.exception
    assert "step **12**" in said(at).lower() or "step 12" in said(at).lower()
    assert at.query_params["step"] == "12"


def test_the_moment_stays_on_a_change_of_page_and_goes_with_another_run(long_run, finished_run):
    at = open_app("train", run=long_run.id, step="12")
    go_to(at, "attention")
    assert at.session_state["session"].moment == 12
    at.query_params["run"] = finished_run.id
    at.query_params.pop("step", None)
    at.run()
    assert at.session_state["session"].run_id == finished_run.id
    assert at.session_state["session"].moment is None


def test_what_it_wrote_at_a_moment_comes_from_the_weights_of_that_moment(long_run):
    texts = {}
    for step in ("0", "64"):
        at = open_app("train", run=long_run.id, step=step)
        texts[step] = at.text[0].value
        assert texts[step] == server.samples().at(long_run, int(step), wait=patience()).text
    assert texts["0"] != texts["64"]
