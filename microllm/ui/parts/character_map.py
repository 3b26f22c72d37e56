"""The map of characters: which of them have similar embeddings, over the course of training."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st
import torch

from ...data.decode import TextProblem
from ...jobs.snapshots import OverSnapshots
from ...model import MicroLLM
from ...plots.characters import MAX_CHARACTERS, Placed, beside, held_still, map_data, on_the_map, placed
from ...runs.run import Run
from ...runs.weights import WeightsProblem
from ..components import character_map as component
from ..glossary import term
from ..server import opened
from ..state.view import View
from ..words import literal, percent
from . import side_by_side
from .live import live

_VECTORS = {"learned": "Learned part", "whole": "Whole vectors"}
_TICK_SECONDS = 1.5
_FIRST_WAIT_SECONDS = 0.3


def panel(view: View) -> None:
    """The choice of what is drawn: what training has added to the embeddings, or all of them."""
    st.segmented_control(
        "Show",
        list(_VECTORS),
        default="learned",
        format_func=_VECTORS.get,
        key="character-vectors",
        required=True,
        persist_state="session",
        help="Embeddings start as random numbers. What training has added is the difference from the first snapshot.",
    )


def character_map(view: View) -> None:
    """The map of the displayed run, and beside it that of the other run or moment, if one was chosen."""
    other = side_by_side.beside(view)
    counts = {shown.run.id: _counts(shown.run) for shown in (view, other) if shown}
    live(lambda shown: _tick(shown, counts), _TICK_SECONDS, key="characters-live", when=side_by_side.is_active(view))
    st.caption(_explanation(view, counts[view.run.id]))


def _explanation(view: View, counts: list[int] | None) -> str:
    start = "of the fork" if view.info.parent else "when they were random numbers"
    if _is_learned():
        shown = f"The map shows what training has added to these vectors since the first snapshot, {start}."
    else:
        shown = "The map shows these vectors as they are, including the random numbers that they started from."
    sizes = "the larger, the more frequent in the text" if counts else "all of one size: its text is not on this server"
    few, vocab_size = "", view.run.tokenizer.vocab_size
    if vocab_size > MAX_CHARACTERS:
        few = f", the {'most frequent' if counts else 'first'} {MAX_CHARACTERS} of {vocab_size:,}"
    return (
        f"The model has a vector of numbers for each character (its {term('embedding')}). {shown} Look for characters "
        "of one kind that gather as the model learns. The plane is the one in which they differ most (the first two "
        "principal components, PCA), rotated so that it does not jump between snapshots; each axis shows its share "
        f"of the total variance. Characters: {sizes}{few}."
    )


def _is_learned() -> bool:
    return st.session_state.get("character-vectors", "learned") == "learned"


@st.cache_data(max_entries=32, show_spinner=False)
def _counted(run_id: str) -> list[int]:
    return opened(run_id).load_corpus().counts


def _counts(run: Run) -> list[int] | None:
    """How often each character occurs in the text of the run; None if that is not on this server."""
    try:
        return _counted(run.id)
    except TextProblem:
        return None


def _tick(view: View, counts: dict[str, list[int] | None]) -> None:
    other = side_by_side.beside(view)
    if other is None or other.run.id not in counts:
        _one_map("character-map", view, counts[view.run.id])
        return
    left, right = st.columns(2, gap="medium")
    with left:
        places = _one_map("character-map", view, counts[view.run.id], is_beside=True)
    with right:
        _one_map("character-map-beside", other, counts[other.run.id], places, is_beside=True)


def _one_map(
    key: str,
    view: View,
    counts: list[int] | None,
    places: dict[str, torch.Tensor] | None = None,
    *,
    is_beside: bool = False,
) -> dict[str, torch.Tensor] | None:
    """Draw one map, rotated to fit the `places` of another map if given.

    Returns the position (2,) of each of its characters at the newest moment.
    """
    if (now := view.model(max_age=1.0, wait=0.1, whole=True)) is None:
        st.caption("Waiting for the first weights …")
        return None
    step, model = now
    if is_beside:
        st.markdown(f"**{literal(view.info.name)}**, step {step:,}")
    vectors = _vectors(view.run.id, counts is not None, counts)
    ready = vectors.known.want(view.snapshots, wait=0.0 if vectors.known.values else _FIRST_WAIT_SECONDS)
    moments = {each: both[_is_learned()] for each, both in ready.items()}
    if step not in moments:  # of a model in training, or not ready yet
        moments[step] = _now(view.run.id, step, counts is not None, vectors, model)[_is_learned()]
    steps, characters = sorted(moments), view.run.tokenizer.decode(vectors.ids)
    maps = held_still([moments[each].map for each in steps], newest_first=not view.is_active)
    if places:
        maps = beside(maps, characters, places)
    data = map_data(characters, counts and [counts[i] for i in vectors.ids], moments, maps, view.history)
    component.character_map(
        key,
        data
        | {
            "moment": steps.index(step),
            "page": f"{view.run.id} {view.moment}",
            "isComplete": vectors.known.is_complete(view.snapshots),
            "frequencies": vectors.frequencies,
            "dimensions": model.config.n_embd,
        },
        ask=lambda: None,  # the rerun of this part is the answer
    )
    return dict(zip(characters, maps[-1].points, strict=True))


class _Vectors:
    """The characters of a run that are on its map, and where they are at each snapshot.

    There are two maps: of what training has added (True), and of the whole vectors (False).
    """

    def __init__(self, run: Run, counts: list[int] | None) -> None:
        self.ids = on_the_map(counts, run.tokenizer.vocab_size)
        total = sum(counts or [])
        self.frequencies = [percent(counts[i] / total) for i in self.ids] if counts else []
        self.known = OverSnapshots(run, lambda model, _: self.placed(model))
        self._run = run
        self._start: torch.Tensor | None = None

    def placed(self, model: MicroLLM) -> dict[bool, Placed]:
        """Where the characters are in this model."""
        if self._start is None:
            self._start = self._of(self._first_model())
        vectors = self._of(model)
        return {True: placed(vectors - self._start), False: placed(vectors)}

    def _of(self, model: MicroLLM) -> torch.Tensor:
        return model.token_embedding.weight.detach()[self.ids]

    def _first_model(self) -> MicroLLM:
        """The model of the first snapshot that can be read."""
        *others, last = self._run.list_snapshots()
        for step in others:
            with suppress(WeightsProblem):
                return self._run.model_at(step)
        return self._run.model_at(last)


@st.cache_resource(max_entries=16, show_spinner=False)
def _vectors(run_id: str, has_counts: bool, _counts: list[int] | None) -> _Vectors:
    """For all windows."""
    return _Vectors(opened(run_id), _counts)


@st.cache_resource(max_entries=8, show_spinner=False)
def _now(run_id: str, step: int, has_counts: bool, _vectors: _Vectors, _model: MicroLLM) -> dict[bool, Placed]:
    return _vectors.placed(_model)
