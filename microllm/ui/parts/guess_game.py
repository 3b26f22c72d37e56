"""A game to play while a model trains: guess the next letter, and compare your guesses with the model's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import streamlit as st
import torch

from ...corpus import Corpus
from ...data.decode import TextProblem
from ...data.texts import load_corpus
from ...insight.guessing import Game, Turn, chances_of_model, chances_of_tables, commonest, letter_of
from ...tokenizer import visible, visible_alone
from ..components.guess import guess
from ..glossary import term
from ..state import games
from ..state.games import Play, TextKey
from ..state.session import session
from ..state.view import View
from ..words import isolated, literal, percent
from .disclosure import disclosure
from .live import live

_BUTTONS = 12
_TAIL_CHARACTERS = 24  # shown again before an answer
_TICK_SECONDS = 0.5
_WAITING_TICK_SECONDS = 2.0
_NAMES = {" ": "space", "\n": "line end", "\t": "tab"}
_END = "You have seen all of this text."


def guess_form(view: View) -> None:
    """The game, collapsed; it opens by itself when a run of this window has to wait for its first turn."""
    is_new = view.is_active and not view.has_a_curve
    every = _WAITING_TICK_SECONDS if view.waits else _TICK_SECONDS
    live(_fold, every, key="guessing", when=is_new)


def _fold(view: View) -> None:
    if view.job and (view.job.seconds_to_turn() or 0) > 1 and not session().has_waited:
        session().has_waited = st.session_state["guess-fold"] = True
    if place := disclosure("Guess the next letter against the model", key="guess-fold"):
        with place:
            _play(view)


def against_untrained(view: View) -> int:
    """The game against two snapshots, the first one and that of the displayed moment. Returns the number of guesses.

    A game lasts while the model trains and the person opens other runs; here all its turns are those of one step.
    """
    above, steps = st.container(key="guess-table"), view.snapshots
    shown = steps[-1] if steps and view.moment is None else view.moment
    if (play := _play(replace(view, moment=shown), is_by_snapshot=shown is not None)) is None:
        return 0
    rows = [("you", play.game.yours, None)]
    if play.predictor == ("model", shown):
        if untrained := _by_snapshot(view, play, steps[0]):
            rows.append(_row("untrained", untrained))
        rows.append(_row("trained", play))
    with above:
        st.markdown(_table(rows, len(play.game.turns)))
    return len(play.game.turns)


def _by_snapshot(view: View, play: Play, step: int) -> Play | None:
    """A game in which the model of this snapshot made all predictions.

    None if its weights are damaged, or if that takes more than a second, for a large model in a long game.
    """
    if (now := replace(view, moment=step).model(whole=True)) is None:
        return None
    game, corpus, deadline = play.game, load_corpus(*play.text), time.monotonic() + 1.0
    places, turns = game.places, []
    for turn in game.turns:
        if time.monotonic() > deadline:
            return None
        begin = turn.place - places.index(turn.place) % game.asked - game.shown
        chances = chances_of_model(now[1], corpus.val[begin : turn.place])
        bet = int(chances.argmax())
        of_both = chances[bet].item(), chances[turn.truth].item()
        turns.append(Turn(turn.place, turn.truth, turn.yours, bet, *of_both))
    return replace(play, game=replace(game, turns=tuple(turns)), predictor=("model", step))


def _row(name: str, play: Play) -> tuple[str, int, float]:
    _, step = play.predictor
    return f"{name} model (step {step:,})", play.game.models, sum(turn.chance_of_truth for turn in play.game.turns)


def _table(rows: list[tuple[str, int, float | None]], turns: int) -> str:
    lines = ["| who guesses | right | probability of the right character, on average |", "|---|---|---|"]
    for name, right, chance in rows:
        mean = percent(chance / turns) if chance is not None and turns else "–"
        lines.append(f"| {name} | {right} of {turns} | {mean} |")
    return "\n".join(lines)


def _play(view: View, is_by_snapshot: bool = False) -> Play | None:
    """Draw the game, after a guess if one was just made. Returns what was drawn.

    If it `is_by_snapshot`, that is the game as if the model of the displayed moment had made all predictions. None if
    the text is not on this server, and until the browser has sent the game that it kept.
    """
    if session().browser_keeps is None:
        st.caption("Loading …")
        return None
    try:
        text = view.run.text_and_vocab()
        corpus = load_corpus(*text)
    except TextProblem as problem:
        st.caption(literal(str(problem)))
        return None
    play = games.play_on(text, corpus)
    made, session().guessed = session().guessed, None
    if made and made[0] == play.game.at and play.game.place is not None:
        play = _answer(view, play, corpus, made[1])
    games.keep(play)
    if is_by_snapshot:
        play = _by_snapshot(view, play, view.moment) or play
    _draw(view, play, corpus)
    return play


def _predict(view: View, corpus: Corpus, passage: torch.Tensor) -> tuple[tuple[str, int], torch.Tensor]:
    """(Play.predictor, chances (V,)): the model at the displayed moment or, if there is none, a counting table."""
    now = view.model(max_age=2.0, wait=0.2, whole=True)
    if now is None:
        n, chances = chances_of_tables(corpus.tables, passage)
        return ("table", n), chances
    step, model = now
    return ("model", step), chances_of_model(model, passage)


def _answer(view: View, play: Play, corpus: Corpus, typed: str) -> Play:
    character = letter_of(corpus.tokenizer, typed)
    if character is None:
        notice = f"{_named(typed)} does not occur in this text. Guess again."
        return replace(play, notice=notice, refused=play.refused + 1)
    predictor, chances = _predict(view, corpus, corpus.val[play.game.passage])
    (yours,) = corpus.tokenizer.encode(character)
    game = play.game.answered(int(corpus.val[play.game.place]), yours, chances)
    return replace(play, game=game, predictor=predictor, notice="")


def _draw(view: View, play: Play, corpus: Corpus) -> None:
    game, decode = play.game, corpus.tokenizer.decode
    context = view.info.model.block_size
    place = game.place
    passage = decode(corpus.val[game.passage]) if place is not None else ""
    before, seen = passage[: max(0, len(passage) - context)], passage[-context:]
    guess(
        {
            "turn": game.at,
            "before": [visible(c) for c in before],
            "sight": [visible(c) for c in seen] if place is not None else [*_END],
            "spoken": f"What comes after: {passage}" if place is not None else "The game is over",
            "options": _options(*play.text),
            "notice": play.notice,
            "refused": play.refused,
            "last": _last(game.turns[-1], play.predictor, corpus) if game.turns else None,
            "score": _score(game),
            "over": place is None,
            "kept": games.written(),
        },
        _remember,
    )
    italic = f" Italic: too far back for this model to see (block_size {context})." if before else ""
    st.caption(
        f"{term('held-out-text', 'Held-out text')}, which the model never trains on. Type one character (Enter is a "
        "line end ⏎) or tap one of the most common. Then you see what the model "
        f"predicts from the same text.{italic}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_how_it_scores(game), width="stretch")
        if place is not None:
            where = play.text, game.at
            st.button("Next passage", key="guess-next", icon=":material/skip_next:", on_click=_skip, args=where)
        if game.turns:
            st.button("New game", key="guess-new", icon=":material/restart_alt:", on_click=_forget, args=(play.text,))


def _remember(turn: int, character: str) -> None:
    session().guessed = turn, character


def _skip(text: TextKey, at: int) -> None:
    """Go to the next passage, unless a click has already done so since this turn."""
    play = session().plays.get(text)
    if play and play.game.at == at:
        games.keep(replace(play, game=play.game.next_passage(), notice=""))


def _forget(text: TextKey) -> None:
    session().plays.pop(text, None)


@st.cache_data(show_spinner=False, max_entries=32)
def _options(sha256: str, vocab: str | None) -> list[dict[str, str]]:
    """The characters that have a button, ordered by frequency in the text (sorting by probability would give hints)."""
    corpus = load_corpus(sha256, vocab)
    characters = corpus.tokenizer.decode(commonest(corpus.train, corpus.vocab_size, _BUTTONS))
    return [{"character": c, "shown": visible_alone(c), "name": _named(c)} for c in characters]


def _last(turn: Turn, predictor: tuple[str, int], corpus: Corpus) -> dict[str, Any]:
    decode = corpus.tokenizer.decode
    tail = decode(corpus.val[max(0, turn.place - _TAIL_CHARACTERS) : turn.place])
    truth, yours, bet = (_named(decode([i])) for i in (turn.truth, turn.yours, turn.bet))
    kind, size = predictor
    who = f"The model at step {size:,}" if kind == "model" else f"No model yet, so a {size}-character table"
    guessed = f"guessed {bet} ({percent(turn.chance_of_bet)})"
    if turn.bet == turn.truth:
        model = f"✓ {who} {guessed}: right."
    else:
        model = f"✗ {who} {guessed}; it gave {truth} {percent(turn.chance_of_truth)}."
    return {
        "tail": [visible(c) for c in tail],
        "truth": visible_alone(decode([turn.truth])),
        "spoken": f"After {tail} came {truth}",
        "yours": "✓ You were right." if turn.yours == turn.truth else f"✗ You guessed {yours}; it was {truth}.",
        "bet": model,
    }


def _named(character: str) -> str:
    """A character within a sentence: its name if it is invisible."""
    return _NAMES.get(character) or isolated(visible_alone(character))


def _score(game: Game) -> str:
    n = len(game.turns)
    return f"Right so far: you {game.yours} of {n}, the model {game.models} of {n}." if n else ""


def _how_it_scores(game: Game) -> str:
    n = len(game.turns)
    margin = (
        f" With {n} guesses the score is uncertain by about ±{100 * game.margin:.0f} percentage points." if n else ""
    )
    return (
        "Only first guesses count. A reader in Shannon's 1951 experiment guessed 89 of 129 characters (69 %) right, "
        f"choosing from 26 letters and the space.{margin}"
    )
