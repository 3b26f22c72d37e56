"""Thirty terms, each with a place where it can be seen; the terms on the pages lead there."""

import re
from pathlib import Path

import pytest
from play import KEY, complaints, go_to, open_app

from microllm.runs import gallery
from microllm.runs.run import Run
from microllm.ui.glossary import TERMS, term

ROOT = Path(__file__).parents[2]
SOURCES = "".join(path.read_text("utf-8") for path in ROOT.glob("microllm/ui/*/*.py"))
USED = re.findall(r"\b(?:term|link)\(['\"]([a-z-]+)['\"]", SOURCES)


def test_there_are_thirty_terms_in_alphabetical_order_each_with_one_sentence_and_a_page():
    assert len(TERMS) == 30
    assert list(TERMS) == sorted(TERMS)
    for known in TERMS.values():
        assert (ROOT / "pages" / f"{known.page}.py").exists(), known
        assert known.sentence.endswith(".") and '"' not in known.sentence and known.where, known


@pytest.mark.parametrize("slug", USED)
def test_every_term_on_a_page_is_in_the_glossary(slug):
    assert TERMS[slug].sentence in term(slug)


@pytest.mark.parametrize("page", ["train", "attention", "generate", "inside"])
def test_every_page_leads_to_the_glossary(page):
    at = open_app(page)
    html = [element.proto.html_content for element in at.get("bidi_component")]
    assert any("learn?term=" in words for words in [*html, *(element.value for element in [*at.markdown, *at.caption])])
    assert not at.exception and not complaints(at)


def shown(at) -> list[str]:
    """The sentences of the terms that are shown, in their order."""
    sentences = {known.sentence for known in TERMS.values()}
    return [words for element in at.markdown if (words := element.value.partition(".** ")[2]) in sentences]


def test_an_address_with_a_term_opens_the_glossary_with_that_term_first():
    at = open_app("learn", term="residual-stream")
    assert shown(at)[0] == TERMS["residual-stream"].sentence
    assert sorted(shown(at)[1:]) == sorted(known.sentence for known in TERMS.values())
    at.text_input(key="glossary-search").set_value("Softmax").run()
    expected = {known.sentence for slug, known in TERMS.items() if "softmax" in known.sentence.lower() + slug}
    assert set(shown(at)[1:]) == expected


def test_a_term_stays_in_the_address_until_the_glossary_is_left():
    at = open_app("learn", term="loss")
    at.query_params["run"] = gallery.FIRST
    at.run()
    assert at.query_params["term"] == "loss"
    reloaded = open_app("learn", **{name: at.query_params[name] for name in ("run", "term")})
    assert shown(reloaded)[0] == TERMS["loss"].sentence
    go_to(at, "train")
    assert "term" not in at.query_params
    go_to(reloaded, "learn").button_group(key="learn-glossary").set_value("watch").run()
    assert "term" not in reloaded.query_params
    reloaded.button_group(key="learn-watch").set_value("glossary").run()
    assert "term" not in reloaded.query_params and len(shown(reloaded)) == len(TERMS)


def test_a_new_tab_of_a_person_with_runs_opens_the_term(finished_run):
    at = open_app("learn", stored={finished_run.id: KEY}, term="loss")
    at.run()
    assert (at.query_params["run"], at.query_params["term"]) == (finished_run.id, "loss")
    assert shown(at)[0] == TERMS["loss"].sentence


def test_the_run_on_show_stands_beside_large_models_with_its_own_numbers():
    at = open_app("learn", term="parameter")
    (table,) = (element.value for element in at.markdown if "GPT-2" in element.value)
    model = Run.open(gallery.FIRST).model_at(2_000)
    assert f"{sum(weights.numel() for weights in model.parameters()):,}" in table
