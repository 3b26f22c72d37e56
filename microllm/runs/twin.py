"""Twins: a run that repeats another one with one difference, an edit of the text or another seed."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..config import knobs, stream_seed
from ..data import edits
from ..data.edits import Edit
from ..data.store import keep_text, load_text
from . import catalog
from .info import RunProblem, Twin
from .run import Run

COMPARED_STEPS = 1_000
"""`shared_windows` looks at the batches of the first 1,000 steps."""


def twin(original: Run, edit: Edit | None, owner_key: str | None = None) -> Run:
    """A new run, owned by the holder of `owner_key`, with the settings of `original` and one difference.

    With an `edit`, the text is edited and all else is the same: the seed, and so the initial weights and the windows
    of every batch; the held-out text and the vocabulary. Without one, the seed is the next one and all else is the
    same: how much such a run differs is the noise that the effect of an edit has to exceed.

    Raises RunProblem if `original` cannot have a twin, TextProblem for an edit that is not possible, and OSError.
    """
    info = original.read_info()
    if problem := why_no_twin(original):
        raise RunProblem(problem)
    original.load_corpus()  # a run of the gallery came without its text
    text, train = info.text, info.train
    if edit:
        whole = load_text(text.sha256)
        label = edits.label(edit, edits.chapters(whole))
        text = replace(text, name=f"{text.name}, {label}", sha256=keep_text(edits.edited(whole, edit)))
    else:
        meta = knobs()["seed"].metadata
        train = replace(train, seed=train.seed + 1 if train.seed < meta["high"] else meta["low"])
    return catalog.create(
        info.model,
        train,
        text,
        preset=info.preset,
        threads=info.threads,
        owner_key=owner_key,
        twin=Twin(info.id, info.name, edit),
        vocab=original.tokenizer.vocab if edit else None,
    )


def why_no_twin(original: Run) -> str:
    """A sentence that says why a run cannot have a twin; "" if it can."""
    info = original.read_info()
    if info.edit:
        return f"{info.name} is a twin itself: make another twin of {info.twin.name}."
    if info.parent:
        return f"{info.name} began with the weights of {info.parent.name}: choose a run that began at step 0."
    if not info.is_repeatable:
        return (
            f"A twin would not repeat {info.name} exactly: several processes trained it, or it continued in other "
            "conditions, such as another version of torch. Train a run with the same settings again, without a break."
        )
    if original.changes():
        return f"A setting of {info.name} was changed while it trained, so a twin would not repeat it."
    return edits.too_long(info.text.characters)


def shared_windows(original: Run, other: Run) -> tuple[float, int | None]:
    """(the share of training windows that are identical in both runs, the first step whose batches differ).

    This covers at most COMPARED_STEPS steps, whose windows are drawn again from both texts; the step is None if all are
    the same. The runs have the same settings. Raises TextProblem.
    """
    same = windows = 0
    first = None
    for step in range(min(COMPARED_STEPS, original.read_info().train.max_steps)):
        one, two = _batch(original, step), _batch(other, step)
        equal = (one == two).all(dim=1)
        same, windows = same + equal.sum().item(), windows + len(equal)
        if first is None and not equal.all():
            first = step
    return same / windows, first


def first_difference(original: Run, other: Run) -> int | None:
    """The first step at which the training losses of two runs differ at all; None if there is none."""
    one, two = (run.history.read().rows for run in (original, other))
    losses = zip(one["step"], one["train_loss"], two["step"], two["train_loss"], strict=False)
    return next((step for step, loss, *its in losses if [step, loss] != its), None)


def _batch(run: Run, step: int) -> torch.Tensor:
    """The windows of a training step with the character after each, (B, T + 1), drawn as the Trainer draws them."""
    info = run.read_info()
    rng = torch.Generator().manual_seed(stream_seed(info.train.seed, step))
    inputs, targets = run.load_corpus().get_batch("train", info.train.batch_size, info.model.block_size, rng)
    return torch.cat([inputs, targets[:, -1:]], dim=1)
