"""The Attention page: which earlier characters each head attends to, for a sentence of your choice."""

from microllm.ui import shell

shell.enter("pages/attention.py", "Attention: where each character looks")

from microllm.ui.parts import attention, text_fields
from microllm.ui.state.view import look

view = look()
text_fields.need_a_run(view, "This page shows which earlier characters a model attends to. Train a model first.")
sentence = text_fields.sentence(view)
if sentence:
    attention.attention(view, sentence)
