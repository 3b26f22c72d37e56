"""Forks: a new run that starts from the weights of another run at some step."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

import torch

from ..config import LIVE, ModelConfig, TrainConfig, knobs, problems
from ..data.decode import TextProblem
from ..data.store import keep_text, load_text
from ..data.texts import Text, load_corpus
from ..insight.knockout import MEAN_CHARACTERS, Part, knock_out, mean_outputs
from ..storage import write_atomically
from ..tokenizer import CharTokenizer
from ..train import validation_loss
from . import catalog
from .checkpoint import TrainerState
from .history import History, replayed
from .info import Parent, RunProblem
from .metrics import logged_before
from .run import Run

CHANGES = (*LIVE, "max_steps", "eval_interval")
"""The settings that a fork can change."""

MIN_SHARE_LEFT = 0.5
"""The share of a new text that the parent must know, since unknown characters are removed. With less, most words would
be incomplete. (An English model knows a fifth of a Greek text: its spaces and punctuation.)"""


def fork(
    parent: Run,
    step: int,
    text: Text | None = None,
    owner_key: str | None = None,
    *,
    silenced: str = "",
    **changes: float,
) -> Run:
    """A new run, owned by the holder of `owner_key`, that starts from the weights of the snapshot `step` of `parent`.

    On the parent's text it continues at that step, with a copy of the parent's curve. If there is a checkpoint of that
    step, the optimizers keep their state; otherwise only the weights were saved, and the optimizers restart. Another
    `text` is trained on from step 0, with its own learning-rate schedule and the parent's vocabulary: characters that
    the parent does not know are left out. `changes` are settings in CHANGES.

    The heads named in `silenced` (see ModelConfig) are silent from then on, in addition to those that already were. The
    fork starts with their mean output in the bias of their layer, so that the other parts get their usual inputs.

    Raises RunProblem if there is no such snapshot, ValueError for a setting, TextProblem, and OSError.
    """
    info = parent.read_info()
    if step not in parent.list_snapshots():
        raise RunProblem(f"{info.name} has no weights of step {step:,}: choose a step with a snapshot.")
    if others := sorted(changes.keys() - set(CHANGES)):
        raise ValueError(f"{', '.join(others)} cannot change in a fork: only {', '.join(CHANGES)} can.")
    model, weights, losses = _silenced(parent, step, silenced)
    new = " ".join(name for name in model.silenced.split() if name not in info.model.silenced.split())
    if text is None or text.sha256 == info.text.sha256:
        parent.load_corpus()  # a run of the gallery came without its text
        found = parent.load_checkpoint(step)
        there = found[1] if found else {}
        state = found[0] if found else TrainerState(step, _seconds(parent, step), weights, {})
        before = info.old_text  # also learned by the fork of a fork
        left_out = info.parent.left_out if before else ""
        memory = bool(found)
        origin = Parent(info.id, info.name, step, True, memory, before, left_out, info.is_private, new, losses)
        text, past = info.text, logged_before(parent.folder / "metrics.jsonl", step)
    else:
        text, left_out = in_characters_of(parent.tokenizer, text)
        origin = Parent(info.id, info.name, step, False, False, info.text, left_out, info.is_private)
        there, state, past = {}, TrainerState(0, 0.0, weights, {}), b""

    def fill(run: Run) -> None:
        write_atomically(run.folder / "metrics.jsonl", past)
        run.save_snapshot(state.step, weights)
        run.save_checkpoint(replace(state, model=weights), there)

    return catalog.create(
        model,
        settings(parent, step, state.step, text.characters, **changes),
        text,
        preset=info.preset,
        threads=info.threads,
        owner_key=owner_key,
        parent=origin,
        is_repeatable=info.is_repeatable or not origin.has_memory,  # with it, a script repeats the parent's steps
        vocab=parent.tokenizer.vocab,  # that of the weights: another text, or an edited one, may have fewer characters
        fill=fill,
    )


def _silenced(
    parent: Run, step: int, names: str
) -> tuple[ModelConfig, dict[str, torch.Tensor], tuple[float, float] | None]:
    """The model of a fork in which these heads are silenced too, its weights, and its Parent.losses.

    Raises ValueError for a head that does not exist, and TextProblem.
    """
    config, model = parent.read_info().model, parent.model_at(step)
    wanted = replace(config, silenced=f"{config.silenced} {names}".strip())
    if problem := problems(wanted, parent.read_info().train).get("silenced"):
        raise ValueError(problem)
    new, losses = sorted(wanted.silenced_heads - config.silenced_heads), None
    if new:
        corpus = parent.load_corpus()
        inputs, _ = corpus.validation_windows(config.block_size, MEAN_CHARACTERS)
        without = knock_out(model, (Part(*head) for head in new), mean_outputs(model, inputs))
        losses = validation_loss(model, corpus), validation_loss(without, corpus)
        model = without
    return wanted, model.state_dict(), losses


def recovered_after(parent: Parent, history: History) -> int | None:
    """The number of steps after which a fork that silenced heads was back at the validation loss it had with them.

    None if it is not back yet, or silenced no heads. `history` is that of the fork.
    """
    if parent.losses is None:
        return None
    back = (step - parent.step for step, loss in history.val_losses if step >= parent.step and loss <= parent.losses[0])
    return next(back, None)


def in_characters_of(tokenizer: CharTokenizer, text: Text) -> tuple[Text, str]:
    """(the text without the characters that `tokenizer` does not know, these characters). Raises TextProblem."""
    characters, left_out = what_is_left(tokenizer, text)
    if not left_out:
        return text, ""
    known = load_text(text.sha256).translate(dict.fromkeys(map(ord, left_out)))
    name = f"{text.name}, without {len(left_out)} characters"
    return replace(text, name=name, sha256=keep_text(known), characters=characters, floor=None), left_out


def what_is_left(tokenizer: CharTokenizer, text: Text) -> tuple[int, str]:
    """(the number of characters of the text that the tokenizer knows, the distinct ones that it does not know).

    Raises TextProblem if it knows less than MIN_SHARE_LEFT of the text.
    """
    corpus = load_corpus(text.sha256)
    left_out = "".join(tokenizer.unknown(corpus.tokenizer.vocab))
    counts = corpus.counts
    left = len(corpus) - sum(counts[i] for i in corpus.tokenizer.encode(left_out))
    if left < MIN_SHARE_LEFT * len(corpus):
        raise TextProblem(
            f"This model knows only {left:,} of the {len(corpus):,} characters of {text.name}; a fork needs at least "
            f"{100 * MIN_SHARE_LEFT:.0f} %. Choose a text in the same script, or train a new model on this one."
        )
    return left, left_out


def settings(parent: Run, step: int, first_step: int, characters: int, **changes: float) -> TrainConfig:
    """The settings of a fork: those of the parent at `step`, with some changes.

    Raises ValueError if they are not valid for a text of that many characters, or leave no step after `first_step`.
    """
    info, train = parent.read_info(), replace(settings_at(parent, step), **changes)
    if found := problems(info.model, train, characters):
        raise ValueError(" ".join(found.values()))
    if train.max_steps <= first_step:
        raise ValueError(
            f"max_steps is {train.max_steps:,}: {info.name} has already taken {first_step:,} steps by then."
        )
    return train


def usual_changes(run: Run, step: int, first_step: int) -> dict[str, float]:
    """The default values of the settings in CHANGES for a fork: those at `step`, with max_steps raised if necessary.

    `first_step` is the step at which the fork begins.
    """
    now = settings_at(run, step)
    values = {name: getattr(now, name) for name in CHANGES}
    if values["max_steps"] <= first_step:
        values["max_steps"] = min(knobs()["max_steps"].metadata["high"], 2 * first_step)
    return values


def settings_at(run: Run, step: int) -> TrainConfig:
    """The settings of a run at a step, without a `stop_at_loss` that was reached by then."""
    train = replayed(run.read_info().train, run.changes(), step)
    if any(loss <= train.stop_at_loss for at, loss in run.history.read().val_losses if at <= step):
        return replace(train, stop_at_loss=0.0)  # else a fork would stop at once
    return train


def _seconds(run: Run, step: int) -> float:
    """The training time of a run at a step, in seconds."""
    rows = run.history.read().rows
    i = bisect_left(rows["step"], step)
    return rows["seconds"][i] if i < len(rows["step"]) else 0.0
