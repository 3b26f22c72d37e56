"""The Attention page: which earlier characters each head attends to, for a sentence of your choice."""

from microllm.ui import shell

shell.enter("pages/attention.py", "Attention: where each character looks")

from microllm.ui.parts import attention, gallery_note, text_fields
from microllm.ui.state.view import look

view = look()
gallery_note.gallery_note(view)
sentence = text_fields.sentence(view)
if sentence:
    attention.attention(view, sentence)
