"""The attention page: what each character attends to, head by head."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st
import torch

from ...insight.heads import HeadScore, bias_shares, head_scores, strongest
from ...insight.trace import trace
from ...model import MicroLLM
from ...plots.attention import attention_figure, distance_data, distance_spec
from ...runs.run import Run
from ...tokenizer import known_ids
from ..components.heads import heads
from ..components.sentence import sentence
from ..state.session import session
from ..state.view import View
from ..theme import mode
from ..words import percent
from . import play, side_by_side
from .live import live

_PLACES = {
    "previous_token": "the previous character",
    "two_back": "the character two back",
    "three_back": "the character three back",
    "self": "the character itself",
    "first_token": "the first visible character",
    "last_space": "the most recent space",
    "next_token": "the next character",
}
_TICK_SECONDS = 1.5
_REDRAW_FACTOR = 1.5  # redraw the heatmap when the number of steps has grown by this factor


class _Drawn:
    """What this window was shown last: the patterns, so that choosing a head computes nothing, and the heatmap.

    A Plotly figure flashes when it is redrawn, so while the model trains the heatmap stays for a while.
    """

    def __init__(self) -> None:
        self._traced: tuple = (None, None)
        self._drawn: tuple = (None, 0, None)

    def traced(self, run: Run, step: int, text: str, model: MicroLLM) -> tuple[torch.Tensor, list[HeadScore]]:
        """(the attention patterns of all heads on `text`, (L, H, N, N); their scores) in the model of this step."""
        what = run.id, step, text
        if self._traced[0] != what:
            pattern = trace(model, known_ids(run.tokenizer, text)).pattern
            scores = head_scores(pattern, text, model.config.block_size, causal=model.config.causal)
            self._traced = what, (pattern, scores)
        return self._traced[1]

    def heatmap(self, what: tuple, step: int, is_training: bool, draw) -> tuple[int, go.Figure]:
        """(step, figure) of `what` at this step; while `is_training`, the previous one until it is out of date."""
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
    live(lambda shown: _tick(shown, text), _TICK_SECONDS, key="attention-live", when=side_by_side.is_active(view))
    if view.info.model.causal:
        mask = "The empty half is the future, which is hidden (causal mask)."
    else:
        mask = (
            "This model cheats: without the causal mask it sees the next character too. A stripe just above the "
            "diagonal is a head that attends to it."
        )
    st.caption(
        "To predict the next character, each head attends to the characters that it can see: it takes a weighted "
        "average of what they hold. The weights in a row add up to 100 %. Look for a stripe just below the diagonal (a "
        "head that attends to the previous character) or for columns that many rows share, such as the last space ␠. "
        f"{mask}"
    )


def measurements(view: View, text: str) -> None:
    """What is measured about the chosen head, for the sidebar; live while the run trains."""
    live(lambda shown: _measured(shown, text), _TICK_SECONDS, key="attention-measured", when=view.is_active)


def _now(view: View, text: str, side: str = "here") -> tuple[int, MicroLLM, torch.Tensor, list[HeadScore]] | None:
    """(step, model, the patterns of all its heads, their scores) now; None before the first weights."""
    if (now := view.model(max_age=1.0, wait=0.1)) is None:
        return None
    return *now, *_drawn(side).traced(view.run, now[0], text, now[1])


def _tick(view: View, text: str) -> None:
    if (now := _now(view, text)) is None:
        st.caption("Waiting for the first weights …")
        return
    step, model, pattern, scores = now
    config = model.config
    layer, head = _chosen(config.n_layer, config.n_head)
    sentence(pattern[layer, head], text, config.block_size, causal=config.causal)

    other = side_by_side.beside(view)
    small, big, *third = st.columns([3, 4, 4] if other else [2, 3], gap="medium")
    with small:
        st.markdown("**All heads**: choose one")
        notes, by_distance = _notes(scores, config.n_layer, config.n_head), bias_shares(model)
        heads(pattern, notes, (layer, head), _choose, causal=config.causal, by_distance=by_distance)
    with big:
        if play.is_open():
            play.film(view, text, layer, head, is_alone=other is None)
        else:
            _map(view, text, (layer, head), step, pattern, causal=config.causal, is_alone=other is None)
    if other:
        with third[0]:
            _map_beside(view, other, text)


def _map(
    view: View, text: str, at: tuple[int, int], step: int, pattern: torch.Tensor, *, causal: bool, is_alone: bool
) -> None:
    """The large map of the chosen head, with its title and its buttons."""
    layer, head = at
    drawn, what = _drawn(), (view.run.id, view.moment, text, layer, head, mode())
    is_training = _is_training(view)
    heatmap_step, figure = drawn.heatmap(
        what, step, is_training, lambda: attention_figure(pattern[layer, head], text, mode(), causal=causal)
    )
    key = "attention-title" if is_alone else "attention-narrow-title"  # in which buttons are icons
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=key):
        explanation = ": rows attend to columns" if is_alone else ""
        st.markdown(f"**Layer {layer + 1}, head {head + 1} at step {heatmap_step:,}**{explanation}", width="content")
        play.open_button(view)
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
    if (now := _now(other, text, "beside")) is None:
        st.caption("Waiting for the first weights …")
        return
    step, model, pattern, _ = now
    layer, head = side_by_side.head_of(other)
    what = (other.run.id, other.moment, text, layer, head, mode())
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
    if (now := _now(view, text)) is None:
        return
    step, model, _, scores = now
    layer, head = _chosen(model.config.n_layer, model.config.n_head)
    st.markdown(f"**Layer {layer + 1}, head {head + 1}** at step {step:,}")
    _score_caption(scores, layer, head)
    if (by_distance := bias_shares(model)) is not None:
        _distance_chart(by_distance[layer, head])


def _chosen(n_layer: int, n_head: int) -> tuple[int, int]:
    """The head that the user chose, or the nearest that this run has."""
    layer, head = session().head
    return min(layer, n_layer - 1), min(head, n_head - 1)


def _choose(layer: int, head: int) -> None:
    session().head = layer, head


def _notes(scores: list[HeadScore], n_layer: int, n_head: int) -> list[str]:
    """A sentence on each head, layer after layer."""
    notes = []
    for layer in range(n_layer):
        for head in range(n_head):
            best = strongest(scores, layer, head)
            note = f"puts {_share(best, layer, head, ' of its attention')}" if best else "no clear pattern"
            notes.append(f"Layer {layer + 1}, head {head + 1}: {note}.")
    return notes


def _score_caption(scores: list[HeadScore], layer: int, head: int) -> None:
    """All scores of the chosen head."""
    if scores:
        shares = "  \n".join(_share(score, layer, head) for score in scores)
        st.caption(f"Its attention on this sentence, and that of a head that spreads it evenly (chance):  \n{shares}")
    else:
        st.caption("A single character can attend only to itself: write a longer sentence.")


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
        "Its shares of attention if all characters matched equally (relative position bias). One high bar is a head "
        "that has specialized. The bars below the small pictures show the same for every head."
    )


def _share(score: HeadScore, layer: int, head: int, of: str = "") -> str:
    share = percent(score.shares[layer, head].item())
    return f"{share}{of} on {_PLACES[score.name]} (chance {percent(score.chance)})"
