"""What a browser window has chosen, in one typed object. The values of its widgets stand in `st.session_state` itself,
under the widgets' keys; those of the knobs under `knob_key`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:  # the shell of a page is drawn before torch is imported
    from ...data.texts import Text


@dataclass
class OwnText:
    """The person's own text: what it is, where it came from, and what was said about it."""

    text: Text | None = None
    field: str | None = None
    """"upload" or "pasted"; None for a text that came from a run."""
    problem: str | None = None
    """Why what stands in a field cannot be used."""
    removed: Text | None = None
    """The text whose file was just removed: it comes back when the file that replaces it cannot be used."""
    pasted: str | None = None
    """What of the paste box was taken already."""
    upload_id: str | None = None
    """Which uploaded file was taken already."""
    encoding: tuple[str | None, str | None] = (None, None)
    """(the upload, the encoding that the person chose for it)."""
    likely_encoding: str | None = None
    """The encoding that was assumed for the upload, where it does not say."""


@dataclass
class Session:
    """The choices of one browser window. Only ids, numbers and words: runs and models are shared by all windows."""

    # the run and the moment on show
    run_id: str | None = None
    moment: int | None = None
    """A step whose weights were kept; None is live."""
    problem: str | None = None
    """Why the last command failed, for the page to show once."""
    owner_keys: dict[str, str] = field(default_factory=dict)
    """By run id, to read and to write. The runs themselves keep a hash of these only."""
    met_runs: set[str] = field(default_factory=set)
    """The runs that were on show here."""

    # the address
    followed: dict[str, str] | None = None
    """What of the address was followed already."""
    written: dict[str, str] | None = None
    """What this window wrote to the address last."""
    detour: tuple[str, dict[str, str]] | None = None
    """(page, query parameters) to come back to, see shell.py."""

    # the next run
    preset: str = "quick"
    settings: dict[str, Any] | None = None
    """Values of the knobs; None until a person or a link has said any."""
    text_choice: dict[str, Any] = field(default_factory=lambda: {"source": "book", "how": "none", "first": None})
    own: OwnText = field(default_factory=OwnText)
    modified_text: str | None = None
    """The SHA-256 of the newest text that was cut or modified here."""
    is_duration_chosen: bool = False
    """True when max_steps was just chosen by a duration."""
    draft_asked: str = field(default_factory=lambda: secrets.token_hex(8))
    """What the browser was asked for its saved draft with."""
    draft_answered: bool = False
    first_draft: Any = None
    """What the controls said before the browser answered."""
    imported: tuple[str | None, str | None] = (None, None)
    """(the file that was imported last, what was wrong with it)."""

    # attention and generation
    head: tuple[int, int] = (0, 0)
    """The layer and the head that the person looks at."""
    offered: list[str] = field(default_factory=list)
    """Every sentence and prompt that a field began with, and that nobody wrote."""
    prompt_version: int = 0
    character: tuple[int, int] = (0, 0)
    """The sample and the place in it whose choices are on show."""
    generation_problem: tuple[str, str] | None = None
    """(the prompt, what was wrong)."""
    passage: int = 0
    """The number of the held-out passage to read."""

    # the guessing game
    play: Any = None
    guessed: tuple[int, str] | None = None
    """(turn, character) of a guess that was just made."""
    has_waited: bool = False
    """True when the game was opened because the run had to wait."""


def take_problem() -> str | None:
    """Why the last command failed; from now on that has been said."""
    problem, session().problem = session().problem, None
    return problem


def session() -> Session:
    """The session of the window that this script runs for."""
    return st.session_state.setdefault("session", Session())


def knob_key(name: str) -> str:
    """The key of the widget of a knob: no knob's name can collide with another key."""
    return f"knob-{name}"
