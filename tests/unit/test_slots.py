"""Fewer places than runs: turns, arrivals and departures, on a clock that the tests move."""

import os
from collections import Counter

import pytest

from microllm.environment import default_slots
from microllm.jobs.slots import Slots

TICK = 0.25
BEGUN = 3  # ticks with a place


class Clock:
    """Seconds that pass when a test says so, and how many ticks each run has had a place."""

    def __init__(self):
        self.now = 0.0
        self.had = Counter()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slots(clock):
    """One place, turns of 3 s, first turns of 5 s."""
    return Slots(1, clock=clock)


def training(slots: Slots, clock: Clock, runs: str | list[str], seconds: float) -> list[set[str]]:
    """Let every run ask at each tick, as training threads do: who had a place after each of the ticks."""
    seen = []
    for _ in range(round(seconds / TICK)):
        seen.append({run for run in runs if slots.may_train(run, clock.had[run] >= BEGUN)})
        clock.had.update(seen[-1])
        clock.now += TICK
    return seen


def seconds_of(run: str, ticks: list[set[str]]) -> float:
    return TICK * sum(run in tick for tick in ticks)


def turns(ticks: list[set[str]]) -> list[tuple[str, float]]:
    """For one place: (run, seconds) of each turn; moments in which nobody trained are left out."""
    found: list[tuple[str, float]] = []
    for tick in filter(None, ticks):
        (run,) = tick
        if found and found[-1][0] == run:
            found[-1] = (run, found[-1][1] + TICK)
        else:
            found.append((run, TICK))
    return found


def test_a_lone_run_is_never_interrupted(slots, clock):
    assert training(slots, clock, "a", seconds=1_000) == [{"a"}] * 4_000


def test_one_place_is_handed_round_in_turns(slots, clock):
    ticks = training(slots, clock, "abc", seconds=60)
    order = [run for run, _ in turns(ticks)]
    assert order[:9] == list("abcabcabc")
    for run, seconds in turns(ticks)[6:-1]:  # each has begun, and has had the rest of its first turn
        assert seconds == pytest.approx(slots.turn, abs=TICK), run


def test_the_place_is_hardly_ever_empty_while_somebody_waits(slots, clock):
    ticks = training(slots, clock, "abc", seconds=60)
    assert ticks.count(set()) <= len(turns(ticks))  # one tick at most to take over


def test_everybody_gets_the_same_share(clock):
    ticks = training(Slots(2, clock=clock), clock, "abcde", seconds=600)
    shares = [seconds_of(run, ticks) for run in "abcde"]
    assert max(shares) <= 1.2 * min(shares)
    assert sum(shares) >= 0.9 * 2 * 600


def test_never_do_more_train_than_there_are_places(clock):
    ticks = training(Slots(3, clock=clock), clock, "abcdefgh", seconds=100)
    assert max(map(len, ticks)) == 3


def test_a_free_place_is_taken_at_once(clock):
    slots = Slots(3, clock=clock)
    assert all(slots.may_train(run) for run in "abc")
    assert not slots.may_train("d")


def test_a_new_run_starts_at_once_when_the_others_have_had_their_first_seconds(slots, clock):
    training(slots, clock, "ab", seconds=20)
    ticks = training(slots, clock, "abn", seconds=1)
    assert {"n"} in ticks[:2]


def test_a_new_run_keeps_its_place_until_it_has_begun_though_others_are_new_too(slots, clock):
    assert slots.may_train("n", has_begun=False)
    while clock.now < slots.first:
        assert slots.may_train("n", has_begun=False)
        assert not slots.may_train("m", has_begun=False)
        clock.now += TICK


def test_in_a_rush_all_begin_first_and_then_have_the_rest_of_their_first_turns(slots, clock):
    training(slots, clock, ["old"], seconds=10)
    in_turn = turns(training(slots, clock, [*"abcdefgh", "old"], seconds=8 * (slots.first + 2 * TICK) + 3))
    begin = [(run, pytest.approx(BEGUN * TICK, abs=TICK)) for run in "abcdefg"]
    rest = [(run, pytest.approx(slots.first - BEGUN * TICK, abs=2 * TICK)) for run in "abcdefg"]
    assert in_turn[:16] == [*begin, ("h", slots.first), *rest, ("old", slots.turn)]


def test_one_more_new_run_comes_before_the_rests_of_first_turns(slots, clock):
    training(slots, clock, "abc", seconds=2)
    assert {"n"} in training(slots, clock, "abcn", seconds=2 * TICK)
    order = [run for run, _ in turns(training(slots, clock, "abcn", seconds=25))]
    assert sorted(order[:4]) == list("abcn")


def test_who_pauses_gives_up_the_rest_of_a_first_turn(slots, clock):
    training(slots, clock, "ab", seconds=1)  # a has begun, and lent its place to b
    slots.leave("a")
    ticks = training(slots, clock, "ba", seconds=20)
    assert turns(ticks)[1] == ("a", slots.turn)


@pytest.mark.parametrize("begins, leaves", [(2, 5), (9, 9), (1_000, 15)])
def test_a_slow_run_keeps_its_first_place_until_it_has_begun_but_not_for_ever(begins, leaves, slots, clock):
    training(slots, clock, ["old"], seconds=10)
    training(slots, clock, ["slow", "old"], seconds=TICK)
    came = clock.now = 10.0
    while slots.may_train("slow", has_begun=clock.now - came >= begins):
        slots.may_train("old")
        clock.now += TICK
    assert clock.now - came == pytest.approx(leaves, abs=2 * TICK)


def test_only_a_first_turn_waits_for_a_slow_run(slots, clock):
    (now,) = training(slots, clock, "ab", seconds=20)[-1]  # its second turn, or a later one
    clock.now += 3
    assert not slots.may_train(now, has_begun=False)


def test_new_runs_start_in_the_order_in_which_they_came(slots, clock):
    ticks = training(slots, clock, "a", seconds=20) + training(slots, clock, "axyz", seconds=20)
    assert [run for run, _ in turns(ticks)][:4] == list("axyz")


def test_a_new_run_goes_before_those_that_wait_for_another_turn(slots, clock):
    training(slots, clock, "abc", seconds=30)
    slots.may_train("n")
    order = [run for run, _ in turns(training(slots, clock, "abcn", seconds=20))]
    assert order.index("n") <= 1


def test_a_run_that_came_back_is_not_new(slots, clock):
    training(slots, clock, "ab", seconds=20)
    slots.leave("a")
    training(slots, clock, "b", seconds=20)
    slots.may_train("n")
    ticks = training(slots, clock, "nab", seconds=30)
    order = [run for run, _ in turns(ticks)]
    assert order.index("n") < order.index("a")
    assert seconds_of("n", ticks[: round(5 / TICK) + 2]) == pytest.approx(5, abs=2 * TICK)


def test_thirty_runs_on_one_place_each_get_their_first_turn_within_their_share(slots, clock):
    runs = [f"run {i}" for i in range(30)]
    ticks = training(slots, clock, runs, seconds=30 * (slots.first + TICK))
    starts = [next(i for i, tick in enumerate(ticks) if run in tick) * TICK for run in runs]
    for place, start in enumerate(starts):
        assert start <= place * (slots.first + TICK)


def test_leaving_gives_the_place_to_the_next(slots):
    assert slots.may_train("a")
    assert not slots.may_train("b")
    slots.leave("a")
    assert slots.may_train("b")


def test_leaving_ends_the_wait_for_a_place(slots):
    for run in "abc":
        slots.may_train(run)
    slots.leave("b")
    slots.leave("a")
    assert slots.seconds_to_turn("b") is None
    assert slots.may_train("c")


def test_leaving_twice_and_leaving_unasked_do_nothing(slots):
    slots.may_train("a")
    slots.leave("nobody")
    assert slots.may_train("a")
    slots.leave("a")
    slots.leave("a")
    assert slots.may_train("b")


def test_who_has_a_place_or_does_not_want_one_waits_for_nothing(slots):
    slots.may_train("a")
    assert slots.seconds_to_turn("a") is None
    assert slots.seconds_to_turn("stranger") is None


@pytest.mark.parametrize("count", [1, 2])
def test_the_seconds_to_a_turn_come_true(count, clock):
    slots = Slots(count, clock=clock)
    runs = "abcdefg"
    training(slots, clock, runs, seconds=50)  # until all are old acquaintances
    said = {run: seconds for run in runs if (seconds := slots.seconds_to_turn(run)) is not None}
    ticks = training(slots, clock, runs, seconds=30)
    assert len(said) == len(runs) - count
    for run, seconds in said.items():
        start = TICK * next(i for i, tick in enumerate(ticks) if run in tick)
        assert start == pytest.approx(seconds, abs=2), run


def test_the_seconds_to_a_turn_count_down(slots, clock):
    training(slots, clock, "ab", seconds=20)
    waiting = next(run for run in "ab" if slots.seconds_to_turn(run) is not None)
    before = slots.seconds_to_turn(waiting)
    clock.now += 0.5
    assert slots.seconds_to_turn(waiting) == before - 0.5


@pytest.mark.parametrize(("wish", "places"), [("5", 5), ("1", 1), ("0", 1)])
def test_the_number_of_places_can_be_wished_for(wish, places, monkeypatch):
    monkeypatch.setenv("MICROLLM_SLOTS", wish)
    assert default_slots() == Slots().count == places


@pytest.mark.parametrize(("cores", "places"), [(8, 7), (2, 1), (1, 1), (None, 1)])
@pytest.mark.parametrize("wish", [None, "", "many", "-3", "nan"])
def test_without_a_usable_wish_one_core_is_left_to_the_server(wish, cores, places, monkeypatch):
    monkeypatch.delenv("MICROLLM_SLOTS", raising=False)
    if wish is not None:
        monkeypatch.setenv("MICROLLM_SLOTS", wish)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_slots() == places


def test_two_new_runs_start_at_once_when_two_others_have_had_their_first_seconds(clock):
    slots = Slots(2, clock=clock)
    training(slots, clock, "abc", seconds=30)
    slots.may_train("m")
    slots.may_train("n")
    assert {"m", "n"} in training(slots, clock, "abcmn", seconds=1)[:3]


def test_the_seconds_to_a_first_turn_learn_how_long_the_others_took_to_begin(slots, clock):
    rush = [f"run {i}" for i in range(20)]
    training(slots, clock, rush, seconds=TICK)
    assert slots.seconds_to_turn("run 19") == pytest.approx(19 * slots.first, abs=TICK)  # nobody knows better yet
    training(slots, clock, rush, seconds=8)
    said = slots.seconds_to_turn("run 19")
    ticks = training(slots, clock, rush, seconds=20)
    assert TICK * next(i for i, tick in enumerate(ticks) if "run 19" in tick) == pytest.approx(said, abs=1.5)
