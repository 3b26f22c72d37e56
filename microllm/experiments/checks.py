"""What the runs of each experiment have to show: which prediction came true, and which statements are true.

Each function takes the measurements of all runs of one experiment, in the order of its setups (see registry.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..jobs.samples import SAMPLE_CHARACTERS
from . import measurements
from .experiment import Check, Finding, Measured

_TABLES = ("table_1", "table_2", "table_3", "table_5")


def _first_true(**predictions: bool) -> str | None:
    """The key of the first prediction that came true; underscores stand for hyphens."""
    return next((key.replace("_", "-") for key, is_true in predictions.items() if is_true), None)


def let_it_cheat(runs: Sequence[Measured]) -> Check:
    """Check a run without the causal mask, and one with it."""
    cheat, honest = runs
    counting = min(cheat.references[name] for name in _TABLES)
    passed = cheat.first_below(counting)
    words = [run.more.get("real words", 0.0) for run in runs]
    return Check(
        _first_true(
            higher=cheat.last >= honest.last,
            better=cheat.last < honest.last and words[0] >= words[1],
            worse=cheat.last < honest.last and words[0] < words[1],
        ),
        (
            Finding(
                "Without the mask, the loss falls below every counting table within 100 steps.",
                passed is not None and passed <= 100,
                f"the best table has {counting:.3f}; "
                + (f"first below it at step {passed:,}" if passed is not None else "never below it"),
            ),
            Finding(
                "It ends at less than a tenth of the honest loss.",
                cheat.last < honest.last / 10,
                f"{cheat.last:.3f} without the mask, {honest.last:.3f} with it",
            ),
            Finding(
                "Yet it writes fewer real words than the honest model.",
                words[0] < words[1],
                f"{100 * words[0]:.0f}\u00a0% without the mask, {100 * words[1]:.0f}\u00a0% with it, of the words in "
                f"{measurements.WRITTEN_CHARACTERS} characters (the sample on the Train page is the first "
                f"{SAMPLE_CHARACTERS})",
            ),
        ),
    )


def one_character(runs: Sequence[Measured]) -> Check:
    """Check a run that sees one character, and one that sees two."""
    one, two = runs
    pairs, triples = (two.references[name] for name in ("table_2", "table_3"))
    gap = one.last - pairs
    return Check(
        _first_true(below=gap < -0.03, on_the_line=abs(gap) <= 0.03, above=gap > 0.03),
        (
            Finding(
                "With one character, the model ends on the line of pairs (within 0.03), not below it.",
                -0.005 < gap <= 0.03,
                f"{one.last:.3f}; a table of pairs gives {pairs:.3f}",
            ),
            Finding(
                "With two characters, it ends at least 0.15 lower.",
                two.last <= one.last - 0.15,
                f"{two.last:.3f}; a 3-character table gives {triples:.3f}",
            ),
        ),
    )


def shuffle_it(runs: Sequence[Measured]) -> Check:
    """Check runs on the book as it is, with shuffled words, with shuffled letters, and backwards."""
    whole, words, letters, backwards = runs
    return Check(
        _first_true(
            letters=words.last - whole.last > letters.last - words.last,
            words=words.last - whole.last <= letters.last - words.last,
        ),
        (
            Finding(
                "From shuffled letters it learns how often each letter occurs and no more: it ends within 0.02 of that "
                "line.",
                abs(letters.last - letters.references["table_1"]) <= 0.02,
                f"{letters.last:.3f}; letter frequencies give {letters.references['table_1']:.3f}",
            ),
            Finding(
                "From shuffled words it learns to spell: its loss is at most 0.2 higher than on the real text.",
                0.05 <= words.last - whole.last <= 0.2,
                f"{words.last:.3f}, and {whole.last:.3f} on the real text",
            ),
            Finding(
                "Backwards, it learns as well as forwards (within 0.03).",
                abs(backwards.last - whole.last) <= 0.03,
                f"{backwards.last:.3f} backwards, {whole.last:.3f} forwards",
            ),
        ),
    )


def say_it_twice(runs: Sequence[Measured]) -> Check:
    """Check a run with one layer, and one with two, on words that are each said twice."""
    one, two = runs
    shares = [run.more["induction"] if run.more else 0.0 for run in runs]
    chance = two.more.get("chance", 0.0)
    cliff = two.val_losses[32] - two.last
    return Check(
        _first_true(one=one.last < two.last + 0.1, two=one.last >= two.last + 0.5, half=True),
        (
            Finding(
                "With two layers, the loss falls by more than a nat after step 32.",
                cliff > 1,
                f"{two.val_losses[32]:.3f} at step 32, {two.last:.3f} at the end",
            ),
            Finding(
                "One layer ends more than half a nat higher.",
                one.last > two.last + 0.5,
                f"{one.last:.3f} with one layer, {two.last:.3f} with two",
            ),
            Finding(
                "In the second layer, a head attends to what followed this character last time: more than ten times as "
                "much as chance, and twice as much as any head of the single layer.",
                two.more.get("layer") == 2 and shares[1] > 10 * chance and shares[1] > 2 * shares[0],
                f"{shares[1]:.2f} with two layers, {shares[0]:.2f} with one, chance {chance:.3f}",
            ),
        ),
    )


def learn_by_heart(runs: Sequence[Measured]) -> Check:
    """Check a run on very little text."""
    (run,) = runs
    step, lowest = run.lowest
    blind, recited = run.references["uniform"], run.more.get("recited", 0)
    return Check(
        _first_true(
            good=run.last <= lowest + 0.1,
            worse=lowest + 0.1 < run.last < blind,
            blind=run.last >= blind,
        ),
        (
            Finding(
                "The training loss ends below 0.2.",
                run.train_loss < 0.2,
                f"{run.train_loss:.3f}",
            ),
            Finding(
                "The validation loss starts to rise within 100 steps and ends worse than guessing blindly.",
                step <= 100 and run.last > blind,
                f"lowest {lowest:.3f} at step {step:,}, {run.last:.3f} at the end; guessing blindly gives {blind:.3f}",
            ),
            Finding(
                "It recites at least 200 characters word for word.",
                recited >= 200,
                f"{recited:,.0f} of the {measurements.WRITTEN_CHARACTERS} that it wrote",
            ),
        ),
    )


def too_slow_too_fast(runs: Sequence[Measured]) -> Check:
    """Check four runs, each with a larger learning rate than the one before."""
    slow, small, good, fast = (run.last for run in runs)
    letters = runs[3].references["table_1"]
    return Check(
        _first_true(largest=fast < min(slow, small, good), middle=good < min(slow, small, fast), small=True),
        (
            Finding(
                "The loss after 300 steps forms a valley: it falls with each larger rate, then rises.",
                slow > small > good < fast,
                f"{slow:.3f}, {small:.3f}, {good:.3f}, {fast:.3f}",
            ),
            Finding(
                "The smallest rate ends more than a nat above the best.",
                slow > good + 1,
                f"{slow:.3f} against {good:.3f}",
            ),
            Finding(
                "The largest rate ends no better than letter frequencies (within 0.05).",
                fast > letters - 0.05,
                f"{fast:.3f}; letter frequencies give {letters:.3f}",
            ),
        ),
    )


def where_am_i(runs: Sequence[Measured]) -> Check:
    """Check runs with one layer, without and with positions, and with three layers, without and with positions."""
    blind_1, knows_1, blind_3, knows_3 = (run.last for run in runs)
    gap_1, gap_3 = blind_1 - knows_1, blind_3 - knows_3
    return Check(
        _first_true(nothing=gap_1 < 0.1, repaired=gap_3 < 0.1, partly=gap_3 < gap_1, more=True),
        (
            Finding(
                "Without positions, the loss of a single layer is at least 0.3 higher.",
                gap_1 >= 0.3,
                f"{blind_1:.3f} without positions, {knows_1:.3f} with them",
            ),
            Finding(
                "Two more layers help a model without positions, but do not close the gap.",
                blind_3 < blind_1 and gap_3 > 0.1,
                f"with three layers {blind_3:.3f} without positions, {knows_3:.3f} with them",
            ),
        ),
    )


def _around(steps: list[int], step: int) -> list[int]:
    """The first of some steps, the one before `step`, that step, and the last."""
    place = steps.index(step) if step in steps else 0
    return sorted({steps[0], steps[max(0, place - 1)], steps[place], steps[-1]})


def a_head_is_born(runs: Sequence[Measured]) -> Check:
    """Check the shipped run, with the scores of one head at each snapshot."""
    (run,) = runs
    shares = {int(name.split()[1]): share for name, share in run.more.items() if name.startswith("share ")}
    chance, steps = run.more["chance"], sorted(shares)
    where = f"head {run.more['layer']:.0f}.{run.more['head']:.0f}"
    pairs = run.references["table_2"]
    passed = run.first_below(pairs) or 0
    born = next((step for step in steps if shares[step] >= 2 * chance), 0)
    due = next((step for step in steps if step >= passed), 0)
    findings = [
        Finding(
            "The head begins at chance and ends with more than 0.9 of its attention on the previous character.",
            shares[steps[0]] < 1.2 * chance and shares[steps[-1]] > 0.9,
            f"{where}: "
            + ", ".join(f"{shares[step]:.2f} at step {step:,}" for step in _around(steps, born))
            + f"; chance {chance:.2f}",
        ),
        Finding(
            "It reaches twice chance at the first snapshot with a loss below the line of pairs.",
            born == due > 0,
            f"below {pairs:.3f} at step {passed:,}; twice chance at step {born:,}",
        ),
    ]
    if "worth" in run.more:
        worth, second, feed_forward = (run.more[name] for name in ("worth", "next worth", "feed-forward worth"))
        findings += [
            Finding(
                "No other head is worth more.",
                worth > second,
                f"without it {worth:+.3f} nats per character; without the next {second:+.3f}",
            ),
            Finding(
                "The first feed-forward network is worth more still.", feed_forward > worth, f"{feed_forward:+.3f}"
            ),
        ]
    return Check(_first_true(start=shares[steps[0]] >= 2 * chance, pairs=born == due > 0, end=True), tuple(findings))
