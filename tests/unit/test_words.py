"""Numbers in words: one quantity reads the same everywhere."""

import pytest

from microllm.ui.words import age, duration, percent

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (HOUR - 1, "59 min ago"),
        (HOUR, "1 h ago"),
        (DAY - 1, "23 h ago"),
        (DAY, "1 day ago"),
        (3.9 * DAY, "3 days ago"),
    ],
)
def test_an_age_is_rounded_down(seconds, words):
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1e-9, "less than 1 %"), (0.006, "1 %"), (0.714, "71 %"), (1, "100 %")],
)
def test_a_percentage_is_whole_and_does_not_break(share, words):
    assert percent(share) == words.replace(" %", "\u00a0%")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (43, "43 s"),
        (125, "2 min 5 s"),
        (1_608, "27 min"),
        (HOUR - 1, "1 h 0 min"),
        (3 * HOUR + 20 * 60, "3 h 20 min"),
    ],
)
def test_a_duration_has_at_most_two_units_and_does_not_break(seconds, words):
    assert duration(seconds) == words.replace(" ", "\u00a0")
