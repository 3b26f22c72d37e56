"""The attention page: where each character looks, head by head."""

from __future__ import annotations

import streamlit as st

from .. import plots
from ..runs import Run
from ..trace import trace
from ..writing import known_ids
from . import session
from .controls import mode
from .frame import live
from .session import is_active


def attention(sentence: str) -> None:
    """The heads of the run on show on the person's sentence, again every few seconds while it trains."""
    run = session.run()
    info = run.info
    left, right = st.columns(2)
    with left:
        layer = _number("layer", info.model.n_layer)
    with right:
        head = _number("head", info.model.n_head)
    live(
        lambda: _attention_tick(run, sentence, layer, head),
        3.0,
        key="attention-live",
        when=is_active(),
    )


def _number(name: str, count: int) -> int:
    return st.segmented_control(
        name, list(range(count)), default=0, format_func=lambda i: str(i + 1), key=f"{name}-of-{count}", required=True
    )


def _attention_tick(run: Run, sentence: str, layer: int, head: int) -> None:
    now = session.model_shown(max_age=1.0)
    if now is None:
        st.caption("The model has no weights to show yet.")
        return
    step, model = now
    idx = known_ids(run.tokenizer, sentence)
    pattern = trace(model, idx).pattern
    st.markdown(f"Computed now, with the model of **step {step:,}**.")
    shown = run.tokenizer.decode(idx)
    big, small = st.columns([3, 2])
    with big:
        st.markdown(
            f"**Layer {layer + 1}, head {head + 1}**: each row is a character, its columns are what it looks at"
        )
        st.plotly_chart(plots.attention_figure(pattern[layer, head], shown, mode()), key="attention-one")
    with small:
        st.markdown("**All heads**, the chosen one framed")
        st.plotly_chart(plots.heads_figure(pattern, (layer, head), mode()), key="attention-all")
