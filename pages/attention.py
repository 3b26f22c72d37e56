"""Where each character looks: the heads of the model, as it is now, on a sentence of one's own."""

import streamlit as st

from microllm.ui import frame

frame.enter("pages/attention.py", "Where each character looks (attention)")

from microllm.ui import attention, controls

controls.need_a_run("Attention is what a model has learned to look at. Train one first, for a few seconds.")
sentence = controls.sentence()
if sentence:
    attention.attention(sentence)
    st.caption(
        "To guess what follows a character, each head looks back at the characters before it and mixes what it finds. "
        "A row's shares add up to 100 %. Look for a stripe just below the diagonal (a head that looks one back) or for "
        "columns that many rows share, such as the last space ␠. The blank half is the future, which nobody may see."
    )
