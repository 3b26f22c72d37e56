"""The glossary on the page Learn, and how this model differs from a large one."""

from __future__ import annotations

import streamlit as st

from ...cost import operations_per_step
from ...model import parameter_count
from ..glossary import TERMS, Term
from ..state.session import session
from ..state.view import View
from ..words import literal

_ICONS = {
    "train": ":material/model_training:",
    "attention": ":material/visibility:",
    "inside": ":material/account_tree:",
    "generate": ":material/edit_note:",
}
_GPT2 = {  # Radford et al. 2019
    "Parameters": "124 million",
    "Layers × heads": "12 × 12",
    "Width (n_embd)": "768",
    "Context (block_size)": "1,024 tokens",
    "Vocabulary": "50,257 tokens",
    "Read in training": "not published",
    "Operations of training": "not published",
}
_LLAMA = {  # Grattafiori et al. 2024, "The Llama 3 Herd of Models"
    "Parameters": "405 billion",
    "Layers × heads": "126 × 128",
    "Width (n_embd)": "16,384",
    "Context (block_size)": "131,072 tokens",
    "Vocabulary": "128,256 tokens",
    "Read in training": "15.6 trillion tokens",
    "Operations of training": "3.8 × 10²⁵",
}
_LLAMA_OPERATIONS = 3.8e25
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def glossary(view: View) -> None:
    """Thirty terms, with the one that the address asks for at the top."""
    if asked := TERMS.get(session().asked_term):
        with st.container(border=True, key="glossary-asked-term"):
            _show(asked, key="asked")
    wanted = st.text_input("Find a term", key="glossary-search", placeholder="for example: head").strip().lower()
    found = [term for term in TERMS.values() if wanted in term.name or wanted in term.sentence.lower()]
    if not found:
        st.caption(f"None of the {len(TERMS)} terms contains “{literal(wanted)}”.")
    columns = st.columns(2, gap="large")
    for number, term in enumerate(found):
        with columns[2 * number >= len(found)]:
            _show(term, key="all")
    st.markdown("**What a large model does differently**")
    st.markdown(_differences(view))


def _show(term: Term, key: str) -> None:
    with st.container(gap="xxsmall", key=f"glossary-{key}-{term.slug}"):
        st.markdown(f"**{term.name[0].upper()}{term.name[1:]}.** {term.sentence}")
        st.page_link(f"pages/{term.page}.py", label=f"{term.page.capitalize()}: {term.where}", icon=_ICONS[term.page])


def _differences(view: View) -> str:
    """A table of sizes, with the displayed run beside two published models, and what else differs, as Markdown."""
    model, train, vocab_size = view.info.model, view.info.train, view.run.tokenizer.vocab_size
    steps = view.history.last["step"] if view.history.last else 0
    read = steps * train.batch_size * model.block_size
    operations = steps * operations_per_step(model, train, vocab_size)
    ours = {
        "Parameters": f"{parameter_count(model, vocab_size):,}",
        "Layers × heads": f"{model.n_layer} × {model.n_head}",
        "Width (n_embd)": f"{model.n_embd}",
        "Context (block_size)": f"{model.block_size} characters",
        "Vocabulary": f"{vocab_size:,} characters",
        "Read in training": f"{read:,} characters, {read / view.info.text.characters:.1f} times its text",
        "Operations of training": _power_of_ten(operations),
    }
    rows = [f"| Model | {literal(view.info.name)} | GPT-2 small (2019) | Llama 3.1 405B (2024) |", "|---|---|---|---|"]
    rows += [f"| {name} | {ours[name]} | {_GPT2[name]} | {_LLAMA[name]} |" for name in ours]
    times = operations and _power_of_ten(_LLAMA_OPERATIONS / operations)
    ratio = f"Llama's training took {times} times as many operations. " if times else ""
    return "\n".join(rows) + (
        f"\n\n{ratio}The parts are the same: embeddings, attention heads, feed-forward networks, a residual stream, "
        "logits, and training on the next token. What differs besides size: a large model reads pieces of words "
        "instead of characters, sees each text about once, so that it can hardly overfit, and is trained on many "
        "processors at once. After that it is trained further on conversations and human preferences, which makes it "
        "answer questions instead of just continuing the text. This model was trained on one text, so it knows "
        "spelling and names but no facts."
    )


def _power_of_ten(number: float) -> str:
    """A number such as 3.8 × 10²⁵."""
    if not number:
        return "0"
    digits, exponent = f"{number:.1e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
