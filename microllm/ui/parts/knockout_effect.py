"""What changes without the knocked-out parts, and which other parts back them up."""

from __future__ import annotations

import streamlit as st
import torch

from ...data.decode import TextProblem
from ...inference import next_logits
from ...insight.knockout import Change, Part
from ...insight.memorization import after_a_cut_word
from ...jobs.knockouts import KnockedOut, KnockoutMap
from ...jobs.results import Measured
from ...tokenizer import known_ids, visible
from ..components.effect import effect
from ..server import knockouts
from ..state import navigation
from ..state.session import session
from ..state.view import View, has_text
from ..words import literal
from . import source
from .disclosure import disclosure
from .knockout import capitalized, name, named
from .knockout_map import each_alone
from .live import live

_TICK_SECONDS = 2.0  # while the run trains
_WAITING_TICK_SECONDS = 0.4
_PASSAGE_CHARACTERS = 340
_BARS = 8
_PAIRS_SHOWN = 6
_TAIL_CHARACTERS = 16  # of the sentence, before its next character


def knockout_effect(view: View, sentence: str) -> None:
    """What changes without the knocked-out parts, on the user's `sentence` and on held-out text."""
    if not sentence:
        return
    if not view.without:
        if not has_text(view.run):
            source.bring(view, "knockout-text")
        _nothing_is_out(view, sentence)
        return
    passage = _passage(view)
    found, key = _effect(view, sentence, passage), view.model_key
    is_waiting = found is None or found[1].is_waiting
    live(
        lambda shown: _effect_tick(shown, sentence, passage, key, is_waiting),
        _TICK_SECONDS if view.is_live and not is_waiting else _WAITING_TICK_SECONDS,
        key="knockout-live",
        when=view.is_active or is_waiting,
    )
    if passage is not None:
        st.button(
            "Next passage", key="next-passage", icon=":material/arrow_forward:", type="tertiary", on_click=_next_passage
        )
        _pairs_form(view)


def _nothing_is_out(view: View, sentence: str) -> None:
    """What to do, the most and the least important part, and what the whole model predicts."""
    is_waiting = each_alone(view)[0].is_waiting or _whole(view, sentence)[1].is_waiting
    live(
        lambda shown: _invitation(shown, sentence, is_waiting),
        _TICK_SECONDS if view.is_live and not is_waiting else _WAITING_TICK_SECONDS,
        key="knockout-live",
        when=view.is_active or is_waiting,
    )


def _whole(view: View, sentence: str) -> tuple[KnockedOut | None, Measured]:
    """(The whole model twice, what it writes). None without weights."""
    now = view.model(max_age=2.0, wait=0.2, whole=True)
    if now is None:
        return None, Measured(None, 0.0 if view.is_active else 1.0)
    step, model = now
    same = KnockedOut(step, model, (), None, model)
    found = knockouts().effect(view.run, same, sentence, None, is_live=view.is_live)
    return found.result.changed if found.result else same, found


def _invitation(view: View, sentence: str, was_waiting: bool) -> None:
    (found, about), (same, written) = each_alone(view), _whole(view, sentence)
    if view.without or (was_waiting and not found.is_waiting and not written.is_waiting):
        st.rerun()  # for the whole page, or to tick more slowly
    st.markdown(
        "**Nothing is knocked out.** Switch off a part of the model in the map in the sidebar, and see what changes: "
        "the loss, the next character, what the model writes, and where it is more surprised."
    )
    if (singles := found.result) is None:
        st.caption(literal(about))
    else:
        _extremes(singles)
    if same is not None:
        _show(view, sentence, same, written.result and written.result.samples, None)


def _extremes(singles: KnockoutMap) -> None:
    by_change = sorted(singles.changes, key=lambda part: singles.changes[part].nats)
    least, most = by_change[0], by_change[-1]
    st.markdown(
        f"At step {singles.step:,} the validation loss is {singles.loss:.3f} nats per character. It rises most without "
        f"**{name(most)}** ({_signed(singles.changes[most])}) and least without **{name(least)}** "
        f"({_signed(singles.changes[least])})."
    )
    with st.container(horizontal=True):
        for which, part in (("most", most), ("least", least)):
            if st.button(
                f"Knock out {name(part)}",
                key=f"knock-out-{which}",
                icon=":material/block:",
                on_click=navigation.knock_out,
                args=((part,),),
            ):
                st.rerun()


def _passage(view: View) -> torch.Tensor | None:
    """The ids (N,) of a held-out passage; None if the text of the run is not on this server."""
    try:
        held_out = view.run.load_corpus().val
    except TextProblem:
        return None
    start = session().passage * _PASSAGE_CHARACTERS % max(1, len(held_out) - _PASSAGE_CHARACTERS)
    ids = held_out[start : start + _PASSAGE_CHARACTERS]
    return ids[after_a_cut_word(view.run.tokenizer.decode(ids)) :]


def _next_passage() -> None:
    session().passage += 1


def _effect(view: View, sentence: str, passage: torch.Tensor | None) -> tuple[KnockedOut, Measured] | None:
    """(The models with and without the parts; how they differ, if already measured). None without weights."""
    changed = view.knocked_out(max_age=2.0, wait=0.5)
    if changed is None:
        return None
    found = knockouts().effect(view.run, changed, sentence, passage, is_live=view.is_live)
    return found.result.changed if found.result else changed, found


def _effect_tick(view: View, sentence: str, passage: torch.Tensor | None, drawn: tuple, was_waiting: bool) -> None:
    if view.model_key != drawn:
        st.rerun()  # the whole page
    found = _effect(view, sentence, passage)
    if was_waiting and found is not None and not found[1].is_waiting:
        st.rerun()  # to tick more slowly
    if found is None:
        st.caption("Waiting for the model …")
        return
    changed, effects, share = found[0], found[1].result, found[1].share
    without = named(changed.parts)
    if effects and effects.change:
        st.markdown(
            f"**Validation loss {effects.loss:.3f} → {effects.loss + effects.change.nats:.3f}: "
            f"{_signed(effects.change)} nats per character** at step {changed.step:,}, without {without}."
        )
    elif passage is None:
        st.markdown(f"**Step {changed.step:,}, without {without}**")
    else:
        st.markdown(
            f"At step {changed.step:,}, without {without}: measuring the validation loss, {100 * share:.0f} % …"
        )
    st.caption(
        "The boxed character is where the two texts diverge. Look for orange characters: the model predicts them worse "
        "without what you knocked out."
        if passage is not None
        else "The boxed character is where the two texts diverge."
    )
    told = (view.run.tokenizer.decode(passage), *effects.nats) if effects and effects.nats else None
    _show(view, sentence, changed, effects and effects.samples, told)


def _show(
    view: View,
    sentence: str,
    changed: KnockedOut,
    samples: tuple[str, str] | None,
    told: tuple[str, torch.Tensor, torch.Tensor] | None,
) -> None:
    tokenizer = view.run.tokenizer
    effect(
        ("…" if len(sentence) > _TAIL_CHARACTERS else "") + visible(sentence[-_TAIL_CHARACTERS:]),
        named(changed.parts),
        _next_characters(changed, known_ids(tokenizer, sentence), tokenizer.vocab),
        samples,
        told,
        "Writing …",
    )


def _next_characters(changed: KnockedOut, ids: torch.Tensor, vocab: str) -> list[tuple[str, float, float]]:
    """The most likely characters after ids (N,) before or after the knock-out: (character, both probabilities)."""
    before, after = (next_logits(model, ids[None])[0].softmax(dim=-1) for model in (changed.whole, changed.model))
    best = torch.maximum(before, after).topk(min(_BARS, len(before))).indices.tolist()
    best.sort(key=lambda i: -before[i].item())
    return [(vocab[i], before[i].item(), after[i].item()) for i in best]


def _signed(change: Change) -> str:
    """A change of the loss with its noise: +0.251 ± 0.010."""
    noise = "" if change.error is None else f" ± {change.error:.3f}"
    return f"{'−' if change.nats < 0 else '+'}{abs(change.nats):.3f}{noise}"


# ---- pairs


def _pairs_form(view: View) -> None:
    """Collapsed: which other parts back up a knocked-out one."""
    place = disclosure("Which parts back each other up?", key="knockout-pairs")
    if place is None:
        return
    with place:
        if view.is_live and view.state == "training":
            st.caption("Pairs take a while to measure: pause the run, or choose a moment on the timeline.")
            return
        part = view.without[0]
        if len(view.without) > 1:
            part = st.selectbox(
                "Pairs of this part with every other one", view.without, format_func=name, key="pairs-of"
            )
        is_waiting = _pairs(view, part).is_waiting
        live(
            lambda shown: _pairs_tick(shown, part, is_waiting),
            _WAITING_TICK_SECONDS,
            key="knockout-pairs-live",
            when=is_waiting,
        )


def _pairs(view: View, part: Part) -> Measured:
    singles = each_alone(view)[0]
    return knockouts().pairs(view.run, singles.result, part) if singles.result else singles


def _pairs_tick(view: View, part: Part, was_waiting: bool) -> None:
    found = _pairs(view, part)
    if was_waiting and not found.is_waiting:
        st.rerun()
    if (pairs := found.result) is None:
        st.caption(f"Measuring {name(part)} with every other part: {100 * found.share:.0f} % …")
        return
    rows = [
        f"| {capitalized(name(pair.part))} | {_signed(pair.alone)} | {_signed(pair.both)} | {_signed(pair.extra)} |"
        for pair in pairs[:_PAIRS_SHOWN]
    ]
    st.markdown("\n".join(["| other part | without it | without both | more than the sum |\n|---|---|---|---|", *rows]))
    st.caption(
        f"Changes of the validation loss in nats per character, ± standard error, beside {name(part)}. A positive "
        "number in the last column, of more than twice its ±, means that one part does some of the other's work while "
        "the other is out."
    )
