"""What a browser window has chosen, in one typed object. The values of widgets are in `st.session_state` itself, under
the widgets' keys; those of the knobs under `knob_key`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:  # shell.py must not import torch
    from ...data.texts import Text


@dataclass
class OwnText:
    """The person's own text, and the fields it comes from."""

    text: Text | None = None
    field: str | None = None
    """"upload" or "pasted"; None for a text that came from a run."""
    problem: str | None = None
    """Why the contents of a field cannot be used."""
    removed: Text | None = None
    """The text whose file was just removed: it comes back if the file that replaces it cannot be used."""
    pasted: str | None = None
    """The contents of the paste box that were read last."""
    upload_id: str | None = None
    """The id of the uploaded file that was read last."""
    encoding: tuple[str | None, str | None] = (None, None)
    """(id of the uploaded file, the encoding that the user chose for it)."""
    likely_encoding: str | None = None
    """The encoding assumed for the uploaded file, if the file does not say."""


@dataclass
class Session:
    """The choices of one browser window. Only ids, numbers and words: all windows share runs and models."""

    # the displayed run and moment
    run_id: str | None = None
    """The run that was started, opened or linked to; None before that, when pages show the first of the gallery."""
    moment: int | None = None
    """The step of a snapshot; None is live."""
    without: tuple[str, ...] = ()
    """The parts of the model that are knocked out on all pages, such as "2.3" and "2.ff" (see insight/knockout.py)."""
    replaced_by: str = "mean"
    """What the output of a knocked-out part is replaced by: its "mean" or "zero"."""
    problem: str | None = None
    """Why the last command failed, for the page to show once."""
    owner_keys: dict[str, str] = field(default_factory=dict)
    """By run id. A run stores only a hash of its key."""
    stored_keys: set[str] = field(default_factory=set)
    """The ids of the runs whose keys the browser sent."""
    deleted_runs: set[str] = field(default_factory=set)
    """The ids of the runs that this window deleted: the browser drops their keys."""
    met_runs: set[str] = field(default_factory=set)
    """The ids of all runs that this window has shown."""
    compared: set[str] | None = None
    """The ids of the runs on the loss plot beside the displayed one; None for the newest on the same text."""

    colors: dict[str, int] = field(default_factory=dict)
    """By the ids of the runs on the loss plot beside the displayed one: the numbers of their colors, from 1."""

    # the page Learn, see path.py
    lesson: str | None = None
    """The open card of the path, which is also shown on the page on which it is done; None for the film of a run."""
    is_in_glossary: bool = False
    """True while the page Learn shows the glossary."""
    is_with_twins: bool = False
    """True while the page Learn shows twins."""
    asked_term: str | None = None
    """The term of the glossary that the address asks for; None once the person has left the glossary."""
    done_cards: set[str] = field(default_factory=set)
    """The ids of the cards that this person has finished. The browser keeps them."""
    first_shown: dict[str, Any] = field(default_factory=dict)
    """By card: the values of its controls when they were first shown."""
    draws: dict[str, int] = field(default_factory=dict)
    """By card: how often another passage or batch was drawn. It is the seed of the one shown."""
    has_pointed: bool = False
    """True once the person has pointed at a character of a batch that they have drawn."""

    # the browser, see browser_storage.py
    browser_keeps: bool | None = None
    """Whether the browser keeps keys and drafts; None until it has answered."""
    is_forgetting: bool = False
    """True when the browser was told to remove everything."""

    # the address
    arrived: dict[str, str] | None = None
    """The query parameters with which the window was opened, without a key."""
    link_with_key: dict[str, str] | None = None
    """The query parameters of a link with a key, whose address the browser cleaned before any page; {} once taken."""
    notes: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Sentences about errors in the "link" and in the saved "draft", until the person dismisses them; each with the
    name of the setting in the link that is ignored, or None.
    """
    followed: dict[str, str] | None = None
    """The query parameters about the next run that were last applied."""
    written: dict[str, str] | None = None
    """The query parameters that this window last wrote."""
    detour: tuple[str, dict[str, str]] | None = None
    """(page, query parameters) to return to, see shell.py."""

    # the next run
    preset: str = "quick"
    settings: dict[str, Any] | None = None
    """Values of the knobs; None until a person or a link has set any."""
    text_choice: dict[str, Any] = field(default_factory=lambda: {"source": "book", "how": "none", "first": None})
    usable_source: str = "drawing-room"
    """The last chosen source that worked: it replaces one that cannot be downloaded."""
    own: OwnText = field(default_factory=OwnText)
    is_duration_chosen: bool = False
    """True when a duration button has just set max_steps."""
    first_draft: Any = None
    """The settings before the browser answered."""
    linked_draft: Any = None
    """The settings of a link that was opened, while the browser keeps another draft and nothing has been changed."""
    imported: tuple[str | None, str | None] = (None, None)
    """(id of the file that was imported last, what was wrong with it)."""

    # attention and generation
    head: tuple[int, int] = (0, 0)
    """The displayed (layer, head)."""
    stage: str = "characters"
    """The open part on the page Inside, a name of `insight.stages.stages`."""
    followed_character: tuple[str, int] | None = None
    """(sentence, place in it) of the character whose prediction the page Inside follows; None for the last one."""
    has_taken_step: bool = False
    """True once the person has taken a training step by hand, with a copy of a model."""
    beside: str | None = None
    """The id of the run that is shown beside the displayed one, or of that one itself; None for no comparison."""
    beside_moment: int | None = None
    """The step of a snapshot of that run; None is its newest weights."""
    beside_head: tuple[int, int] | None = None
    """The (layer, head) shown of it; None for the same as the displayed one."""
    offered: list[str] = field(default_factory=list)
    """Every sentence and prompt that was filled in for the user."""
    prompt_version: int = 0
    character: tuple[int, int] = (0, 0)
    """(sample, position in it) of the character whose alternatives are shown."""
    generation_problem: tuple[str, str] | None = None
    """(the prompt, what was wrong)."""
    passage: int = 0
    """The number of the held-out passage to read."""
    is_asking_why: bool = False
    """True while the page shows why a character was predicted instead of its alternatives."""
    read_character: tuple[str, int] | None = None
    """(text, position in it) of the character of a read text for which the page shows why it was predicted."""

    # experiments
    experiment: str | None = None
    """The name of the experiment that is open on its page; "" for none; None: that of the displayed run."""
    shown_experiment: str = ""
    """The name of an experiment that its page should scroll to."""
    predictions: dict[str, str] = field(default_factory=dict)
    """By the name of an experiment without a run of its own, once it was opened: the key of the prediction. The browser
    keeps them.
    """

    # twins
    twin: str | None = None
    """The id of the twin that is compared with its original; None for the newest."""
    awaited_twins: set[str] = field(default_factory=set)
    """The ids of the twin or the run from another seed that was started last, and of what was training then."""

    # the guessing game
    plays: dict[Any, Any] = field(default_factory=dict)
    """The game on each text that was played on, see games.py."""
    kept_games: dict[Any, Any] = field(default_factory=dict)
    """By text: the games that the browser kept and that this window has not continued, unchecked."""
    guessed: tuple[int, str] | None = None
    """(turn, character) of a guess that was just made."""
    has_waited: bool = False
    """True when the game was opened because the run had to wait."""


def take_problem() -> str | None:
    """Why the last command failed. It is reported only once."""
    problem, session().problem = session().problem, None
    return problem


def session() -> Session:
    """The session of the window for which this script runs."""
    return st.session_state.setdefault("session", Session())


def knob_key(name: str) -> str:
    """The key of the widget of a knob. The prefix keeps it apart from all other keys."""
    return f"knob-{name}"
