"""Both directions of writing, combining marks and invisible characters, in the components that show text."""

from types import SimpleNamespace

import pytest
import torch
from driving import mount

from microllm.tokenizer import visible, visible_alone
from microllm.ui.components import guess, letters, sentence

ARABIC = "خرج الولد إلى السوق."
MIXED = "abc שלום def"


def data_of(component, draw, monkeypatch) -> dict:
    """What Python sends to a component."""
    sent = SimpleNamespace(data=None)
    monkeypatch.setattr(component, f"_{component.__name__.rpartition('.')[2]}", lambda **it: setattr(sent, "data", it))
    draw()
    return sent.data["data"]


@pytest.fixture
def write(page, monkeypatch):
    """Show a text that a model wrote after a prompt, and bars of these characters."""

    def show(text: str, given: str = "", bars: str = ""):
        place = {"title": "", "about": "", "note": "", "rows": [[c, 0.5, 0.5, False] for c in bars]}
        samples = [letters.sample("", given, text, [0.0] * len(text))]
        nobody = {"chosen": (0, -1), "pick": print, "choose": print}
        mount(page, letters, data_of(letters, lambda: letters.writing("k", samples, place, **nobody), monkeypatch))
        return page.locator("[role=option]")

    return show


@pytest.fixture
def attend(page, monkeypatch):
    """Show a sentence with its attention."""

    def show(text: str):
        pattern = torch.ones(len(text), len(text)).tril()
        draw = lambda: sentence.sentence(pattern, text, 64, causal=True)  # noqa: E731
        mount(page, sentence, data_of(sentence, draw, monkeypatch))
        return page.locator("[role=option]")

    return show


@pytest.fixture(params=["write", "attend"])
def show(request):
    """Each component that shows a text character by character."""
    return request.getfixturevalue(request.param)


def places(spans) -> list[tuple[float, float]]:
    """(top, left) of each character, in pixels."""
    return spans.evaluate_all(
        """spans => spans.map(span => {
            const box = span.getClientRects()[0]
            return [Math.round(box.top), box.left]
        })"""
    )


# ---- directions


def test_a_line_from_right_to_left_begins_on_the_right_and_ends_with_its_full_stop_on_the_left(show, page):
    lefts = [left for _, left in places(show(ARABIC))]
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[0] > page.viewport_size["width"] / 3  # at the right edge of its box


def test_each_line_of_a_text_has_its_own_direction(write):
    spans = places(write("one.\nשלום.\ntwo."))
    lines = [[left for top, left in spans if top == line] for line in sorted({top for top, _ in spans})]
    assert [line == sorted(line) for line in lines] == [True, False, True]
    assert min(lines[1]) > max(lines[0])


def test_the_passage_of_the_game_and_its_field_have_the_direction_of_their_text(page):
    game = {"turn": 0, "before": [*"خرج "], "sight": [*"الولد"], "spoken": "", "notice": "", "refused": 0, "score": ""}
    options = [{"character": c, "shown": visible_alone(c), "name": c} for c in "ا\u2028\U0010ffff\u0301"]
    mount(page, guess, game | {"options": options, "last": None, "over": False})
    blank, sight = page.locator(".blank").bounding_box(), page.locator(".sight").bounding_box()
    assert blank["x"] < sight["x"]
    assert page.locator("input").get_attribute("dir") == "auto"
    for button in page.locator(".options button").all():
        assert button.evaluate("button => button.scrollWidth <= button.clientWidth")
    assert page.locator(".options button").all_inner_texts() == ["ا", "‹2028›", "‹10FFFF›", "◌\u0301"]


@pytest.mark.parametrize("text", [ARABIC, MIXED, "שלום abc עולם", "plain words", "12 שלום 34"])
def test_left_and_right_move_visually(show, page, text):
    spans = show(text)
    lefts = [left for _, left in places(spans)]
    order = sorted(range(len(text)), key=lefts.__getitem__)
    focus = "i => [...document.querySelector('div').shadowRoot.querySelectorAll('[role=option]')]"
    reached = f"{focus}.findIndex(one => one.matches('.at, :focus'))"
    if page.locator("code").count():
        page.locator("code").focus()
        page.keyboard.press("Home")
    else:
        spans.last.focus()
    for key, wanted in (("ArrowLeft", order[::-1]), ("ArrowRight", order)):
        for _ in text:
            page.keyboard.press(key)
        assert page.evaluate(reached) == wanted[-1]
        back = "ArrowRight" if key == "ArrowLeft" else "ArrowLeft"
        walked = [page.evaluate(reached)]
        for _ in text[1:]:
            page.keyboard.press(back)
            walked.append(page.evaluate(reached))
        assert walked == wanted[::-1]


def test_left_moves_on_to_the_next_line_in_right_to_left_text(write, page):
    spans = write("שלום\nעולם\n\nטוב")
    page.locator("code").focus()
    page.keyboard.press("Home")
    walked = []
    for _ in range(len("שלום\nעולם\n\nטוב")):
        walked.append(spans.evaluate_all("spans => spans.findIndex(one => one.matches('.at'))"))
        page.keyboard.press("ArrowLeft")
    assert walked == list(range(len(walked)))


def test_letters_that_join_still_join_when_each_is_tinted(write, page):
    spans = places(write("السلام", given="السلام"))
    joined = page.locator(".given").evaluate(
        """given => {
            given.style.fontWeight = "400"
            return given.getBoundingClientRect().width
        }"""
    )
    apart = page.locator("[role=option]").evaluate_all(
        "spans => spans.reduce((sum, span) => sum + span.getBoundingClientRect().width, 0)"
    )
    assert apart == pytest.approx(joined, abs=1)
    assert len(spans) == 6


# ---- invisible characters


@pytest.mark.parametrize("stranger", ["\u202e", "\u2067", "\u2028", "\u2029", "\u202c", "\x07", "\x85", "\ufeff"])
def test_an_invisible_character_moves_nothing_around_it(show, page, stranger):
    text = f"abc{stranger}def"
    spans = places(show(text))
    assert len({top for top, _ in spans}) == 1
    lefts = [left for _, left in spans]
    assert lefts == sorted(lefts)
    assert page.locator("[role=option]").nth(3).inner_text() == visible(stranger)


def test_the_prompt_shows_invisible_characters_too(write, page):
    write("x", given="a\u202eb c\nd")
    given = page.locator(".given")
    assert given.inner_text().replace("\n", "|") == "a‹202E›b c|d"
    assert given.locator("[data-shown]").get_attribute("data-shown") == "⏎"


def test_a_bar_shows_the_whole_name_of_its_character_and_all_bars_are_aligned(write, page):
    bars = "e\u2028\U0010ffff \u0301"
    write("x", bars=bars)
    names = page.locator(".bar:visible .character")
    assert names.all_inner_texts() == ["e", "‹2028›", "‹10FFFF›", "␠", "◌\u0301"]
    assert names.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    assert len(set(page.locator(".bar:visible .track").evaluate_all("all => all.map(one => one.offsetLeft)"))) == 1
    axis, track = page.locator(".axis div").bounding_box(), page.locator(".track").first.bounding_box()
    assert axis["x"] == pytest.approx(track["x"], abs=1)
    assert axis["width"] == pytest.approx(track["width"], abs=1)


@pytest.mark.parametrize("width", [390, 1280])
def test_names_in_the_bars_leave_room_for_the_bars(write, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    write("x", bars="\U0010ffffe")
    assert page.locator(".track").first.bounding_box()["width"] > 100
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
