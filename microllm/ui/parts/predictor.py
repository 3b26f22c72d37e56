"""What predicts on the generate page: the run's model, or a counting table of its training text."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import streamlit as st

from ...config import REFERENCE_NAMES
from ...corpus import COUNTED_CHARACTERS, TABLE_SIZES, Corpus, CountingTables
from ...data.decode import TextProblem
from ...insight.table_model import TableModel
from ...jobs.background import Background
from ...model import MicroLLM
from ..server import in_the_background
from ..state.view import View, why_no_text
from ..words import literal

MODEL = "model"
TABLES = {f"table_{n}": n for n in TABLE_SIZES}
"""The length of the sequences of each counting table, by the name of its reference loss."""

_KEY = "predict-with"
_COUNTING_SECONDS = 1.0  # worth waiting for: a novel is counted in a quarter of a second


@dataclass(frozen=True)
class Predictor:
    """A model or a counting table; `step` is the training step of the model, None for a table."""

    model: MicroLLM | TableModel
    step: int | None

    @property
    def name(self) -> str:
        """What it is, within a sentence."""
        return name_of(self.model) if self.step is None else f"the model at step {self.step:,}"


def name_of(model: MicroLLM | TableModel) -> str:
    """What kind of predictor this is, for use in a sentence: the model, the 5-character table."""
    if not isinstance(model, TableModel):
        return "the model"
    name = REFERENCE_NAMES[f"table_{model.n}"]
    return f"the {name}" if name.endswith("table") else f"the table of {name}"


def context_of(model: TableModel) -> str:
    """A sentence that says what a table sees."""
    if model.n == 1:
        return "It sees no context: it always predicts the same."
    previous = "the previous character" if model.n == 2 else f"the previous {model.n - 1} characters"
    return f"It sees only {previous}. If these never occur in the training text, all characters are equally likely."


def choose(view: View) -> None:
    """The choice of what predicts, which `chosen` returns. Says so if the text for a table is not on this server."""
    st.selectbox(
        "Predict with",
        [MODEL, *TABLES],
        format_func=lambda key: "This run's model" if key == MODEL else REFERENCE_NAMES[key].capitalize(),
        key=_KEY,
        persist_state="session",
        help="A counting table predicts what usually followed the last characters in the training text of this run. "
        "Its loss is a dashed line on the Train page.",
    )
    if chosen() == MODEL:
        return
    if problem := why_no_text(view.run):
        st.info(literal(problem), icon=":material/info:")
    else:
        st.caption("A counting table has no training steps: it is the same at every moment of the run.")


def chosen() -> str:
    """MODEL, or one of TABLES."""
    return st.session_state.get(_KEY, MODEL)


def key(view: View, who: str | None = None) -> tuple:
    """Identifies a predictor of the displayed run, whatever its step. `who` is as in `chosen`, which is the default."""
    who = who or chosen()
    return (*view.model_key, who) if who == MODEL else (view.run.id, who)


def predictor(view: View, max_age: float = 0.5) -> Predictor | None:
    """What predicts now; the model is at most `max_age` seconds old. None without weights, or without the text."""
    if chosen() == MODEL:
        now = view.model(max_age)
        return now and Predictor(now[1], now[0])
    try:
        tables = tables_of(view.run.load_corpus())
    except TextProblem:  # `choose` says so
        return None
    return tables and Predictor(TableModel(tables, TABLES[chosen()]), None)


def why_none(view: View) -> str:
    """A sentence that says why there is no predictor."""
    if chosen() == MODEL:
        return "The model has no weights yet: try again in a second."
    return why_no_text(view.run) or "The training text is still being counted: try again in a second."


def tables_of(corpus: Corpus, wait: float = _COUNTING_SECONDS) -> CountingTables | None:
    """The counting tables of a corpus; None if counting takes more than `wait` seconds. It continues in the background.

    A run that was trained here has counted already, for its reference losses.
    """
    if "tables" not in vars(corpus):
        works = _counting()
        if corpus not in works:
            works[corpus] = in_the_background(lambda _: corpus.tables)
        works[corpus].wait(wait)
    return vars(corpus).get("tables")


@st.cache_resource(show_spinner=False)
def _counting() -> weakref.WeakKeyDictionary[Corpus, Background]:
    """The background work that counts each text."""
    return weakref.WeakKeyDictionary()


def counted_characters(corpus: Corpus) -> int | None:
    """How many characters the tables of a corpus count, if they leave some of its training part out."""
    return COUNTED_CHARACTERS if len(corpus.train) > COUNTED_CHARACTERS else None
