"""What the plot of the heads over training draws: one score of every head at each snapshot, and the validation loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..insight.heads import HeadScore
from ..runs.history import History

_DIGITS = 4  # after the point


def head_scores_data(
    over_time: Mapping[int, list[HeadScore]],
    history: History,
    name: str,
    title: str,
    chosen: tuple[int, int],
    *,
    since: int | None = None,
    moment: int | None = None,
    max_steps: int = 1,
) -> dict[str, Any]:
    """What the component `head_scores` draws of the score `name`, which `title` puts into words.

    `over_time` has the scores at the snapshots that have been measured, by step. The line of the `chosen` (layer, head)
    is highlighted, with a mark at the step `since`. `moment` is the displayed snapshot, None for the newest. The x-axis
    spans the whole run from the start.
    """
    measured = {step: score for step in sorted(over_time) for score in over_time[step] if score.name == name}
    steps = list(measured)
    shares = [score.shares.flatten().tolist() for score in measured.values()]
    n_head = next(iter(measured.values())).shares.shape[1] if measured else 1
    first = next((step for step in steps if step), 1)
    chance = next((score.chance for score in measured.values()), 0.0)
    points = history.points("log")
    checks = [
        (step, loss)
        for step, loss in zip(points["step"], points["val_loss"], strict=True)
        if loss is not None and steps and step >= steps[0]
    ]
    place = chosen[0] * n_head + chosen[1]
    return {
        "title": title,
        "is_share": name != "spread",
        "steps": steps,
        "first": first / 2 if steps[:1] == [0] else first,  # step 0 has no logarithm: it is drawn at half the next one
        "last": max([max_steps, *steps[-1:], *(step for step, _ in checks[-1:])]),
        "curves": [[round(share, _DIGITS) for share in line] for line in zip(*shares, strict=True)],
        "names": [f"{i // n_head + 1}.{i % n_head + 1}" for i in range(len(shares[0]) if shares else 0)],
        "chosen": place,
        "clear": _clear(measured[steps[-1]]) if steps else [],
        "chance": round(chance, _DIGITS),
        "since": -1 if since is None else since,
        "moment": -1 if moment is None else moment,
        "validation": {"step": [step for step, _ in checks], "loss": [round(loss, _DIGITS) for _, loss in checks]},
        "alt": _in_words(measured, history, title, chosen, since),
    }


def _clear(score: HeadScore) -> list[int]:
    """The numbers of the heads that are clearly above chance, counted layer by layer; the highest score first."""
    shares = score.shares.flatten().tolist()
    return sorted(
        (i for i in range(len(shares)) if score.is_clear(*divmod(i, score.shares.shape[1]))), key=lambda i: -shares[i]
    )


def _in_words(
    measured: Mapping[int, HeadScore], history: History, title: str, chosen: tuple[int, int], since: int | None
) -> str:
    """The plot in words, for screen readers."""
    words = [f"{title} of each head against training steps, and the validation loss."]
    if measured:
        last = max(measured)
        shown = [f"{step:,}: {measured[step].of(*chosen):.2f}" for step in measured]
        words.append(f"Layer {chosen[0] + 1}, head {chosen[1] + 1} at steps {', '.join(shown)}.")
        words.append(f"Chance: {measured[last].chance:.2f}.")
    if since is not None:
        words.append(f"Clearly above chance since step {since:,}.")
    if history.val_losses:
        words.append("Validation loss at step {:,}: {:.3f}.".format(*history.val_losses[-1]))
    return " ".join(words)
