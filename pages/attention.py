"""Where each character looks: the heads of the model, as it is now, on a sentence of one's own."""

from microllm.ui import shell

shell.enter("pages/attention.py", "Where each character looks (attention)")

from microllm.ui.parts import attention, text_fields
from microllm.ui.state.view import look

view = look()
text_fields.need_a_run(view, "Attention is what a model has learned to look at. Train one first, for a few seconds.")
sentence = text_fields.sentence(view)
if sentence:
    attention.attention(view, sentence)
