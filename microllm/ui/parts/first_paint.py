"""What the Train page of a fresh server shows before torch is imported: the curve and a sample of a gallery run.

Everything has the same key and place as on the complete page (pages/train.py), so that the browser keeps it when that
page follows. This module and everything it imports must not import torch.
"""

from __future__ import annotations

import streamlit as st

from ... import plots
from ...runs import gallery
from ..components.loss_plot import loss_plot
from .around_the_plot import plot_axis, plot_caption, plot_row
from .front import LOADING
from .gallery_note import gallery_note
from .shown_sample import show_sample


def first_paint() -> None:
    """The curve and a sample; and the Start button, which cannot be pressed yet."""
    shown = gallery.preview()
    gallery_note(shown.name, shown.text, shown.preset)
    with plot_row():
        axis = plot_axis()
    with st.container(key="loss-live"), st.container():  # the second is that of the fragment (see live.py)
        marks = plots.passed_references(shown.history.val_losses, shown.references)
        data = plots.loss_data(shown.history, shown.references, axis, marks, shown.max_steps, about=gallery.FIRST)
        loss_plot(data, max_guess=0.0, guess=_nothing, open_run=_nothing)
        plot_caption()
        show_sample(shown.sample, shown.sample.text, is_now=True)
    with st.sidebar:
        st.markdown("**Next run**")
        st.button("Start", key="start", type="primary", icon=":material/play_arrow:", disabled=True, width="stretch")
        st.caption(LOADING)


def _nothing(_: object) -> None:
    """Does nothing: there is nothing to guess or open yet."""
