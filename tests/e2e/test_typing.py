"""Keyboards of all kinds in the field of the guessing game: each letter is one guess. No server is needed."""

import unicodedata

import pytest
from driving import mount

from microllm.ui.components import guess

GAME = {
    "turn": 0,
    "before": [],
    "sight": [*"what␠comes␠nex"],
    "spoken": "",
    "options": [{"character": "e", "shown": "e", "name": "e"}],
    "notice": "",
    "refused": 0,
    "last": None,
    "score": "",
    "over": False,
    "kept": "[]",
}
ANSWER = 60  # milliseconds that the server takes


@pytest.fixture
def field(page):
    """The field of a game. Its server answers after 60 ms, and loses as many guesses as the window's `lost`."""
    mount(page, guess, GAME)
    page.evaluate(
        """(after) => {
            Object.assign(window, { made: [], lost: 0 })
            window.answer = ({ turn, character }) => {
                if (window.lost-- > 0) return
                setTimeout(() => {
                    if (turn === window.data.turn) {
                        window.made.push(character)
                        window.data = { ...window.data, turn: turn + 1 }
                    }
                    window.draw()
                }, after)
            }
        }""",
        ANSWER,
    )
    field = page.locator("input")
    field.focus()
    return field


def made(page, rest: int = 8 * ANSWER) -> list[str]:
    """The guesses that the server has received in the end."""
    page.wait_for_timeout(rest)
    assert not page.errors
    assert page.locator("input").input_value() == ""
    return page.evaluate("window.made")


def keyboard(page):
    """A session that acts as an input method of the system."""
    return page.context.new_cdp_session(page)


def compose(session, *stages: str, commit: str) -> None:
    """Show each stage of a composition, then commit it."""
    for stage in stages:
        session.send(
            "Input.imeSetComposition", {"text": stage, "selectionStart": len(stage), "selectionEnd": len(stage)}
        )
    session.send("Input.insertText", {"text": commit})


def test_a_key_is_one_guess_and_enter_is_a_line_end(page, field):
    for key in ("a", "Space", "Enter", "E"):
        page.keyboard.press(key)
    assert made(page) == ["a", " ", "\n", "E"]


@pytest.mark.parametrize(
    ("stages", "letter"),
    [
        (["´"], "é"),
        (["ㅎ", "하"], "한"),
        (["n", "ni"], "你"),
        (["k", "か"], "か"),
        (["e"], "e"),
        (["e"], "e\u0301"),  # one letter, two characters
        (["क"], "कि"),
    ],
)
def test_a_composed_letter_is_one_guess_and_what_it_was_before_is_none(page, field, stages, letter):
    session = keyboard(page)
    compose(session, *stages, commit=letter)
    page.wait_for_timeout(900)
    compose(session, *stages, commit=letter)
    assert made(page) == [letter, letter]


def test_a_composition_that_is_given_up_is_no_guess(page, field):
    session = keyboard(page)
    session.send("Input.imeSetComposition", {"text": "´", "selectionStart": 1, "selectionEnd": 1})
    session.send("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})
    page.keyboard.press("x")
    assert made(page) == ["x"]


@pytest.mark.parametrize("text", ["hello", "the", "你好", "e\u0301te\u0301"])
def test_several_letters_in_one_piece_are_one_guess(page, field, text):
    page.keyboard.insert_text(text)
    first = "e\u0301" if unicodedata.combining(text[1]) else text[0]
    assert made(page) == [first]


def test_a_key_that_is_held_is_one_guess(page, field):
    for _ in range(5):
        page.keyboard.down("a")
    page.keyboard.up("a")
    assert made(page) == ["a"]


def test_what_is_typed_while_an_answer_is_on_its_way_is_neither_lost_nor_doubled(page, field):
    page.keyboard.type("abcde")
    assert made(page) == [*"abcde"]
    assert page.evaluate("window.told.length") == 5


def test_a_guess_that_got_lost_is_sent_once_more(page, field):
    page.evaluate("window.lost = 1")
    page.keyboard.type("ab")
    assert made(page, 4_000) == ["a", "b"]


def test_a_refused_guess_makes_way_for_the_next(page, field):
    page.evaluate("window.lost = 1")
    page.keyboard.type("☃a")
    page.evaluate("window.data = {...window.data, refused: 1, notice: 'no such letter'}; window.draw()")
    assert made(page) == ["a"]


# ---- the keyboards of phones, which name no key

PHONE = """
(steps) => {
    const field = document.querySelector("div").shadowRoot.querySelector("input")
    const fire = (kind, init) => field.dispatchEvent(new kind.of(kind.name, { bubbles: true, ...init }))
    const composing = { isComposing: true, inputType: "insertCompositionText" }
    return steps.reduce((before, [what, text, pause]) => before.then(() => {
        field.dispatchEvent(new KeyboardEvent("keydown", { key: "Unidentified", keyCode: 229, bubbles: true }))
        if (what === "start") field.dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true }))
        field.value = text
        if (what === "type") field.dispatchEvent(new InputEvent("input", { inputType: "insertText", data: text }))
        else if (what === "break") field.dispatchEvent(new InputEvent("beforeinput", { inputType: "insertLineBreak" }))
        else field.dispatchEvent(new InputEvent("input", { ...composing, data: text }))
        if (what === "end") field.dispatchEvent(new CompositionEvent("compositionend", { data: text, bubbles: true }))
        return new Promise((done) => setTimeout(done, pause ?? 30))
    }), Promise.resolve())
}
"""


@pytest.mark.parametrize(
    ("steps", "letters"),
    [
        ([["type", "e"], ["type", "x"]], "ex"),
        ([["start", "e"], ["end", "e"], ["start", "x"], ["end", "x"]], "ex"),
        ([["start", "t"], ["update", "th"], ["update", "the"], ["end", "the"], ["type", " "]], "the "),
        ([["start", "t", 1_000], ["update", "th", 1_000], ["end", "th"]], "th"),  # each is answered during the pause
        ([["start", "t"], ["update", "th"], ["end", "these"]], "t"),  # a suggestion was taken
        ([["start", "hello"], ["end", "hello"]], "h"),  # swipe typing
        ([["break", ""], ["type", "a"]], "\na"),
    ],
)
def test_on_a_phone_each_letter_is_one_guess_also_within_a_word_that_is_composed(page, field, steps, letters):
    page.evaluate(PHONE, steps)
    assert "".join(made(page)) == letters


def test_on_a_phone_a_syllable_is_waited_for_where_letters_are_composed(page, field):
    options = [{"character": "의", "shown": "의", "name": "의"}]
    page.evaluate("(options) => { window.data = { ...window.data, options }; window.draw() }", options)
    page.evaluate(PHONE, [["start", "ㅎ", 900], ["update", "하", 900], ["update", "한", 900], ["end", "한"]])
    assert made(page) == ["한"]
