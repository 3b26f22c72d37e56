"""The attention page: where each character looks, head by head."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st
import torch

from ...insight.heads import HeadScore, head_scores, strongest
from ...insight.trace import trace
from ...plots.attention import attention_figure
from ...runs.run import Run
from ...tokenizer import known_ids
from ..components.heads import heads
from ..components.sentence import sentence
from ..state import view
from ..state.session import session
from ..state.view import is_active
from ..theme import mode
from .live import live

_GROWN = 1.5  # times as many steps: then the model has changed enough to draw the heatmap anew


class _Drawn:
    """What this window was shown last: the patterns, so that a choice computes nothing, and the heatmap as it stands.

    A Plotly figure flashes when it is drawn anew, so while the model trains it stands still for a good while.
    """

    def __init__(self) -> None:
        self._traced: tuple = (None, None)
        self._drawn: tuple = (None, 0, None)

    def pattern(self, run: Run, step: int, text: str, model) -> torch.Tensor:
        """Where each character of `text` looks, (L, H, N, N), in the model of this step."""
        what = run.id, step, text
        if self._traced[0] != what:
            self._traced = what, trace(model, known_ids(run.tokenizer, text)).pattern
        return self._traced[1]

    def heatmap(self, what: tuple, step: int, is_moving: bool, draw) -> tuple[int, go.Figure]:
        """(step, figure) of `what` at this step; while `is_moving`, the one before until there is news enough."""
        drawn, at = self._drawn[:2]
        is_news = step != at and not (is_moving and at <= step < _GROWN * at)
        if drawn != what or is_news:
            self._drawn = what, step, draw()
        return self._drawn[1:]

    def forget_the_heatmap(self) -> None:
        """Draw it anew at the next chance."""
        self._drawn = (None, 0, None)


@st.cache_resource(scope="session", show_spinner=False)
def _drawn() -> _Drawn:
    return _Drawn()


def attention(text: str) -> None:
    """The heads of the run on show on `text`, the person's sentence, again and again while it trains."""
    run = view.run()
    live(lambda _: _tick(run, text), 1.5, key="attention-live", when=is_active())
    if run.read_info().model.causal:
        blank = "The blank half is the future, which nobody may see."
    else:
        blank = "This model cheats: it sees the next character too, and a stripe just above the diagonal is that look."
    st.caption(
        "To guess what follows a character, each head looks at the characters in its sight and mixes what it finds. "
        "A row's shares add up to 100 %. Look for a stripe just below the diagonal (a head that looks one back) or for "
        f"columns that many rows share, such as the last space ␠. {blank}"
    )


def _tick(run: Run, text: str) -> None:
    now = view.model_shown(max_age=1.0, wait=0.1)
    if now is None:
        st.caption("Its first weights are on their way.")
        return
    step, model = now
    config, shown = model.config, _drawn()
    pattern = shown.pattern(run, step, text, model)
    layer, head = _chosen(config.n_layer, config.n_head)
    st.markdown(f"Where **layer {layer + 1}, head {head + 1}** looks, at **step {step:,}**")
    sentence(pattern[layer, head], text, config.block_size, causal=config.causal)

    found = head_scores(pattern, text, config.block_size, causal=config.causal)
    small, big = st.columns([2, 3], gap="medium")
    with small:
        st.markdown("**All heads**: choose one")
        heads(pattern, _notes(found, config.n_layer, config.n_head), (layer, head), _choose, causal=config.causal)
        _measured(found, layer, head)
    with big:
        what = (run.id, view.moment(), text, layer, head, mode())
        job = view.job()
        is_moving = view.moment() is None and job is not None and job.state == "training"
        drawn, figure = shown.heatmap(
            what,
            step,
            is_moving,
            lambda: attention_figure(pattern[layer, head], text, mode(), causal=config.causal),
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Layer {layer + 1}, head {head + 1}, at step {drawn:,}**: rows look at columns")
            if is_moving:
                st.button(
                    "Draw anew",
                    key="attention-anew",
                    icon=":material/refresh:",
                    on_click=shown.forget_the_heatmap,
                    help="The heatmap stands still while the model trains, and moves on when the steps have grown by "
                    "half. The text and the small pictures are always new.",
                )
        with st.container(height=figure.layout.height, border=False):  # for a moment the new one stands above the old
            st.plotly_chart(figure, key="attention-one", config={"displayModeBar": False})


def _chosen(n_layer: int, n_head: int) -> tuple[int, int]:
    """The head that the person chose, or the nearest that this run has."""
    layer, head = session().head
    return min(layer, n_layer - 1), min(head, n_head - 1)


def _choose(layer: int, head: int) -> None:
    session().head = layer, head


def _notes(found: list[HeadScore], n_layer: int, n_head: int) -> list[str]:
    """A sentence on each head, layer after layer."""
    notes = []
    for layer in range(n_layer):
        for head in range(n_head):
            best = strongest(found, layer, head)
            does = f" looks {_share(best, layer, head)}." if best else ": nothing stands out from chance."
            notes.append(f"Layer {layer + 1}, head {head + 1}{does}")
    return notes


def _measured(found: list[HeadScore], layer: int, head: int) -> None:
    """All that is measured about the chosen head."""
    if found:
        st.caption(
            f"Measured on this sentence: {' · '.join(_share(score, layer, head) for score in found)}. "
            "Chance is a head that looks evenly at all in sight."
        )
    else:
        st.caption("One character alone has no choice where to look: write a longer sentence.")


def _share(score: HeadScore, layer: int, head: int) -> str:
    return f"{score.place} {score.shares[layer, head].item():.0%} (chance {score.chance:.0%})".replace("%", "\u00a0%")
