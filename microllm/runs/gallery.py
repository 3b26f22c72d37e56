"""The gallery: runs that come with MicroLLM, in `microllm/gallery/`. They are ordinary run folders that are only read.

A fresh server shows the first of them before torch is imported, so this module must not import torch.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import PRESETS
from .history import History

FOLDER = Path(__file__).parents[1] / "gallery"

IDS = ("pride-quick", "pride-article", "words-twice")
"""In the order of lists; each is also the name of its run. Ids of other runs are hexadecimal, so none can be equal."""

FIRST = IDS[0]
"""The run that pages show before a person has one."""

SAMPLES = "samples.json"
HEAD_SCORES = "heads.json"


@dataclass(frozen=True)
class ScoredSample:
    """What the model of `step` wrote. `text` includes the prompt.

    `real_words` is the share of its words that occur in the training text (None without a whole word). If the text is a
    list, `new_lines` says instead how many of its different lines are not in the list, and how many it has.
    `top1_accuracy` is the share of held-out characters for which the model's first choice is right.
    """

    step: int
    text: str
    top1_accuracy: float
    real_words: float | None = None
    new_lines: tuple[int, int] | None = None


def samples(folder: Path) -> dict[int, ScoredSample]:
    """The samples that are stored with a run of the gallery, by step: they need neither its text nor torch."""
    rows = json.loads((folder / SAMPLES).read_text("utf-8"))
    return {row["step"]: ScoredSample(**row) for row in rows}


def head_scores(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """What the heads of a run of the gallery attend to at each snapshot, by step, measured on held-out text.

    A score is {"name", "chance", "shares"} as in insight.heads.HeadScore; `shares` has a list per layer.
    """
    return {row["step"]: row["scores"] for row in json.loads((folder / HEAD_SCORES).read_text("utf-8"))}


@dataclass(frozen=True)
class Preview:
    """What a page shows of the first run before torch is imported."""

    name: str
    text: str
    preset: str
    history: History
    references: dict[str, float]
    max_steps: int
    samples: tuple[ScoredSample, ...]
    """What each of its snapshots writes, in order."""

    @property
    def sample(self) -> ScoredSample:
        """What it writes at the end of training."""
        return self.samples[-1]


@functools.cache
def preview() -> Preview:
    """The first run, read once, without a check of its values: it is part of the program."""
    folder = FOLDER / FIRST
    info = json.loads((folder / "run.json").read_text("utf-8"))
    stored = samples(folder)
    return Preview(
        name=info["name"],
        text=info["text"]["name"],
        preset=PRESETS[info["preset"]].title,
        history=History(folder / "metrics.jsonl").read(),
        references=info["references"],
        max_steps=info["train"]["max_steps"],
        samples=tuple(stored[step] for step in sorted(stored)),
    )
