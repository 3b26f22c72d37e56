"""The row of a terminal that is written over, and characters that could steer it."""

import io
import os
from types import SimpleNamespace

import pytest

from microllm import console

FACTS = ("step 1,234", "/2,000", "  training loss 1.5230", "  validation loss 1.6123 (step 1,200)")


class Screen(io.StringIO):
    """A terminal, with so many columns."""

    columns = 80

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=screen))  # pytest puts its own into sys for each phase
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((screen.columns, 24)))
    monkeypatch.setattr(console, "_row", "")
    return screen


def test_a_row_has_whole_facts_only_as_many_as_fit(screen):
    for columns in range(1, 120):
        screen.columns = columns
        screen.seek(0)
        screen.truncate()
        console.show(*FACTS)
        row = screen.getvalue().lstrip("\r").rstrip()
        whole = {"".join(FACTS[:count]) for count in range(1, len(FACTS) + 1)}
        assert row in whole or row == FACTS[0][: columns - 1].rstrip()
        assert len(screen.getvalue().lstrip("\r")) <= columns - 1


def test_where_the_width_is_unknown_a_row_has_less_than_80_columns(screen, monkeypatch):
    def unknown(_) -> os.terminal_size:
        raise OSError

    for answer in (unknown, lambda _: os.terminal_size((0, 0))):
        monkeypatch.setattr(os, "get_terminal_size", answer)
        console.show(*FACTS, "  and more than a row can hold")
        assert screen.getvalue().split("\r")[-1] == "".join(FACTS)


def test_a_shorter_row_leaves_nothing_of_the_longer_one_before_and_what_is_said_next_has_its_own(screen):
    console.show("a long row")
    console.show("short")
    console.say("done.")
    assert screen.getvalue() == "\ra long row\rshort     \ndone.\n"


def test_a_row_can_be_cleared(screen):
    console.show("10% fetched")
    console.show("")
    console.say("done.")
    assert screen.getvalue() == f"\r10% fetched\r{' ' * 11}\rdone.\n"


def test_a_row_that_was_made_for_a_wide_terminal_is_not_cleared_beyond_a_narrow_one(screen):
    console.show("x" * 70)
    screen.columns = 20
    console.show("short")
    assert screen.getvalue().split("\r")[-1] == "short".ljust(19)


def test_where_nobody_watches_there_is_no_row(capsys):
    console.show("a row")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["naïve Ünï", "Οδύσσεια", "第三回", "e\u0301", "a\u00a0b\u3000c", "🙂", ""])
def test_what_can_be_seen_stays_as_it_is(text):
    assert console.printable(text) == text


@pytest.mark.parametrize(
    "character",
    [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u200b\u200e\u202e\u2066\u2069\u2028\ufeff\ud800\u00ad"],
)
def test_what_could_steer_a_terminal_or_hide_is_made_visible(character):
    shown = console.printable(f"a{character}b")
    assert shown[0] + shown[-1] == "ab" and len(shown) > 2
    assert shown.isprintable()
