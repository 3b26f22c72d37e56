"""A fork: a new run that begins with the weights of a moment of another, and goes on differently from there."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from ..config import LIVE, TrainConfig, problems
from ..data.decode import TextProblem
from ..data.store import keep_text, load_text
from ..data.texts import Text, load_corpus
from ..storage import write_atomically
from ..tokenizer import CharTokenizer
from . import catalog
from .checkpoint import TrainerState
from .history import replayed
from .info import Parent, RunProblem
from .metrics import logged_before
from .run import Run

CHANGES = (*LIVE, "max_steps")
"""The settings in which a fork may differ from its parent."""

LEAST_LEFT = 0.5
"""The share of another text that must be left when the characters that the parent never met are removed: with less,
most words would be torn. (Of a Greek text the spaces and punctuation that an English model knows are a fifth.)"""


def fork(parent: Run, step: int, text: Text | None = None, owner_key: str | None = None, **changes: float) -> Run:
    """A new run, owned by whoever has `owner_key`, that begins with the weights that `parent` had at `step`, a snapshot.

    With the parent's own text it goes on from that step and has the parent's curve for its past. The optimisers go on
    with what they remember where there is a checkpoint of that very step; elsewhere they begin anew. Another `text` is
    learned from step 0, with a learning-rate curve of its own, in the characters of the parent: those that it never met
    are left out. `changes` are some of CHANGES.

    Raises RunProblem without such a snapshot, ValueError for a setting, TextProblem, OSError.
    """
    info = parent.read_info()
    if step not in parent.list_snapshots():
        raise RunProblem(f"{info.name} kept no weights of step {step:,}: nothing can begin there.")
    if others := sorted(changes.keys() - set(CHANGES)):
        raise ValueError(f"{', '.join(others)} cannot change in a fork: only {', '.join(CHANGES)} can.")
    weights = parent.model_at(step).state_dict()
    if text is None or text.sha256 == info.text.sha256:
        found = parent.load_checkpoint(step)
        there = found[1] if found else {}
        state = found[0] if found else TrainerState(step, _seconds(parent, step), weights, {})
        before = info.old_text  # what a fork has learned before, its forks have too
        left_out = info.parent.left_out if before else ""
        origin = Parent(info.id, info.name, step, True, bool(found), before, left_out, info.is_private)
        text, past = info.text, logged_before(parent.folder / "metrics.jsonl", step)
    else:
        text, left_out = in_characters_of(parent.tokenizer, text)
        origin = Parent(info.id, info.name, step, False, False, info.text, left_out, info.is_private)
        there, state, past = {}, TrainerState(0, 0.0, weights, {}), b""

    def fill(run: Run) -> None:
        write_atomically(run.folder / "metrics.jsonl", past)
        run.save_snapshot(state.step, weights)
        run.save_checkpoint(state, there)

    return catalog.create(
        info.model,
        settings(parent, step, state.step, text.characters, **changes),
        text,
        preset=info.preset,
        threads=info.threads,
        owner_key=owner_key,
        parent=origin,
        vocab=parent.tokenizer.vocab if origin.text else None,
        fill=fill,
    )


def in_characters_of(tokenizer: CharTokenizer, text: Text) -> tuple[Text, str]:
    """(the text without the characters that `tokenizer` does not know, those characters). Raises TextProblem."""
    characters, left_out = what_is_left(tokenizer, text)
    if not left_out:
        return text, ""
    known = load_text(text.sha256).translate(dict.fromkeys(map(ord, left_out)))
    name = f"{text.name}, without {len(left_out)} characters"
    return replace(text, name=name, sha256=keep_text(known), characters=characters, floor=None), left_out


def what_is_left(tokenizer: CharTokenizer, text: Text) -> tuple[int, str]:
    """(how many characters of the text a model with this tokenizer can read, the different ones that it cannot).

    Raises TextProblem where that is less than LEAST_LEFT of the text: punctuation alone is no text to learn from.
    """
    corpus = load_corpus(text.sha256)
    left_out = "".join(tokenizer.unknown(corpus.tokenizer.vocab))
    counts = corpus.counts
    left = len(corpus) - sum(counts[i] for i in corpus.tokenizer.encode(left_out))
    if left < LEAST_LEFT * len(corpus):
        raise TextProblem(
            f"Only {left:,} of the {len(corpus):,} characters of {text.name} are ones that this model knows, and a "
            f"fork needs {LEAST_LEFT:.0%} at least. Choose a text in the same script, or train a new model on this one."
        )
    return left, left_out


def settings(parent: Run, step: int, first_step: int, characters: int, **changes: float) -> TrainConfig:
    """The parent's settings as they stood at `step`, with some changes.

    Raises ValueError when a fork with them, on a text of so many characters, has no step to make after `first_step`, or
    for any other problem.
    """
    info, train = parent.read_info(), replace(settings_at(parent, step), **changes)
    if found := problems(info.model, train, characters):
        raise ValueError(" ".join(found.values()))
    if train.max_steps <= first_step:
        raise ValueError(f"max_steps is {train.max_steps:,}: {info.name} has made {first_step:,} there already.")
    return train


def settings_at(run: Run, step: int) -> TrainConfig:
    """The settings of a run as they stood at a step; without a loss to stop at that was reached by then."""
    train = replayed(run.read_info().train, run.history.changes(), step)
    if any(loss <= train.stop_at_loss for at, loss in run.history.read().val_losses if at <= step):
        return replace(train, stop_at_loss=0.0)  # a fork would stop at once
    return train


def _seconds(run: Run, step: int) -> float:
    """The time that a run had trained at a step."""
    rows = run.history.read().rows
    i = bisect_left(rows["step"], step)
    return rows["seconds"][i] if i < len(rows["step"]) else 0.0
