"""Knock-out: parts of the model that are switched off on every page, and what is different without them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
import torch

from ...data.decode import TextProblem
from ...inference import next_logits
from ...insight.knockout import Change, Part, parts_of
from ...insight.memorization import after_a_cut_word
from ...jobs.knockouts import KnockedOut, KnockoutMap, Measured
from ...runs.fork import usual_changes
from ...tokenizer import known_ids, visible
from ..components.effect import effect
from ..components.knockout_map import knockout_map
from ..glossary import term
from ..server import knockouts
from ..state import commands, navigation
from ..state.session import session
from ..state.view import View, has_text
from ..words import literal
from . import source
from .disclosure import disclosure
from .live import live

_FORK_EVAL_INTERVAL = 50  # steps: one wants to see how soon the loss is back
_TICK_SECONDS = 2.0  # while the run trains
_WAITING_TICK_SECONDS = 0.4
_PASSAGE_CHARACTERS = 340
_BARS = 8
_PAIRS_SHOWN = 6
_TAIL_CHARACTERS = 16  # of the sentence, before its next character
_WAYS = {"mean": "its average", "zero": "zero"}


# ---- on every page


def badge(view: View, *, is_whole: bool = False) -> None:
    """What is knocked out, and the button that restores it; `is_whole` on a page that shows the whole model."""
    name, out = literal(view.info.name), f"**~~{named(view.without)}~~**"
    if is_whole:
        words = f"This page shows the whole **{name}**; Attention, Inside and Generate show it without {out}"
    else:
        words = f"**{name}** without {out} ({_instead(view)})"
    st.markdown(words, width="content")
    st.button(
        "Restore", key="restore", icon=":material/undo:", type="tertiary", on_click=navigation.knock_out, args=((),)
    )
    _train_on(view)


def _train_on(view: View) -> None:
    """A button that forks the run into one in which what is knocked out stays silent, and goes to its curve."""
    if any(part.head is None for part in view.without):
        st.caption("Training on without it works for heads only.", width="content")
        return
    if not has_text(view.run):
        st.caption("Training on without it needs the text of the run, which is not on this server.", width="content")
        return
    is_one = len(view.without) == 1
    if st.button(
        f"Train on without {'it' if is_one else 'them'}",
        key="train-without",
        icon=":material/fork_right:",
        type="tertiary",
        disabled=not view.snapshots,
        help="Fork the run from this moment into one in which these heads stay silent. Do others take over?",
    ):
        step = view.snapshots[-1] if view.moment is None else view.moment
        changes = usual_changes(view.run, step, step)
        changes["eval_interval"] = min(_FORK_EVAL_INTERVAL, changes["eval_interval"])
        commands.fork(view.run.id, view.moment, None, changes, silenced=" ".join(map(str, view.without)))
        if session().problem:
            st.rerun()  # the run bar says why
        navigation.knock_out(())
        st.switch_page("pages/train.py", query_params=st.query_params.to_dict())


def switch(view: View, layer: int, head: int) -> None:
    """A button that knocks out a head or restores it; for a part that is drawn again when another head is chosen."""
    part = Part(layer, head)
    if (layer, head) in view.info.model.silenced_heads:
        st.caption("This head is silent in this run: you see what it attends to, but its output is always zero.")
        return
    is_out = part in view.without
    others = [other for other in view.without if other != part]
    if st.button(
        "Restore this head" if is_out else "Knock out this head",
        key="knock-out-head",
        icon=":material/undo:" if is_out else ":material/block:",
        on_click=navigation.knock_out,
        args=(others if is_out else [*others, part],),  # fixed when drawn, because Streamlit may deliver a click twice
    ):
        st.rerun()  # the whole page, not only the part with the button
    if is_out:
        instead = "its average, whatever the text is" if view.replaced_by == "mean" else "zero"
        st.caption(f"Knocked out (ablation): you see what it attends to, but its output is {instead}.")
        st.page_link("pages/inside.py", label="See what changes", icon=":material/account_tree:")


def _name(part: Part) -> str:
    kind = "feed-forward network" if part.head is None else f"head {part.head + 1}"
    return f"layer {part.layer + 1}, {kind}"


def named(parts: Sequence[Part]) -> str:
    """The names of some parts; of more than two their number and short names."""
    if len(parts) <= 2:
        return " and ".join(map(_name, parts))
    return f"{len(parts)} parts: {' '.join(map(str, parts[:8]))}{' …' if len(parts) > 8 else ''}"


def _instead(view: View) -> str:
    one = len(view.without) == 1
    if view.replaced_by == "mean":
        return "replaced by its average output" if one else "replaced by their average outputs"
    return "silenced" if session().replaced_by == "zero" else "silenced: the average needs the text of the run"


# ---- the map, in the sidebar


def panel(view: View) -> None:
    """The map of all parts, which knocks them out, and what they are replaced by."""
    st.markdown("**Knock out a part of the model**")
    if has_text(view.run):
        st.segmented_control(
            "What it computes is replaced by",
            list(_WAYS),
            default=session().replaced_by,
            format_func=_WAYS.get,
            key="replaced-by",
            required=True,
            persist_state="session",
            on_change=_choose_way,
            help="Its average over held-out text is what the rest of the model is used to (mean ablation). Zero is "
            "something that it has never seen, so this exaggerates what a part is worth (zero ablation).",
        )
    else:
        st.caption("What it computes is replaced by zero: its average needs the text of the run.")
    is_waiting = view.is_active or _singles(view)[0].is_waiting
    seconds = _TICK_SECONDS if view.is_live else _WAITING_TICK_SECONDS
    key = view.model_key
    live(lambda shown: _map_tick(shown, key, is_waiting), seconds, key="knockout-map-live", when=is_waiting)


def _choose_way() -> None:
    if (way := st.session_state.get("replaced-by")) in _WAYS:
        navigation.replace_by(way)


def _singles(view: View) -> tuple[Measured, str]:
    """(The map, as far as it is measured; a sentence about it)."""
    now = view.model(max_age=2.0, wait=0.2, whole=True)
    if now is None:
        return Measured(None, 0.0 if view.is_active else 1.0), "The model has no weights yet."
    try:
        found = knockouts().map(view.run, *now, session().replaced_by, is_live=view.is_live)
    except TextProblem as problem:
        return Measured(None, 1.0), str(problem)
    if found.result is None:
        return found, f"Measuring what each part is worth: {100 * found.share:.0f} % …"
    return found, f"Measured at step {found.result.step:,}." if view.is_live else ""


def _map_tick(view: View, drawn: tuple, was_waiting: bool) -> None:
    found, about = _singles(view)
    if view.model_key != drawn or (was_waiting and not found.is_waiting and not view.is_active):
        st.rerun()  # for the whole page, or to stop ticking
    parts = parts_of(view.info.model)
    silent = {Part(*place) for place in view.info.model.silenced_heads}
    knockout_map(
        parts,
        [_capitalized(_name(part)) for part in parts],
        found.result.changes if found.result else found.so_far or {},
        view.without,
        navigation.knock_out,
        silent=silent,
    )
    if silent:
        st.caption(f"{_capitalized(named(sorted(silent)))}: silent in this run, in training too.")
    st.caption(
        f"Click a part to switch it off on every page ({term('knock-out')}); ff is the {term('feed-forward-network')}. "
        f"A number is how much the {term('validation-loss')} rises without that part alone, in nats per character. "
        f"{literal(about)}"
    )


def _capitalized(words: str) -> str:
    return words[0].upper() + words[1:]


# ---- what is different


def knockout(view: View, sentence: str) -> None:
    """What is different without the parts that are knocked out, on the user's `sentence` and on held-out text."""
    if not sentence:
        return
    if not has_text(view.run):
        source.bring(view, "knockout-text")
    if not view.without:
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
    """What to do, the parts that the model needs most and least, and what the whole model predicts."""
    is_waiting = _singles(view)[0].is_waiting or _whole(view, sentence)[1].is_waiting
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
    (found, about), (same, written) = _singles(view), _whole(view, sentence)
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
        f"**{_name(most)}** ({_signed(singles.changes[most])}) and least without **{_name(least)}** "
        f"({_signed(singles.changes[least])})."
    )
    with st.container(horizontal=True):
        for which, part in (("most", most), ("least", least)):
            if st.button(
                f"Knock out {_name(part)}",
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
    """(The models with and without the parts; what is different, as far as it is measured). None without weights."""
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
    """The likeliest characters after ids (N,) before or after the knock-out: (character, both probabilities)."""
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
    """Collapsed: which other parts stand in for one that is knocked out."""
    place = disclosure("Which parts stand in for each other?", key="knockout-pairs")
    if place is None:
        return
    with place:
        if view.is_live and view.state == "training":
            st.caption("Pairs take a while to measure: pause the run, or choose a moment on the timeline.")
            return
        part = view.without[0]
        if len(view.without) > 1:
            part = st.selectbox(
                "Pairs of this part with every other one", view.without, format_func=_name, key="pairs-of"
            )
        is_waiting = _pairs(view, part).is_waiting
        live(
            lambda shown: _pairs_tick(shown, part, is_waiting),
            _WAITING_TICK_SECONDS,
            key="knockout-pairs-live",
            when=is_waiting,
        )


def _pairs(view: View, part: Part) -> Measured:
    singles = _singles(view)[0]
    return knockouts().pairs(view.run, singles.result, part) if singles.result else singles


def _pairs_tick(view: View, part: Part, was_waiting: bool) -> None:
    found = _pairs(view, part)
    if was_waiting and not found.is_waiting:
        st.rerun()
    if (pairs := found.result) is None:
        st.caption(f"Measuring {_name(part)} with every other part: {100 * found.share:.0f} % …")
        return
    rows = [
        f"| {_capitalized(_name(pair.part))} | {_signed(pair.alone)} | {_signed(pair.both)} | {_signed(pair.extra)} |"
        for pair in pairs[:_PAIRS_SHOWN]
    ]
    st.markdown("\n".join(["| other part | without it | without both | more than the sum |\n|---|---|---|---|", *rows]))
    st.caption(
        f"Changes of the validation loss in nats per character, ± standard error, beside {_name(part)}. A positive "
        "number in the last column, of more than twice its ±, means that one part does some of the other's work while "
        "that is out."
    )
