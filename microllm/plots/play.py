"""What the browser needs to play the snapshots of a run: for each, one small map or a few points."""

from __future__ import annotations

from typing import Any

from ..runs.history import History
from ..runs.weights import thin
from ..tokenizer import visible

MAX_BYTES = 2_000_000
"""The limit for all maps of a head together, in bytes of base64."""


def snapshot_notes(history: History, steps: list[int]) -> list[str]:
    """For each step its validation loss, or that of the last check before it and the step of that check."""
    notes = []
    for step in steps:
        checks = [(at, loss) for at, loss in history.val_losses if at <= step]
        note = f"step {step:,}"
        if checks:
            at, loss = checks[-1]
            note += f" · validation loss {loss:.3f}" + (f" (step {at:,})" if at < step else "")
        notes.append(note)
    return notes


def play_data(maps: dict[int, str], sentence: str, history: History, *, causal: bool, name: str) -> dict[str, Any]:
    """The maps of one head by step, each packed by `plots.attention.packed`, for the component that plays them.

    If they exceed MAX_BYTES, some are left out, evenly in log(step); the first and the last stay.
    """
    steps = thin(list(maps), keep=MAX_BYTES // max(1, *(len(shares) for shares in maps.values()), 1))
    return {
        "name": name,
        "text": [visible(character) for character in sentence],
        "causal": causal,
        "steps": steps,
        "notes": snapshot_notes(history, steps),
        "shares": [maps[step] for step in steps],
        "left_out": len(maps) - len(steps),
    }
