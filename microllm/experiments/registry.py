"""The eight experiments. `python -m benchmarks.experiments` repeats them and fails when a statement is not true."""

from __future__ import annotations

from . import checks, measurements
from .experiment import Experiment, Setup

LET_IT_CHEAT = Experiment(
    title="Let it cheat",
    question="Without the causal mask, a model can see the very character it should predict. Does that make it better?",
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
    check=checks.let_it_cheat,
    more=measurements.real_words,
)


ONE_CHARACTER = Experiment(
    title="One character of memory",
    question="How low can the loss of a Transformer get if it sees only one character at a time?",
    predictions={
        "below": "Below the line of pairs: it is a neural network, not a table.",
        "on-the-line": "To the line of pairs, where it stops.",
        "above": "It never reaches the line of pairs.",
    },
    setups=(
        Setup("one character", values={"block_size": 1, "batch_size": 512, "max_steps": 600}),
        Setup("two characters", values={"block_size": 2, "batch_size": 256, "max_steps": 600}),
    ),
    watch="The dashed line “pairs of characters”. How close does the curve come, and does it cross?",
    why="Given one character, no model can predict better than by how often each character follows it, and that is a "
    "table of pairs. The network has 160,000 parameters and learned a table of 91 × 91 numbers. It can only win when "
    "it sees more, because a table for longer contexts needs far more text than there is.",
    check=checks.one_character,
)


SHUFFLE_IT = Experiment(
    title="Shuffle it",
    question="A text has two kinds of order: of words, and of letters within words. Which does this model rely on?",
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
    watch="Where each curve levels off, and what each model writes.",
    why="In 300 steps, this model learns mostly how words are spelled. Shuffled words are still spelled right, so it "
    "can learn nearly all of that. Shuffled letters follow no rule but their frequency. Backwards, everything that "
    "helps to predict is still there: only people find that hard.",
    check=checks.shuffle_it,
)


SAY_IT_TWICE = Experiment(
    title="Say it twice",
    question="A text of made-up words, each said twice. How many layers does it take to copy a new word?",
    predictions={
        "one": "One layer can do it: it only has to look back.",
        "half": "One layer gets halfway: a second one helps a little.",
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
    why="To copy, a head has to find where this character last occurred and take the one after it. But attention "
    "compares characters one by one. It needs a first layer in which each character learns what came before it, and a "
    "second one that looks for that: an induction circuit (Olsson et al. 2022). Neither pays off without the other, so "
    "the loss falls suddenly once both are there.",
    check=checks.say_it_twice,
    more=measurements.induction,
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
    why="It has more than fifty parameters for each character, so it can memorize them all (overfitting). It becomes "
    "certain of what it has seen, and just as certain where that is wrong: a confident error costs more than guessing "
    "blindly. More text, or dropout, works against that.",
    check=checks.learn_by_heart,
    more=measurements.longest_recitation,
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
    watch="How steeply each curve falls, and how jagged it is.",
    why="The gradient says which way is down, but only at the point where the model is now. Steps that are too small "
    "take too long to get down. Steps that are too large overshoot the low point and end higher on its other side.",
    check=checks.too_slow_too_fast,
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
    watch="How far apart the curves with and without positions level off.",
    why="Without positions, a layer sees the current character and a bag of the earlier ones: their order makes no "
    "difference to it. Only the causal mask gives something away, because each character sees one more than the one "
    "before it. Further layers can slowly build a sense of order from that.",
    check=checks.where_am_i,
)


A_HEAD_IS_BORN = Experiment(
    title="A head is born",
    question="One head of the article's model looks only at the previous character. When did it begin to?",
    predictions={
        "start": "From the start: attention prefers what is near.",
        "pairs": "When the loss falls below the line of pairs.",
        "end": "Late, when everything else has been learned.",
    },
    shipped="pride-article",
    watch="The line that rises above the others in “Over training”, and where the loss is at that step.",
    why="Pairs of characters need no attention: the character itself is enough. To do better, the model has to know "
    "what came before, and a head that always looks one character back supplies that. Nobody told it to: looking there "
    "lowers the loss, so training strengthens it. The feed-forward networks turn what it supplies into a prediction.",
    check=checks.a_head_is_born,
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
