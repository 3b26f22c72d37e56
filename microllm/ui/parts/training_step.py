"""One training step on real numbers, with a copy of the displayed model: text, prediction, loss, gradient, update."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from ...config import TrainConfig
from ...corpus import Corpus
from ...data.decode import TextProblem
from ...insight import training_step as insight
from ...insight.training_step import TrainingStep
from ...model import MicroLLM
from ...optim import learning_rate_at
from ...runs.fork import settings_at
from ...tokenizer import CharTokenizer, visible, visible_alone
from ...train import Diverged
from ..components import training_step as component
from ..state import navigation
from ..state.session import session
from ..state.view import View, has_text
from ..words import choices, isolated, literal, percent
from . import source
from .live import live

_FACTORS = {0.1: "× 0.1", 1.0: "the run's", 10.0: "× 10"}
_MOST_STEPS = 100
_MOST_AT_ONCE = 10
_CHARACTERS = 32
"""The most characters of the window that are shown: its last ones, which have the longest contexts."""
_CONTEXT = 6
_GUESSES = 3
_WAITING_TICK_SECONDS = 1.0
_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon and AdamW"}


class _Steps:
    """The steps that this window has taken, all from one model, which is never changed itself."""

    def __init__(self) -> None:
        self.about: tuple | None = None
        """The run, the moment and the factor of the learning rate."""
        self.has_just_begun = False
        """True when this was the first step of the window: the page may want to know."""

    def begin(self, about: tuple, first: int, model: MicroLLM) -> None:
        """Start again from the model of the training step `first`."""
        self.about, self.first, self.model = about, first, model
        self.wanted = 0
        self.last: TrainingStep | None = None
        self.losses: list[tuple[float, float]] = []  # of each step's batch, before and after
        self.held_out: list[float] = []  # before the first step, and after each
        self.problem = ""

    def catch_up(self, train: TrainConfig, corpus: Corpus) -> None:
        """Take the steps that are wanted. The first is computed in any case: it is shown before the person takes it."""
        while len(self.losses) < max(1, self.wanted) and not self.problem:
            step = self.first + len(self.losses)
            model, memory = (self.last.model, self.last.memory) if self.last else (self.model, None)
            rate = self.about[-1] * insight.usable_learning_rate(step, train)
            try:
                self.last = insight.training_step(model, train, corpus, step, learning_rate=rate, memory=memory)
            except Diverged:
                self.problem = f"The learning rate {rate:.3g} is too large: the loss is no longer a finite number."
                return
            self.losses.append(self.last.loss)
            self.held_out = [*(self.held_out or self.last.held_out[:1]), self.last.held_out[1]]

    def want(self, number: int) -> None:
        """Ask for `number` steps in total; 0 starts again."""
        if number == 0:
            self.about = None
        else:
            self.wanted = max(self.wanted, number)
            self.has_just_begun = not session().has_taken_step
            session().has_taken_step = True


@st.cache_resource(scope="session", show_spinner=False)
def _steps() -> _Steps:
    return _Steps()


def panel(view: View) -> None:
    """How large the steps are, and the way to a moment at which the loss falls fast."""
    if not has_text(view.run):
        return
    st.segmented_control(
        "Learning rate",
        list(_FACTORS),
        default=1.0,
        format_func=_FACTORS.get,
        key="step-rate",
        required=True,
        persist_state="session",
        help="How far each update goes. With a much larger learning rate than the run's, the loss may rise.",
    )
    if view.snapshots and view.moment != (first := view.snapshots[0]):
        st.caption("The loss falls fastest at the beginning of a run.")
        st.button(
            f"Go to step {first:,}",
            key="step-first",
            icon=":material/first_page:",
            on_click=navigation.choose_moment,
            args=(first,),
        )


def training_step(view: View) -> bool:
    """A training step from the displayed run and moment, in five stages. True once this window has taken one."""
    try:
        corpus = view.run.load_corpus()
    except TextProblem:
        source.bring(view, "step-text")
        return session().has_taken_step
    is_waiting = view.is_active and view.model(max_age=60.0, wait=0.2, whole=True) is None
    live(lambda shown: _draw(shown, corpus, is_waiting), _WAITING_TICK_SECONDS, key="step-live", when=is_waiting)
    return session().has_taken_step


def _draw(view: View, corpus: Corpus, was_waiting: bool) -> None:
    steps = _steps()
    about = view.run.id, view.moment, st.session_state.get("step-rate", 1.0)
    if about != steps.about:  # of a run that trains, the copy stays the same until the person starts again
        if (now := view.model(max_age=0.5, wait=1.0, whole=True)) is None:
            st.caption("Waiting for the first weights …")
            return
        steps.begin(about, *now)
    train = settings_at(view.run, steps.first)
    steps.catch_up(train, corpus)
    if was_waiting or steps.has_just_begun:
        steps.has_just_begun = False
        st.rerun()  # the whole page: to stop ticking, or because a step was taken
    if steps.last:
        taken = min(steps.wanted, len(steps.losses))
        data = _data(steps, taken, view.run.tokenizer, train)
        component.training_step(data, taken=taken, most=min(_MOST_STEPS, taken + _MOST_AT_ONCE), want=steps.want)
    if steps.problem:
        st.error(f"{steps.problem} Choose a smaller one.", icon=":material/error:")
    st.caption(_about(view, steps, train))


def _data(steps: _Steps, taken: int, tokenizer: CharTokenizer, train: TrainConfig) -> dict[str, Any]:
    """All that the component shows (see training_step.js)."""
    step = steps.last
    shown = slice(-_CHARACTERS, None)
    top = step.log_p[0][shown].exp().topk(min(_GUESSES, len(tokenizer.vocab)))
    losses = [each[shown] for each in step.losses]
    return {
        "about": " ".join(map(str, (*steps.about, steps.first))),
        "taken": taken,
        "number": len(steps.losses),
        "most": _MOST_STEPS,
        "ended": bool(steps.problem),
        "step": f"{step.step:,}",
        "inputs": [visible_alone(tokenizer.vocab[i]) for i in step.inputs[shown].tolist()],
        "targets": [visible_alone(tokenizer.vocab[i]) for i in step.targets[shown].tolist()],
        "guesses": [
            [[visible_alone(tokenizer.vocab[i]), round(p, 5)] for i, p in zip(*place, strict=True)]
            for place in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ],
        "chances": [[round(p, 5) for p in (-each).exp().tolist()] for each in losses],
        "losses": [[round(nats, 4) for nats in each.tolist()] for each in losses],
        "loss": step.loss,
        "heldOut": step.held_out,
        "blind": math.log(len(tokenizer.vocab)),
        "parts": [[part.name, part.gradient, part.moved] for part in step.parts],
        "curve": {"batch": steps.losses, "heldOut": steps.held_out},
        "sentences": _sentences(step, tokenizer, train, starts_anew=len(steps.losses) == 1 and steps.first > 0),
    }


# ---- what is said about it


def _sentences(step: TrainingStep, tokenizer: CharTokenizer, train: TrainConfig, *, starts_anew: bool) -> list[str]:
    """For each stage what to look for, with the numbers of this step.

    `starts_anew` is True for a step of an optimizer that has forgotten the steps before.
    """
    return [
        _about_text(step, tokenizer),
        _about_prediction(step, tokenizer),
        _about_loss(step, tokenizer),
        _about_gradient(step),
        _about_update(step, train, starts_anew),
    ]


def _quoted(tokenizer: CharTokenizer, token: int) -> str:
    return f"“{isolated(visible_alone(tokenizer.vocab[token]))}”"


def _shown_places(step: TrainingStep) -> range:
    size = len(step.inputs)
    return range(max(0, size - _CHARACTERS), size)


def _about_text(step: TrainingStep, tokenizer: CharTokenizer) -> str:
    size, places = len(step.inputs), _shown_places(step)
    window = f"the last {len(places)} characters of a window of {size}" if len(places) < size else "a window"
    first = places[0]
    return (
        f"This is {window} of the training text, one of {step.windows:,} in this batch. The targets are the same text "
        f"one character later: after {_quoted(tokenizer, step.inputs[first])} the model should say "
        f"{_quoted(tokenizer, step.targets[first])}. So one window asks {size} questions."
    )


def _about_prediction(step: TrainingStep, tokenizer: CharTokenizer) -> str:
    before, places, size = step.log_p[0].exp(), _shown_places(step), len(tokenizer.vocab)
    blind = f"{percent(1 / size)} would be guessing blindly"
    if (before.max() - before.min()).item() < 1e-6:
        return (
            f"At every place all {size} characters get the same chance, {percent(1 / size)}: with these first weights "
            "the model guesses blindly, and which three are shown is chance. Look again after a step."
        )
    right = [before[t, step.targets[t]].item() for t in places]
    hits = sum(int(before[t].argmax()) == int(step.targets[t]) for t in places)
    best = places[right.index(max(right))]
    context = tokenizer.decode(step.inputs[max(0, best + 1 - _CONTEXT) : best + 1].tolist())
    return (
        f"The best guess (top) is right at {hits} of {len(places)} places; the right character is framed. The surest: "
        f"after “{isolated(visible(context))}” the model gives {_quoted(tokenizer, step.targets[best])} "
        f"{percent(max(right))}; {blind}."
    )


def _about_loss(step: TrainingStep, tokenizer: CharTokenizer) -> str:
    losses, places = step.losses[0].tolist(), _shown_places(step)
    low, high = min(places, key=losses.__getitem__), max(places, key=losses.__getitem__)

    def said(place: int) -> str:
        chance = percent(math.exp(-losses[place]))
        return f"{losses[place]:.3f} where {_quoted(tokenizer, step.targets[place])} had {chance}"

    bars = "all bars are equally high" if losses[high] - losses[low] < 1e-3 else f"{said(low)}, {said(high)}"
    return (
        f"Each bar is −ln p of the right character: {bars}. Their mean over all {step.windows * len(losses):,} places "
        f"of the batch is the loss: {step.loss[0]:.3f} nats per character, as unsure as {choices(step.loss[0])}."
    )


def _about_gradient(step: TrainingStep) -> str:
    largest = max(step.parts, key=lambda part: part.gradient)
    without = sum(part.gradient == 0 for part in step.parts)
    rest = (
        f" {without} parts have none yet: what they add passes through weights that are still zero." if without else ""
    )
    weights = sum(part.weights for part in step.parts)
    return (
        f"From lm_head back to the embedding: for each of {weights:,} weights, how fast the loss rises as it grows. "
        f"The norm of all these numbers is {step.gradient:.3g}; of the parts, {largest.name} has the largest, "
        f"{largest.gradient:.3g}.{rest}"
    )


def _about_update(step: TrainingStep, train: TrainConfig, starts_anew: bool) -> str:
    most = max(step.parts, key=lambda part: part.moved)
    (before, after), (held_out, held_out_after) = step.loss, step.held_out
    mean = [f"{100 * (-losses).exp().mean().item():.1f}\u00a0%" for losses in step.losses]
    if after > before:
        verdict = "The step was too large: the loss rises even on its own batch."
    elif held_out_after > held_out:
        verdict = "There it rises: "
        verdict += (
            "the optimizer starts here without its average over earlier batches, so this step follows one batch alone."
            if starts_anew
            else "a batch is a small piece of the text, so a single step can go the wrong way."
        )
    else:
        verdict = f"The right characters of this window had {mean[0]} on average, now {mean[1]}."
    return (
        f"{_OPTIMIZERS[train.optimizer]} moved the weights against the gradient, {most.name} the most: by "
        f"{100 * most.moved:.2g}\u00a0% of its size. The loss of this batch went from {before:.3f} to {after:.3f}, on "
        f"held-out text from {held_out:.3f} to {held_out_after:.3f}. {verdict}"
    )


def _about(view: View, steps: _Steps, train: TrainConfig) -> str:
    """What kind of step this is, in Markdown: which model, which batch, which optimizer and learning rate."""
    model, step = steps.model, steps.first + len(steps.losses) - (steps.last is not None)
    windows, size = insight.windows_of(model, train), model.config.block_size
    batch = f"the run's own batch of step {step:,}, {windows:,} windows of {size} characters"
    if windows < train.batch_size:
        batch = f"the first {windows:,} of {train.batch_size:,} windows of the run's own batch of step {step:,}, so "
        batch += "that it takes a few seconds at most"
    copy = f"A copy of **{literal(view.info.name)}** at step {steps.first:,} takes the steps; the run stays as it is."
    if view.is_live:
        copy += " Start again takes its newest weights."
    if view.without:
        copy += " It is the whole model: nothing is knocked out."
    factor = f", times {steps.about[-1]:g}" if steps.about[-1] != 1 else ""
    if learning_rate_at(step, train):
        rate = f"Its learning rate is that of the run at this step{factor}"
    else:
        rate = f"Here the run's learning rate has fallen to zero, so it is a tenth of the peak{factor}"
    if steps.last:
        rate += f": {steps.last.learning_rate:.3g}"
    memory = (
        "From step 0, these are the run's own first steps, up to rounding."
        if steps.first == 0 and steps.about[-1] == 1 and windows == train.batch_size
        else "Only weights are copied, so the optimizer starts here without its memory of earlier steps."
        if steps.first
        else ""
    )
    return f"{copy} The batch: {batch}. {rate}. {memory}"
