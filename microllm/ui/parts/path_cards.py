"""The cards of the path on the page Learn: each with something to do, and the code of the project that does it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st
import torch

from ...corpus import Corpus
from ...cost import part_sizes
from ...data import texts
from ...insight import anatomy
from ...insight.guessing import chances_of_model
from ...insight.knockout import knock_out
from ...insight.training_step import training_step as one_training_step
from ...model import Block, Head, MicroLLM
from ...tokenizer import CharTokenizer, visible, visible_alone
from ...train import Trainer
from ..components.tokens import batch, ids
from ..state import draft, path
from ..state.browser_storage import PATH_SENTENCE
from ..state.session import session
from ..state.view import SENTENCE, View, why_no_text
from ..words import literal, percent
from . import front, guess_game, path_task, settings, source, text_fields, training_step
from .live import live

_PASSAGE_CHARACTERS = 400
_BATCH_ROWS = 4
_BATCH_COLUMNS = 32
_EARLY_STEP = 256  # the predictions make sense, and a step still changes much
_TICK_SECONDS = 1.0


def path_cards(view: View) -> None:
    """The open card, and the list of all."""
    card, done = session().lesson, session().done_cards
    here, contents = st.columns([7, 2], gap="medium")
    with contents:
        _contents(card)
    with here:
        is_done_now = _card(view, card)
    if is_done_now and card not in done:
        done.add(card)
        st.rerun()  # the list shows it too, and the browser keeps it


def _contents(shown: str) -> None:
    """All cards by step: which are done, and which is open."""
    with st.container(key="path-contents", gap=None):
        step = None
        for card_id, card in path.CARDS.items():
            if card.step != step:
                step = card.step
                st.caption(f"{path.STEPS.index(step) + 1} · {step}")
            is_done = card_id in session().done_cards
            st.button(
                f"**{card.title}**" if card_id == shown else card.title,
                key=f"path-card-{card_id}",
                icon=":material/check_circle:" if is_done else ":material/radio_button_unchecked:",
                type="tertiary",
                width="stretch",
                help="Done" if is_done else None,
                on_click=front.open_card,
                args=(card_id,),
            )


def _card(view: View, card_id: str) -> bool:
    """Draw a card; True once it is done."""
    card = path.CARDS[card_id]
    is_done = card_id in session().done_cards
    with st.container(key="path-card", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="path-title"):
            st.markdown(f"**{card.title}**", width="content")
            st.caption(f"Step {path.STEPS.index(card.step) + 1} of {len(path.STEPS)}: {card.step}")
        st.markdown(card.text)
        _task_and_ways(card_id, is_done)
        body = _BODIES.get(card_id)
        has_done = body(view) if body else _way_to(view, card, is_done)
        _code(card_id)
    return has_done


def _task_and_ways(card_id: str, is_done: bool) -> None:
    """The task, or that it is done, and buttons to the previous and next card; at the end, one to Experiments."""
    following = path.card_after(card_id, session().done_cards)
    is_end = following is None and is_done
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small", key="path-task-row"):
        st.markdown(path_task.words(card_id, is_done) + (_END if is_end else ""))
        _step_to("Previous", path.card_before(card_id), ":material/arrow_back:")
        _step_to("Next", following, ":material/arrow_forward:", is_primary=is_done)
        if is_end and st.button("Experiments", key="path-end", icon=":material/science:", type="primary"):
            st.switch_page("pages/experiments.py", query_params=st.query_params.to_dict())


_END = f" All {len(path.CARDS)} cards are done."


def _step_to(label: str, card: str | None, icon: str, is_primary: bool = False) -> None:
    if card is not None:
        st.button(
            label,
            key=f"path-{label.lower()}-card",
            icon=icon,
            type="primary" if is_primary else "secondary",
            help=path.CARDS[card].title,
            on_click=front.open_card,
            args=(card,),
        )


def _way_to(view: View, card: path.Card, is_done: bool) -> bool:
    """The button to the page on which a card is done, and ticked."""
    title = card.page.capitalize()
    kind = "secondary" if is_done else "primary"
    if st.button(f"Go to {title}", key="path-go", type=kind, icon=":material/arrow_outward:"):
        st.session_state.update(card.prepare)
        st.switch_page(f"pages/{card.page}.py", query_params=st.query_params.to_dict())
    if not is_done:
        live(_notice, _TICK_SECONDS, key="path-waits", when=view.is_active)
    return False


def _notice(view: View) -> None:
    """Redraw the page once the open card is done by the run that trains."""
    path_task.notice(view, "learn")
    if session().lesson in session().done_cards:
        st.rerun()


def _code(card_id: str) -> None:
    """The lines of the project that do what the card is about."""
    found = [anatomy.source(function, ()) for function in _CODE[card_id]]
    places = " and ".join(f"line {one.first} of `{one.file}`" for one in found)
    st.caption(f"The code of this project that does it: {places}")
    lines = "\n\n".join("\n".join(one.lines) for one in found)
    st.code(lines, language="python", height="content" if lines.count("\n") < _MAX_LINES else _MAX_CODE_HEIGHT)


_MAX_LINES, _MAX_CODE_HEIGHT = 30, 700  # pixels for code that has more lines


def _is_changed(card: str, value: Any) -> bool:
    """True if the controls of a card no longer have their first value."""
    if session().browser_keeps is None:  # its answer may still change them
        return False
    return session().first_shown.setdefault(card, value) != value


def _draw(card: str) -> None:
    session().draws[card] = session().draws.get(card, 0) + 1


def _chosen_corpus() -> Corpus | None:
    """The text of the next run. Without one the page says why, and offers others."""
    try:
        chosen = draft.text()
    except texts.TextProblem:
        chosen = None
    if chosen is None:
        source.text()
        return None
    return texts.load_corpus(chosen.sha256)


def _text(_: View) -> bool:
    choice, shown = st.columns([1, 2], gap="medium")
    with choice:
        chosen = source.text()
    now, draws = draft.text_choice(), session().draws.get("text", 0)
    is_done = _is_changed("text", (now["source"], now["how"], now["first"])) or draws > 0
    if chosen is None:
        return is_done
    corpus = texts.load_corpus(chosen.sha256)
    start = random.Random(draws).randrange(max(1, len(corpus.train) - _PASSAGE_CHARACTERS))
    passage = corpus.tokenizer.decode(corpus.train[start : start + _PASSAGE_CHARACTERS])
    with shown:
        st.code(passage[passage.find("\n") + 1 :], language=None, wrap_lines=True, height=200)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Another passage", key="path-passage", icon=":material/shuffle:", on_click=_draw, args=("text",))
        st.caption(
            f"**{len(corpus.train):,}** characters to train on, **{len(corpus.val):,}** held out. All "
            f"{corpus.vocab_size:,} different characters:",
            width="content",
        )
    with st.container(key="path-characters"):
        st.text(" ".join(visible_alone(character) for character in corpus.tokenizer.vocab))
    return is_done


def _tokens(_: View) -> bool:
    if (corpus := _chosen_corpus()) is None:
        return False
    written = st.text_input("Your sentence", SENTENCE, key=PATH_SENTENCE, persist_state="session")
    known = text_fields.readable(corpus.tokenizer, written, path.SENTENCE_LENGTH)
    numbers = corpus.tokenizer.encode(known)
    ids([visible(character) for character in known], numbers)
    st.caption(f"{len(numbers)} characters, {len(numbers)} ids, each from 0 to {corpus.vocab_size - 1}. Back to text:")
    st.text(corpus.tokenizer.decode(numbers))
    return bool(known) and written != SENTENCE


def _batch(_: View) -> bool:
    if (corpus := _chosen_corpus()) is None:
        return False
    _, model, train = draft.draft()
    width = min(model.block_size, _BATCH_COLUMNS, len(corpus.train) - 1)
    draws = session().draws.get("batch", 0)
    inputs, targets = corpus.get_batch("train", _BATCH_ROWS, width, torch.Generator().manual_seed(draws))
    rows = [row for pair in zip(inputs, targets, strict=True) for row in pair]
    batch([[visible(character) for character in corpus.tokenizer.decode(row)] for row in rows], _pointed)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Draw another", key="path-batch", icon=":material/casino:", on_click=_draw, args=("batch",))
        st.caption(
            f"{_BATCH_ROWS} windows of {width} characters. The next run draws {train.batch_size} of "
            f"{model.block_size} at each step (batch_size, block_size).",
            width="content",
        )
    return session().has_pointed


def _pointed() -> None:
    """The person has pointed at a character of the batch. It counts only after another one was drawn."""
    session().has_pointed |= session().draws.get("batch", 0) > 0


def _model(_: View) -> bool:
    if (corpus := _chosen_corpus()) is None:
        return False
    model, can_be_built = settings.sizes(len(corpus))
    values = model.block_size, model.n_embd, model.n_head, model.n_layer
    if can_be_built:
        sizes = part_sizes(model, corpus.vocab_size)
        total = sum(part.count for part in sizes)
        lines = ["| part | shapes of its weights | parameters | share |", "|---|---|--:|--:|"]
        for part in sizes:
            shapes = " + ".join(" × ".join(f"{size:,}" for size in shape) for shape in part.shapes)
            shapes = f"{part.copies} × ({shapes})" if part.name.endswith("per layer") else shapes
            lines.append(f"| {part.name} | {shapes} | {part.count:,} | {percent(part.count / total)} |")
        lines.append(f"| **All** | | **{total:,}** | |")
        with st.container(key="path-parameters"):
            st.markdown("\n".join(lines))
    return _is_changed("model", values)


def _step(view: View) -> bool:
    early = next((step for step in view.snapshots if step >= _EARLY_STEP), None)
    return training_step.training_step(view if early is None else replace(view, moment=early))


def _guess(view: View) -> bool:
    if why_no_text(view.run):
        source.bring(view, "path-download")
        return False
    st.caption(f"The model is that of **{literal(view.info.name)}**, the run that all pages show.")
    return guess_game.against_untrained(view) >= path.GUESSES


_BODIES: dict[str, Callable[[View], bool]] = {
    "text": _text,
    "tokens": _tokens,
    "batch": _batch,
    "model": _model,
    "step": _step,
    "guess": _guess,
}
"""The bodies of the cards that are done on this page; each returns True once it is done."""

_CODE: dict[str, tuple[Callable, ...]] = {
    "text": (Corpus.__init__,),
    "tokens": (CharTokenizer.encode, CharTokenizer.decode),
    "batch": (Corpus.get_batch,),
    "model": (MicroLLM.__init__,),
    "step": (one_training_step,),
    "train": (Trainer._update,),
    "generate": (MicroLLM.generate,),
    "guess": (chances_of_model,),
    "head": (Head.__call__,),
    "inside": (Block.forward,),
    "knockout": (knock_out,),
}
"""By card."""
