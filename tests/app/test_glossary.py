"""Thirty terms, each with a place where it can be seen; the terms on the pages lead there."""

import re
from pathlib import Path

import pytest
from play import complaints, open_app

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
