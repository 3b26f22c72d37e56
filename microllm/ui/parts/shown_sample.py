"""A sample of a model and its scores. A fresh server shows one before torch is imported."""

from __future__ import annotations

import streamlit as st

from ...runs.gallery import ScoredSample
from ..words import lines_in_words, percent


def show_sample(sample: ScoredSample | None, text: str, *, is_now: bool) -> None:
    """Show a sample, with `text` as its visible text; None is one that is still being written."""
    heading = "**What it writes**" + (" now" if is_now else "")
    with st.container(key="sample-live", gap="xsmall"):
        st.markdown(f"{heading} · {_scores(sample) if sample else 'waiting for the first sample'}")
        # not st.code, whose 1.5 MB of scripts would delay the first page of a fresh server
        st.text(text, width="stretch")


def _scores(sample: ScoredSample) -> str:
    parts = [f"step {sample.step:,}"]
    if sample.new_lines:
        parts.append(lines_in_words(*sample.new_lines))
    if sample.real_words is not None:
        parts.append(f"**{percent(sample.real_words)}** real words")
    parts.append(f"next character right **{percent(sample.top1_accuracy)}**")
    return " · ".join(parts)
