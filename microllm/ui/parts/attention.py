"""The attention page: what each character attends to, head by head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import plotly.graph_objects as go
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from ...insight.heads import bias_shares, head_scores
from ...insight.trace import trace
from ...model import MicroLLM
from ...plots.attention import attention_figure, distance_data, distance_spec
from ...tokenizer import known_ids
from ..components.heads import heads
from ..components.sentence import sentence
from ..glossary import term
from ..state.experiments import OVER_TRAINING
from ..state.session import session
from ..state.view import View
from ..theme import mode
from . import knockout, play, side_by_side, what_heads_do
from .live import live
from .what_heads_do import Measured

_T = TypeVar("_T")

_MAP, _PLAY, _OVER_TRAINING = "Map", "Play", OVER_TRAINING
_TICK_SECONDS = 2.0
_MAX_WAIT_SECONDS = 0.3  # for the scores of the heads, when the whole page is drawn
_REDRAW_FACTOR = 1.5  # redraw the heatmap when the number of steps has grown by this factor


class _Drawn:
    """What this window last showed: the patterns, so that choosing a head computes nothing, and the heatmap.

    A Plotly figure flashes when it is redrawn, so while the model trains the heatmap stays for a while.
    """

    def __init__(self) -> None:
        self._traced: tuple = (None, None)
        self._described: tuple = (None, None)
        self._drawn: tuple = (None, 0, None)

    def traced(self, view: View, step: int, text: str, model: MicroLLM) -> torch.Tensor:
        """The attention patterns of all heads on `text`, (L, H, N, N), in the model of this step."""
        what = view.model_key, step, text
        if self._traced[0] != what:
            self._traced = what, trace(model, known_ids(view.run.tokenizer, text)).pattern
        return self._traced[1]

    def described(self, what: tuple, describe: Callable[[], _T]) -> _T:
        """The words about all heads that `describe` returns, cached for the same `what`: many heads take a while."""
        if self._described[0] != what:
            self._described = what, describe()
        return self._described[1]

    def heatmap(self, what: tuple, step: int, is_training: bool, draw) -> tuple[int, go.Figure]:
        """(step, figure) of `what` at this step; while `is_training`, the previous one until it is outdated."""
        drawn, at = self._drawn[:2]
        is_outdated = step != at and not (is_training and at <= step < _REDRAW_FACTOR * at)
        if drawn != what or is_outdated:
            self._drawn = what, step, draw()
        return self._drawn[1:]

    def forget_the_heatmap(self) -> None:
        """Redraw it at the next tick."""
        self._drawn = (None, 0, None)


@st.cache_resource(scope="session", show_spinner=False)
def _drawn(side: str = "here") -> _Drawn:
    return _Drawn()


def attention(view: View, text: str) -> None:
    """The heads of the displayed run on `text`, the user's sentence; live while it trains."""
    is_measuring, drawn = bool(what_heads_do.measured(view).missing), (view.moment, session().head)
    live(
        lambda shown: _tick(shown, text, drawn, is_measuring),
        _TICK_SECONDS,
        key="attention-live",
        when=side_by_side.is_active(view) or is_measuring,
    )
    if view.info.model.causal:
        mask = f"The empty half is the future, which is hidden ({term('causal-mask')})."
    else:
        mask = (
            "This model cheats: without the causal mask it sees the next character too. A stripe just above the "
            "diagonal is a head that attends to it."
        )
    st.caption(
        f"To predict the next character, each {term('attention-head', 'head')} attends to the characters that it can "
        "see: it takes a weighted average of what they hold. The weights in a row add up to 100 %. Look for a stripe "
        "just below the diagonal (a head that attends to the previous character) or for columns that many rows share, "
        f"such as the last space ␠. {mask}"
    )


def measurements(view: View, text: str) -> None:
    """The measurements of the chosen head, for the sidebar; live while the run trains."""
    is_measuring = bool(what_heads_do.measured(view, _MAX_WAIT_SECONDS).missing)
    live(
        lambda shown: _measured(shown, text),
        _TICK_SECONDS if is_measuring else 2 * _TICK_SECONDS,
        key="attention-measured",
        when=view.is_active or is_measuring,
    )


def _now(view: View, text: str) -> tuple[int, MicroLLM, torch.Tensor, Measured] | None:
    """(step, model, the patterns of all its heads, what they do) now; None before the first weights."""
    if (now := view.model(max_age=1.0, wait=0.1)) is None:
        return None
    step, model = now
    pattern, known = _drawn().traced(view, step, text, model), what_heads_do.measured(view)
    if known.problem:
        scores = head_scores(pattern, text, model.config.block_size, causal=model.config.causal)
        known = what_heads_do.on_the_sentence(known.problem, step, scores)
    return step, model, pattern, known


def _tick(view: View, text: str, drawn: tuple[int | None, tuple[int, int]], was_measuring: bool) -> None:
    drawn_moment, drawn_head = drawn
    if view.moment != drawn_moment:
        st.rerun()  # a click in the plot of the heads chose it, and all parts show it
    if (now := _now(view, text)) is None:
        st.caption("Waiting for the first weights …")
        return
    step, model, pattern, known = now
    if was_measuring and not known.missing and not view.is_active:
        st.rerun()  # nothing changes now, so nothing needs to tick
    config = model.config
    layer, head = _chosen(config.n_layer, config.n_head)
    sentence(pattern[layer, head], text, config.block_size, causal=config.causal)

    other = side_by_side.beside(view)
    small, big, *third = st.columns([3, 4, 4] if other else [2, 3], gap="medium")
    with small:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**All heads**", width="content")
            order = what_heads_do.sorted_by(view)
        _all_heads(view, model, pattern, text, known, order)
    with big:
        row = st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="attention-title")
        st.session_state.setdefault("attention-shown", _MAP)
        with row:
            shown = st.segmented_control(
                "What is shown of the heads",
                [_MAP, _PLAY, _OVER_TRAINING],
                key="attention-shown",
                required=True,
                persist_state="session",
                label_visibility="collapsed",
            )
        name = "" if other else f"Layer {layer + 1}, head {head + 1}, "  # the sidebar has it too
        if shown == _MAP:
            _heatmap(view, step, model, pattern[layer, head], text, row, name)
        elif shown == _PLAY:
            row.markdown(f"**{name}{len(view.snapshots)} snapshots**", width="content")
            play.film(view, text, layer, head)
        else:
            row.markdown(f"**{name}step {step:,}**", width="content")
            what_heads_do.over_training(view, known, order, layer, head)
    if other:
        with third[0]:
            _map_beside(view, other, text)
    if session().head != drawn_head:
        st.rerun()  # a click chose it, and the sidebar shows it too


def _all_heads(
    view: View, model: MicroLLM, pattern: torch.Tensor, text: str, known: Measured, order: str | None
) -> None:
    """The small pictures, with what each head does."""
    L, H = model.config.n_layer, model.config.n_head
    score = known.score(order) if order else None

    def words() -> tuple[list[str], list[str]]:
        places = [(layer, head) for layer in range(L) for head in range(H)]
        notes = [
            f"Layer {layer + 1}, head {head + 1}: {what_heads_do.note(known, layer, head)}." for layer, head in places
        ]
        if score:
            return notes, [what_heads_do.number(score, *place) for place in places]
        return notes, [what_heads_do.label(known, *place) for place in places]

    what = view.model_key, known.step, known.missing, len(known.over_time), known.problem, text, order
    notes, labels = _drawn().described(what, words)
    heads(
        pattern,
        notes,
        _chosen(L, H),
        _choose,
        causal=model.config.causal,
        labels=labels,
        order=what_heads_do.in_order(score) if score else None,
        by_distance=bias_shares(model),
        out={*view.info.model.silenced_heads, *((part.layer, part.head) for part in view.without)},
    )


def _heatmap(
    view: View, step: int, model: MicroLLM, pattern: torch.Tensor, text: str, row: DeltaGenerator, name: str
) -> None:
    """The large map of the chosen head, `pattern` (N, N); its title, which begins with `name`, goes into `row`."""
    drawn, is_training = _drawn(), _is_training(view)
    what = (view.model_key, view.moment, text, _chosen(model.config.n_layer, model.config.n_head), mode())
    heatmap_step, figure = drawn.heatmap(
        what,
        step,
        is_training,
        lambda: attention_figure(pattern, text, mode(), causal=model.config.causal),
    )
    with row:
        st.markdown(f"**{name}step {heatmap_step:,}**", width="content")
        if is_training:
            st.button(
                "Refresh",
                key="attention-refresh",
                icon=":material/refresh:",
                type="tertiary",
                on_click=drawn.forget_the_heatmap,
                help="While the model trains, the heatmap updates only each time the number of steps has grown by "
                "half. The sentence and the small pictures are always up to date.",
            )
    with st.container(height=figure.layout.height, border=False):  # a new figure is briefly above the old one
        st.plotly_chart(figure, key="attention-one", config={"displayModeBar": False})


def _map_beside(view: View, other: View, text: str) -> None:
    """The large map of the other run or moment, on the same sentence."""
    if lacks := side_by_side.lacks(other, text):
        st.info(lacks, icon=":material/info:")
        return
    if (now := other.model(max_age=1.0, wait=0.1)) is None:
        st.caption("Waiting for the first weights …")
        return
    step, model = now
    pattern = _drawn("beside").traced(other, step, text, model)
    layer, head = side_by_side.head_of(other)
    what = (other.model_key, other.moment, text, (layer, head), mode())
    heatmap_step, figure = _drawn("beside").heatmap(
        what,
        step,
        _is_training(other),
        lambda: attention_figure(pattern[layer, head], text, mode(), causal=model.config.causal),
    )
    with st.container(horizontal=True, vertical_alignment="center", key="attention-beside-title"):
        st.markdown(f"**Layer {layer + 1}, head {head + 1}, {side_by_side.title(view, other, heatmap_step)}**")
    with st.container(height=figure.layout.height, border=False):
        st.plotly_chart(figure, key="attention-beside", config={"displayModeBar": False})


def _is_training(view: View) -> bool:
    """True while the shown weights change."""
    return view.moment is None and view.job is not None and view.job.state == "training"


def _measured(view: View, text: str) -> None:
    layer, head = _chosen(view.info.model.n_layer, view.info.model.n_head)
    now = _now(view, text)
    when = f", step {now[0]:,}" if now else ""
    st.markdown(f"**Layer {layer + 1}, head {head + 1}{when}**")
    knockout.switch(view, layer, head)
    if now is None:
        return
    _, model, _, known = now
    what_heads_do.describe(view, known, layer, head)
    if (by_distance := bias_shares(model)) is not None:
        _distance_chart(by_distance[layer, head])


def _chosen(n_layer: int, n_head: int) -> tuple[int, int]:
    """The head that the user chose, or the nearest that this run has."""
    layer, head = session().head
    return min(layer, n_layer - 1), min(head, n_head - 1)


def _choose(layer: int, head: int) -> None:
    session().head = layer, head


def _distance_chart(shares: torch.Tensor) -> None:
    """How the chosen head weighs distances alone, (block_size,)."""
    st.markdown("**By distance alone**")
    st.vega_lite_chart(
        distance_data(shares),
        distance_spec(len(shares), mode()),
        width="stretch",
        key="distances",
        alt="Share of attention at each distance, if all characters matched equally",
    )
    st.caption(
        "Its shares of attention if all characters matched equally (relative position bias). A single high bar means "
        "that the head has specialized. The bars below the small pictures show the same for every head."
    )
