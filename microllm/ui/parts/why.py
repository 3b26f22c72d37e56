"""Why a character was predicted: the evidence for the generate page, in the format of its component."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch

from ...data.decode import TextProblem
from ...insight import memorization
from ...insight.evidence import (
    MAX_OCCURRENCES,
    Count,
    ModelEvidence,
    Places,
    TextEvidence,
    find_places,
    longest_piece,
    of_model,
    table_counts,
    usual_pieces,
)
from ...insight.table_model import TableModel
from ...jobs.background import Background, Cancelled
from ...model import MicroLLM
from ...plots.attention import packed_shares
from ...plots.palette import in_both_modes
from ...tokenizer import CharTokenizer, visible, visible_alone
from ..server import in_the_background
from ..state.view import View
from ..words import isolated, percent
from . import predictor

_PARTS = ("counts", "places", "piece", "attention", "layers")
_BEFORE, _CONTEXT, _AFTER = 8, 24, 20  # characters of a line that shows a place in the text
_TITLE_CHARACTERS = 16
_TICK_SECONDS, _FIRST_SECONDS = 0.05, 3.0  # to wait for the evidence: within a tick, and where no tick follows


_Work = Callable[[threading.Event], Any]


@dataclass(frozen=True)
class Place:
    """A character that was written or read, at some place in its `text`.

    The `model` (of training step `step`) predicted it from the last `seen` characters before it. A text may still grow
    unless it `is_final`.
    """

    text: str
    at: int
    seen: int
    model: MicroLLM | TableModel
    step: int
    is_final: bool = True

    @property
    def character(self) -> str:
        """The character itself."""
        return self.text[self.at]

    @property
    def context(self) -> str:
        """What the model saw. A table of n-character sequences uses n - 1 characters (letter frequencies: none)."""
        seen = min(self.seen, self.model.n - 1) if isinstance(self.model, TableModel) else self.seen
        return self.text[self.at - seen : self.at]


def why(view: View, place: Place) -> dict[str, Any]:
    """The evidence for one character, for the component with the letters."""
    character, before = _quoted(place.character), place.text[: place.at]
    if not before:
        return _shown(f"{character} begins the text", "It has no context, so nothing predicted it.")
    title = f"Why {character} after “{isolated(_end(before, _TITLE_CHARACTERS))}”?"
    parts = {}
    if (model := None if isinstance(place.model, TableModel) else _of_model(view, place)) is not None:
        parts["attention"] = _attention(place, model)
        parts["layers"] = _layers(view.run.tokenizer, place, model)
    try:
        text, usual = _of_text(view, place)
    except TextProblem as problem:
        return _shown(title, str(problem), **parts)
    if text is None:
        return _shown(title, "Searching the training text …", **parts)
    parts["counts"] = _counts(view, place, text.counts, model)
    parts["places"] = _places(view, place, text.places)
    parts["piece"] = _piece(place, text.piece, usual)
    return _shown(title, _summary(place, text.counts, model), **parts)


def nothing_chosen() -> dict[str, Any]:
    """The content before a character is chosen."""
    return _shown("Why this character?", "Click a character, tap it, or press Enter on it.")


def _shown(title: str, summary: str, **parts: dict[str, Any]) -> dict[str, Any]:
    """The data for the component. A part that is not known is None."""
    colors = in_both_modes("attention")
    return {"title": title, "summary": summary, "colors": colors} | dict.fromkeys(_PARTS) | parts


# ---- computing it


class _Latest:
    """The latest findings of this window, one of each kind, so that a tick computes nothing again."""

    def __init__(self) -> None:
        self._works: dict[str, tuple[Hashable, Background]] = {}
        self._found: dict[str, tuple[Hashable, Any]] = {}

    def get(self, kind: str, about: Hashable, key: Hashable, work: _Work, wait: float) -> Any:
        """What `work` found for this `key`, or what an earlier one found `about` the same; None before the first.

        Raises TextProblem.
        """
        known, background = self._works.get(kind, (None, None))
        if known != key:
            if background:
                background.cancelled.set()
            background = in_the_background(work)
            self._works[kind] = key, background
        if (found := background.get(wait)) is not None:
            self._found[kind] = about, found
        subject, found = self._found.get(kind, (None, None))
        return found if subject == about else None

    def stop(self) -> None:
        """Cancel what is being computed: the window has closed."""
        for _, background in self._works.values():
            background.cancelled.set()


@st.cache_resource(scope="session", on_release=_Latest.stop, show_spinner=False)
def _latest() -> _Latest:
    return _Latest()


def _seconds(view: View) -> float:
    return _TICK_SECONDS if view.is_active else _FIRST_SECONDS


def _of_model(view: View, place: Place) -> ModelEvidence | None:
    ids, (character,) = _ids(view, place.context), view.run.tokenizer.encode(place.character)
    about = view.run.id, place.context, place.character
    key = (*about, place.step, id(place.model))
    return _latest().get("model", about, key, lambda _: of_model(place.model, ids, character), _seconds(view))


def _of_text(view: View, place: Place) -> tuple[TextEvidence | None, list[int] | None]:
    """The evidence, and the usual lengths of such a piece. Raises TextProblem."""
    corpus, sha256 = view.run.load_corpus(), view.info.text.sha256
    if (tables := predictor.tables_of(corpus, _seconds(view))) is None:
        return None, None
    before, (character,) = _ids(view, place.text[: place.at]), view.run.tokenizer.encode(place.character)

    def look(cancelled: threading.Event) -> TextEvidence:
        def end_if_cancelled() -> None:
            if cancelled.is_set():
                raise Cancelled

        train_text, _val_text = memorization.parts(sha256)
        return TextEvidence(
            table_counts(tables, before, character),
            find_places(train_text, place.context, place.character),
            longest_piece(place.text, place.at, train_text, end_if_cancelled),
        )

    about = sha256, place.text[: place.at + 1], len(place.context)
    key = (*about, place.text if place.is_final else None)
    found = _latest().get("text", about, key, look, _seconds(view))
    usual = _latest().get("usual", sha256, sha256, lambda _: usual_pieces(sha256), _seconds(view))
    return found, usual


def _ids(view: View, text: str) -> torch.Tensor:
    return torch.tensor(view.run.tokenizer.encode(text), dtype=torch.long)


# ---- showing it


def _summary(place: Place, counts: list[Count], model: ModelEvidence | None) -> str:
    """The probabilities in one sentence. `counts` has an entry for each table, n = 1, 2, ..."""
    chance = f"The probability of {_quoted(place.character)} was"
    if isinstance(place.model, TableModel):
        own = counts[len(place.context)]
        few = "" if own.n == place.model.n else f". So early in the text it counts only {own.n}-character sequences"
        return f"{chance} {percent(own.chance)} according to {predictor.name_of(place.model)}{few}."
    largest = counts[-1]
    own = "" if model is None else f"{percent(model.chance)} according to the model at step {place.step:,}, and "
    return f"{chance} {own}{percent(largest.chance)} according to a {largest.n}-character table."


def _counts(view: View, place: Place, counts: list[Count], model: ModelEvidence | None) -> dict[str, Any]:
    decode, character = view.run.tokenizer.decode, _quoted(place.character)
    predicting = len(place.context) + 1 if isinstance(place.model, TableModel) else None
    rows = [
        {
            "n": str(count.n),
            "context": visible(decode(count.context)),
            "seen": f"{count.seen:,}",
            "hits": f"{count.hits:,}",
            "chance": count.chance,
            "best": [[visible_alone(decode([i])), f"{hits:,}"] for i, hits in count.best],
            "is_predictor": count.n == predicting,
        }
        for count in counts
    ]
    if model is not None:
        context = f"{place.seen} characters" if place.seen > 1 else "1 character"
        rows.append({"n": "model", "context": context, "chance": model.chance, "is_predictor": True})
    counted = predictor.counted_characters(view.run.load_corpus())
    part = f" (its first {counted:,} characters)" if counted else ""
    note = f"How often each context occurs in the training text{part}, and how often {character} follows."
    if model is not None:
        note += " Does the model agree with counting, or know better?"
    return {"note": note, "character": character, "rows": rows}


def _places(view: View, place: Place, places: Places | None) -> dict[str, Any]:
    character = _quoted(place.character)
    train_text, _ = memorization.parts(view.info.text.sha256)
    if places is None:
        return {"note": _why_no_places(place, train_text), "lines": []}
    length = len(places.context)
    times = _times(places.total) if places.total < MAX_OCCURRENCES else f"{MAX_OCCURRENCES:,} times or more"
    first = f"of the first {MAX_OCCURRENCES:,}, " if places.total == MAX_OCCURRENCES else ""
    before = "The character before it occurs" if length == 1 else f"The last {length} characters before it occur"
    end = " (not counting its end)" if train_text.endswith(places.context) else ""
    note = (
        f"{before} {times} in the training text{end}; {first}{character} "
        f"{f'follows {_times(places.hits)}' if places.hits else 'never follows'}."
    )
    lines = []
    for at in places.places:
        end = at + length
        lines.append(
            {
                "before": _line(train_text[max(0, at - _BEFORE) : at]).rjust(_BEFORE),
                "context": ("…" if length > _CONTEXT else "") + _line(places.context[-_CONTEXT:]),
                "next": visible_alone(train_text[end]),
                "is_same": train_text[end] == place.character,
                "after": _line(train_text[end + 1 : end + 1 + _AFTER]),
            }
        )
    return {"note": note, "lines": lines}


def _why_no_places(place: Place, train_text: str) -> str:
    if not place.context:
        name = predictor.name_of(place.model)
        return f"{name[0].upper()}{name[1:]} sees no context, so no places are listed."
    last = place.context[-1]
    if last in train_text:
        return f"{_quoted(last)}, the character before it, occurs only at the end of the training text."
    return f"{_quoted(last)}, the character before it, does not occur in the training text."


def _attention(place: Place, model: ModelEvidence) -> dict[str, Any]:
    layer, head, at, share = model.strongest
    back = place.seen - at
    most = model.mean.argsort(descending=True).tolist()
    shares = [f"{_quoted(place.context[i])} {percent(model.mean[i].item())}" for i in most]
    distance = "just before it" if back == 1 else f"{back} characters before it"
    return {
        "note": f"Mean attention of all heads when the model predicted {_quoted(place.character)} (most: {shares[0]}). "
        f"The largest share: layer {layer + 1}, head {head + 1} puts {percent(share)} on the "
        f"{_quoted(place.context[at])} {distance}.",
        "label": f"Mean attention: {', '.join(shares[:3])}",
        "text": [visible(c) for c in place.context],
        "shares": packed_shares(model.mean),
    }


def _layers(tokenizer: CharTokenizer, place: Place, model: ModelEvidence) -> dict[str, Any]:
    return {
        "note": "What the model would write if it ended after each layer (logit lens).",
        "character": _quoted(place.character),
        "rows": [[visible_alone(tokenizer.vocab[i]), best, ours] for i, best, ours in model.layers],
    }


def _piece(place: Place, piece: tuple[int, int], usual: list[int] | None) -> dict[str, Any]:
    start, length = piece
    if not length:
        return {"note": "This character does not occur in the training text.", "text": ""}
    characters = "1 character" if length == 1 else f"{length:,} characters"
    so_far = "" if place.is_final else " so far"
    note = f"The longest piece around it that occurs in the training text has {characters}{so_far}."
    if usual:
        verdict = "So this is a copied piece." if length > usual[-1] else "So there is no sign of copying."
        note += (
            f" For {len(usual)} characters of the held-out text, which is never trained on, it has {usual[0]} to "
            f"{usual[-1]} (median {statistics.median_low(usual)}). {verdict}"
        )
    text = place.text[start : start + length]
    shown = text if length <= 2 * _CONTEXT else f"{text[:_CONTEXT]} … {text[-_CONTEXT:]}"
    return {"note": note, "text": _line(shown)}


def _quoted(character: str) -> str:
    return f"“{isolated(visible_alone(character))}”"


def _end(text: str, length: int) -> str:
    return ("…" if len(text) > length else "") + visible(text[-length:])


def _line(text: str) -> str:
    """A piece of text on one line; spaces stay spaces."""
    return visible(text, keep=" ")


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
