"""The eight experiments. `python -m benchmarks.experiments` repeats them and fails when a statement is not true."""

from __future__ import annotations

from collections.abc import Sequence

from . import measurements
from .experiment import Check, Experiment, Finding, Measured, Setup

_TABLES = ("table_1", "table_2", "table_3", "table_5")


def _first_true(**predictions: bool) -> str | None:
    """The key of the first prediction that came true; underscores stand for hyphens."""
    return next((key.replace("_", "-") for key, is_true in predictions.items() if is_true), None)


# ---- the answer is visible


def _let_it_cheat(runs: Sequence[Measured]) -> Check:
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
                f"{100 * words[0]:.0f}\u00a0% without the mask, {100 * words[1]:.0f}\u00a0% with it",
            ),
        ),
    )


LET_IT_CHEAT = Experiment(
    title="Let it cheat",
    question="Without the causal mask, a model can see the very character that it should predict. Will it be better?",
    predictions={
        "better": "Its loss is lower, and it writes better.",
        "worse": "Its loss is lower, but it writes worse.",
        "higher": "Its loss is higher: the future confuses it.",
    },
    setups=(
        Setup("mask off", values={"causal": False, "max_steps": 300, "eval_interval": 100}),
        Setup("mask on", values={"max_steps": 300, "eval_interval": 100}),
    ),
    watch="First the loss: how soon does it pass the dashed lines? Then what it writes.",
    why="The model has learned to copy the next character from its input. When it writes, there is none to copy, and "
    "it has learned little else. A low loss is worth nothing if the model saw the answer. The same happens, less "
    "visibly, whenever test data leaks into training data.",
    check=_let_it_cheat,
    more=measurements.share_of_real_words,
)


# ---- memory


def _one_character(runs: Sequence[Measured]) -> Check:
    one, two = runs
    pairs, triples = (two.references[name] for name in ("table_2", "table_3"))
    gap = one.last - pairs
    return Check(
        _first_true(below=gap < -0.03, on_the_line=abs(gap) <= 0.03, above=gap > 0.03),
        (
            Finding(
                "Seeing one character, the model ends on the line of pairs (within 0.03) and not below it.",
                -0.005 < gap <= 0.03,
                f"{one.last:.3f}; a table of pairs has {pairs:.3f}",
            ),
            Finding(
                "With two characters, it ends at least 0.15 lower.",
                two.last <= one.last - 0.15,
                f"{two.last:.3f}; a table of three characters has {triples:.3f}",
            ),
        ),
    )


ONE_CHARACTER = Experiment(
    title="One character of memory",
    question="How low can the loss of a Transformer get if it sees only one character at a time?",
    predictions={
        "below": "Below the line of pairs: it is a neural network, not a table.",
        "on-the-line": "To the line of pairs, and it stops there.",
        "above": "It never reaches the line of pairs.",
    },
    setups=(
        Setup("one character", values={"block_size": 1, "batch_size": 512, "max_steps": 600}),
        Setup("two characters", values={"block_size": 2, "batch_size": 256, "max_steps": 600}),
    ),
    watch="The dashed line “pairs of characters”. How close does the curve come, and does it cross?",
    why="From one character, nothing can predict better than how often each character follows it: that is a table of "
    "pairs. The network has 160,000 parameters and learned a table of 91 × 91 numbers. It can only win when it sees "
    "more, because a table for longer contexts needs far more text than there is.",
    check=_one_character,
)


# ---- order


def _shuffle_it(runs: Sequence[Measured]) -> Check:
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
                f"{letters.last:.3f}; letter frequencies have {letters.references['table_1']:.3f}",
            ),
            Finding(
                "From shuffled words it learns to spell: it loses at most 0.2 against the real text.",
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


SHUFFLE_IT = Experiment(
    title="Shuffle it",
    question="A text is order: of words, and of letters in words. Which of the two does this model live on?",
    predictions={
        "words": "On the order of letters: shuffled words cost it little.",
        "letters": "On the order of words: without it, most is lost.",
    },
    setups=tuple(
        Setup(label, how=how, values={"max_steps": 300, "eval_interval": 100})
        for label, how in (
            ("the book", "none"),
            ("words shuffled", "words"),
            ("letters shuffled", "letters"),
            ("backwards", "reversed"),
        )
    ),
    watch="Where each curve comes to rest, and what each of them writes.",
    why="In 300 steps, this model learns mostly how words are spelled. Shuffled words are still spelled right, so it "
    "can learn nearly all of that. Shuffled letters follow no rule but their frequency. Backwards, everything that "
    "helps to predict is still there: only people find that hard.",
    check=_shuffle_it,
)


# ---- copying


def _say_it_twice(runs: Sequence[Measured]) -> Check:
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


SAY_IT_TWICE = Experiment(
    title="Say it twice",
    question="A text of made-up words, each said twice. How many layers does it take to copy a word never seen before?",
    predictions={
        "one": "One layer can do it: it only has to look back.",
        "half": "One layer can do it half: a second one helps a little.",
        "two": "It takes two.",
    },
    setups=tuple(
        Setup(
            label,
            text="words-twice",
            values={"n_layer": n_layer, "block_size": 128, "batch_size": 12, "max_steps": 300, "eval_interval": 100},
        )
        for n_layer, label in ((1, "one layer"), (2, "two layers"))
    ),
    watch="The cliff: with two layers, the loss suddenly falls. On the page Attention, “Over training” shows a head "
    "that is born at the same steps.",
    why="To copy, a head has to find where this character stood last time and take the one after it. But attention "
    "compares characters one by one. It needs a first layer in which each character learns what came before it, and a "
    "second one that looks for that: an induction circuit (Olsson et al. 2022). Both must be there before either pays, "
    "so the loss falls off a cliff.",
    check=_say_it_twice,
    more=measurements.induction,
)


# ---- memorization


def _learn_by_heart(runs: Sequence[Measured]) -> Check:
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
                "The validation loss turns within 100 steps and ends worse than guessing blindly.",
                step <= 100 and run.last > blind,
                f"lowest {lowest:.3f} at step {step:,}, {run.last:.3f} at the end; guessing blindly has {blind:.3f}",
            ),
            Finding(
                "It recites at least 200 characters word for word.",
                recited >= 200,
                f"{recited:,.0f} of the {measurements.WRITTEN_CHARACTERS} that it wrote",
            ),
        ),
    )


LEARN_BY_HEART = Experiment(
    title="Learn it by heart",
    question="It reads the same 3,000 characters again and again. How well does it predict what comes after them?",
    predictions={
        "good": "Well: it knows its text perfectly.",
        "worse": "Worse and worse, but better than guessing blindly.",
        "blind": "In the end worse than guessing blindly.",
    },
    setups=(
        Setup("3,000 characters", text="shakespeare", first=3_000, values={"max_steps": 500, "eval_interval": 50}),
    ),
    watch="The gap between the training loss (blue) and the validation loss (orange). When does it open?",
    why="It has more than fifty parameters for each character, so it can store them all. It becomes certain of what it "
    "has seen, and as certain where that is wrong: a confident error costs more than guessing blindly. More text, or "
    "dropout, works against that.",
    check=_learn_by_heart,
    more=measurements.longest_recitation,
)


# ---- learning rate


def _too_slow_too_fast(runs: Sequence[Measured]) -> Check:
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
                f"{fast:.3f}; letter frequencies have {letters:.3f}",
            ),
        ),
    )


TOO_SLOW_TOO_FAST = Experiment(
    title="Too slow, too fast",
    question="Four learning rates: 0.00003, 0.0003, 0.003 and 0.3. Which is best after 300 steps?",
    predictions={
        "small": "One of the two small ones: careful steps lead furthest.",
        "middle": "0.003, the third.",
        "largest": "0.3, the largest: large steps lead furthest.",
    },
    setups=tuple(
        Setup(
            f"learning_rate {rate:.5f}".rstrip("0"),
            values={
                "optimizer": "adamw",
                "schedule": "constant",
                "learning_rate": rate,
                "max_steps": 300,
                "eval_interval": 100,
            },
        )
        for rate in (3e-5, 3e-4, 3e-3, 0.3)
    ),
    watch="How steeply each curve falls, and whether it trembles.",
    why="The gradient says which way is down, but only for the place where the model stands. Steps that are too small "
    "arrive late. Steps that are too large go past the low place and end higher on its other side.",
    check=_too_slow_too_fast,
)


# ---- positions


def _where_am_i(runs: Sequence[Measured]) -> Check:
    blind_1, knows_1, blind_3, knows_3 = (run.last for run in runs)
    gap_1, gap_3 = blind_1 - knows_1, blind_3 - knows_3
    return Check(
        _first_true(nothing=gap_1 < 0.1, repaired=gap_3 < 0.1, partly=gap_3 < gap_1, more=True),
        (
            Finding(
                "A single layer loses at least 0.3 if it is not told where its characters are.",
                gap_1 >= 0.3,
                f"{blind_1:.3f} without positions, {knows_1:.3f} with them",
            ),
            Finding(
                "Two more layers help a model without positions, and do not close the gap.",
                blind_3 < blind_1 and gap_3 > 0.1,
                f"with three layers {blind_3:.3f} without positions, {knows_3:.3f} with them",
            ),
        ),
    )


WHERE_AM_I = Experiment(
    title="Where am I?",
    question="Attention sees a set of characters. What is lost if nothing tells it where each of them is?",
    predictions={
        "nothing": "Next to nothing.",
        "repaired": "A single layer suffers, three layers do as well as with positions.",
        "partly": "A single layer suffers most; three layers suffer less.",
        "more": "Three layers suffer more than one.",
    },
    setups=tuple(
        Setup(label, values={"position": position, "n_layer": n_layer, "max_steps": 400})
        for n_layer, position, label in (
            (1, "none", "one layer, no positions"),
            (1, "relative", "one layer, positions"),
            (3, "none", "three layers, no positions"),
            (3, "relative", "three layers, positions"),
        )
    ),
    watch="How far apart the curves with and without positions come to rest.",
    why="Without positions, a layer sees the present character and a bag of the earlier ones: their order makes no "
    "difference to it. Only the causal mask gives something away, because each character sees one more than the one "
    "before. Further layers can build a sense of order from that, slowly.",
    check=_where_am_i,
)


# ---- a head


def _around(steps: list[int], step: int) -> list[int]:
    """The first of some steps, the one before `step`, that step, and the last."""
    place = steps.index(step) if step in steps else 0
    return sorted({steps[0], steps[max(0, place - 1)], steps[place], steps[-1]})


def _a_head_is_born(runs: Sequence[Measured]) -> Check:
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
            "It begins at chance and ends with more than 0.9 of its attention on the previous character.",
            shares[steps[0]] < 1.2 * chance and shares[steps[-1]] > 0.9,
            f"{where}: "
            + ", ".join(f"{shares[step]:.2f} at step {step:,}" for step in _around(steps, born))
            + f"; chance {chance:.2f}",
        ),
        Finding(
            "It is twice chance at the first snapshot with a loss below the line of pairs.",
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


A_HEAD_IS_BORN = Experiment(
    title="A head is born",
    question="One head of the article's model looks only at the previous character. When did it begin to?",
    predictions={
        "start": "From the start: attention prefers what is near.",
        "pairs": "When the loss passes what pairs of characters can tell.",
        "end": "Late, when everything else is learned.",
    },
    shipped="pride-article",
    watch="The line that rises above the others in “Over training”, and where the loss is at that step.",
    why="Pairs of characters need no attention: the character itself is enough. To do better, the model has to know "
    "what came before, and a head that always looks one back brings it. Nobody told it to: it pays, so it grows. The "
    "feed-forward networks turn what the head brings into a prediction.",
    check=_a_head_is_born,
    more=measurements.birth_of_a_head,
)


EXPERIMENTS: dict[str, Experiment] = {
    "let-it-cheat": LET_IT_CHEAT,
    "one-character": ONE_CHARACTER,
    "shuffle-it": SHUFFLE_IT,
    "say-it-twice": SAY_IT_TWICE,
    "learn-by-heart": LEARN_BY_HEART,
    "too-slow-too-fast": TOO_SLOW_TOO_FAST,
    "where-am-i": WHERE_AM_I,
    "a-head-is-born": A_HEAD_IS_BORN,
}
"""By key, in the order of the page."""
