"""The game while a model trains: guess the next letter, and see whether the model would have known it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
import torch

from ...corpus import Corpus
from ...data.decode import TextProblem
from ...data.texts import load_corpus
from ...insight.guessing import Game, Turn, chances_of_model, chances_of_tables, commonest, letter_of
from ...tokenizer import visible, visible_alone
from ..components.guess import guess
from ..state import draft, view
from ..state.session import session
from ..words import isolated, literal
from .disclosure import disclosure
from .live import live

_OPTIONS = 12
_TAIL = 24  # characters that are shown again before an answer
_NAMES = {" ": "space", "\n": "line end", "\t": "tab"}


@dataclass(frozen=True)
class _Play:
    """A game on one text (as load_corpus takes it), who bet at each of its turns, how many guesses were refused and why
    the last one was.
    """

    text: tuple[str, str | None]
    game: Game
    bettors: tuple[str, ...] = ()
    refused: int = 0
    notice: str = ""


def guess_form() -> None:
    """The game, folded away; open from the moment when a run of this window has to wait for its first turn."""
    is_new = view.is_active() and not view.has_a_curve()
    live(lambda _: _fold(), 2.0 if view.waits() else 0.5, key="guessing", when=is_new)


def game() -> None:
    """The game on the held-out text of the run on show; before the first run, of the text that is chosen."""
    live(lambda _: _play(), 1.0, key="guessing", when=False)


def _fold() -> None:
    job = view.job()
    if job and (job.seconds_to_turn() or 0) > 1 and not session().has_waited:
        session().has_waited = st.session_state["guess-fold"] = True
    if place := disclosure("Guess the next letter, against the model", key="guess-fold"):
        with place:
            _play()


def _play() -> None:
    try:
        text = _text()
        if text is None:
            st.caption("The text is still on its way.")
            return
        corpus = load_corpus(*text)
    except TextProblem as problem:
        st.caption(literal(str(problem)))
        return
    play = session().play
    if play is None or play.text != text:
        play = _Play(text, Game(len(corpus.val), secrets.randbits(32)))
    made, session().guessed = session().guessed, None
    if made and made[0] == len(play.game.turns) and play.game.place is not None:
        play = _answer(play, corpus, made[1])
    session().play = play
    _draw(play, corpus)


def _text() -> tuple[str, str | None] | None:
    """The text to guess in, as load_corpus takes it; None while the book is on its way. Raises TextProblem."""
    if run := view.run():
        return run.text_and_vocab()
    chosen = draft.text()
    return (chosen.sha256, None) if chosen else None


def _bets(corpus: Corpus, passage: torch.Tensor) -> tuple[str, torch.Tensor]:
    """(who, chances (V,)): the model at the moment on show, or what counting gives where no model is."""
    now = view.model_shown(max_age=2.0, wait=0.2) if view.run() else None
    if now is None:
        n, chances = chances_of_tables(corpus.tables, passage)
        return f"No model yet, so counting (table of {n})", chances
    step, model = now
    return f"The model of step {step:,}", chances_of_model(model, passage)


def _answer(play: _Play, corpus: Corpus, typed: str) -> _Play:
    character = letter_of(corpus.tokenizer, typed)
    if character is None:
        notice = f"{_named(typed)} does not occur in this text: guess again."
        return replace(play, notice=notice, refused=play.refused + 1)
    place = play.game.place
    who, chances = _bets(corpus, corpus.val[play.game.passage(place)])
    (yours,) = corpus.tokenizer.encode(character)
    game = play.game.answered(int(corpus.val[place]), yours, chances)
    return replace(play, game=game, bettors=(*play.bettors, who), notice="")


def _draw(play: _Play, corpus: Corpus) -> None:
    game, decode = play.game, corpus.tokenizer.decode
    run = view.run()
    sight = run.read_info().model.block_size if run else 4
    place = game.place
    passage = decode(corpus.val[game.passage(place)]) if place is not None else ""
    before, seen = passage[: max(0, len(passage) - sight)], passage[-sight:]
    guess(
        {
            "turn": len(game.turns),
            "before": [visible(c) for c in before],
            "sight": [visible(c) for c in seen]
            if place is not None
            else [*"You have been through all places of this text."],
            "spoken": f"What comes after: {passage}" if place is not None else "The end of the game",
            "options": _options(*play.text),
            "notice": play.notice,
            "refused": play.refused,
            "last": _last(game.turns[-1], play.bettors[-1], game, corpus) if game.turns else None,
            "score": _score(game),
            "over": place is None,
        },
        _remember,
    )
    pale = f" Slanted: too far back for the model (block_size {sight})." if run and before else ""
    st.caption(
        "Text that the model never trains on. Type one character (Enter is a line end ⏎) or tap one of the commonest; "
        f"after it, what the model would have said with the same text before it.{pale}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_meaning(game), width="stretch")
        if game.turns:
            st.button("New game", key="guess-new", icon=":material/restart_alt:", on_click=_forget)


def _remember(turn: int, character: str) -> None:
    session().guessed = turn, character


def _forget() -> None:
    session().play = None


@st.cache_data(show_spinner=False, max_entries=32)
def _options(sha256: str, vocab: str | None) -> list[dict[str, str]]:
    """The characters that have a button: never in the order of what may come next, which would give it away."""
    corpus = load_corpus(sha256, vocab)
    characters = corpus.tokenizer.decode(commonest(corpus.train, corpus.vocab_size, _OPTIONS))
    return [{"character": c, "shown": visible_alone(c), "name": _named(c)} for c in characters]


def _last(turn: Turn, who: str, game: Game, corpus: Corpus) -> dict[str, Any]:
    decode = corpus.tokenizer.decode
    tail = decode(corpus.val[game.passage(turn.place)])[-_TAIL:]
    truth, yours, bet = (_named(decode([i])) for i in (turn.truth, turn.yours, turn.bet))
    odds = f"bet on {bet} with {_percent(turn.chance_of_bet)}"
    if turn.bet == turn.truth:
        model = f"✓ {who} {odds}: right."
    else:
        model = f"✗ {who} {odds}, and gave {truth} {_percent(turn.chance_of_truth)}."
    return {
        "tail": [visible(c) for c in tail],
        "truth": visible_alone(decode([turn.truth])),
        "spoken": f"After {tail} came {truth}",
        "yours": f"✓ You said {yours}: right." if turn.yours == turn.truth else f"✗ You said {yours}; it was {truth}.",
        "bet": model,
    }


def _named(character: str) -> str:
    """A character within a sentence: its name where it cannot be seen."""
    return _NAMES.get(character) or isolated(visible_alone(character))


def _percent(chance: float) -> str:
    return f"{100 * chance:.0f} %" if chance >= 0.01 else "less than 1 %"


def _score(game: Game) -> str:
    n = len(game.turns)
    return f"Right so far: you {game.yours} of {n}, the model {game.models} of {n}." if n else ""


def _meaning(game: Game) -> str:
    luck = (
        f" Out of {len(game.turns)}, a share is sure to about ± {100 * game.margin:.0f} points." if game.turns else ""
    )
    return (
        "The score counts what was known at the first guess. A reader of Shannon's (1951) knew 89 of 129 characters "
        f"(69 %), with 26 letters and the space to choose from.{luck}"
    )
