"""What a person's own browser keeps for them: the owner keys of their runs, the draft of their next run, which cards of
the path they have finished and what they made there, what they predicted in experiments without a run of their own, and
their guessing games.

The address never holds a key, so it can be copied. The life of a key:

1. A new run gets a key, which this window holds (`Session.owner_keys`); the run keeps only its hash. `send` hands it to
   the browser's storage (components/storage.js), which all tabs of the browser share.
2. A new page load knows nothing yet. Its first script run asks the browser, which answers once, with all keys and the
   draft that it has. That costs one rerun per page load; until then `ownership.is_unknown` is true for a run that may
   be the person's own.
3. `receive` takes the answer and checks it like everything that comes from a browser. With a bare address it then shows
   the person's own newest run.
4. A link from the command line has its key in the address. `navigation` takes it, the component removes it from the
   address without an entry in the browser's history, and from then on it is a key like the others.

If the browser refuses to store anything, only the session holds the keys, and the page says so.
"""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from ..components.storage import storage, told, without_key
from . import experiments, games, ownership, path, saved_draft
from .session import session
from .view import SENTENCE

PATH_SENTENCE = "path-sentence"
"""The key of the sentence on the card "tokens"."""


def receive() -> None:
    """Take what the browser holds, once per session. Notes what could not be restored of the saved draft."""
    window = session()
    if window.arrived is None:
        window.arrived = without_key(st.query_params.to_dict())
    if window.browser_keeps is not None or (answer := told()) is None:
        return
    window.browser_keeps = answer.get("refused") is not True
    window.done_cards |= path.read_done(answer.get("done"))
    _receive_path(answer.get("path"))
    window.predictions = experiments.read_predictions(answer.get("predictions")) | window.predictions
    window.kept_games = games.read(answer.get("games"))
    newest = ownership.take_keys(answer.get("keys"))
    if newest and window.run_id is None and saved_draft.is_bare(window.arrived):
        window.run_id = newest  # `navigation.follow_link` comes next, and completes the address
        window.met_runs.add(newest)
    if problems := saved_draft.restore(answer.get("draft"), answer.get("mine") is True):
        window.notes["draft"] = problems


def _receive_path(told: Any) -> None:
    """Restore what the person made on the cards, unless they have made something new meanwhile."""
    sentence, draws = path.read_written(told)
    if sentence and st.session_state.get(PATH_SENTENCE) in (None, SENTENCE):
        st.session_state[PATH_SENTENCE] = sentence
    session().draws = draws | session().draws


def send() -> None:
    """Make the browser keep what is chosen and owned now. Call it once per page, in no part that ticks."""
    window = session()
    if window.browser_keeps is None:
        saved_draft.remember_first()
    new = [(run_id, key) for run_id, key in ownership.keys().items() if run_id not in window.stored_keys]
    storage(
        asked=secrets.token_hex(4) if window.browser_keeps is None else None,
        draft=saved_draft.written(),
        keep=new,
        drop=sorted(window.deleted_runs),
        done=sorted(window.done_cards),
        path=path.written(st.session_state.get(PATH_SENTENCE), window.draws),
        predictions=sorted(window.predictions.items()),
        is_forgetting=window.is_forgetting,
    )


def forget() -> None:
    """Make the browser remove all that it keeps and reload the page, in all its tabs. The runs stay."""
    ownership.keys().clear()
    session().done_cards.clear()
    session().predictions.clear()
    session().is_forgetting = True
