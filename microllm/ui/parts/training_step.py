"""One training step on real numbers, with a copy of the displayed model: text, prediction, loss, gradient, update."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import streamlit as st
import torch

from ...data.decode import TextProblem
from ...insight import training_step as insight
from ...insight.training_step import TrainingStep
from ...jobs.training_steps import Taken, TrainingSteps
from ...optim import learning_rate_at
from ...tokenizer import CharTokenizer, visible, visible_alone
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
_SHOWN = slice(-32, None)
"""The positions of a window that are shown: its last ones, which have the longest contexts."""
_CONTEXT = 6
_GUESSES = 3
_WAITING_TICK_SECONDS = 1.0
_COMPUTING_SECONDS = 0.1
"""How long a page waits for a step; then the browser asks again."""
_COMPUTING = "This step is being computed …"
_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon and AdamW"}


class _Present:
    """The steps that this window is taking."""

    def __init__(self) -> None:
        self.about: tuple | None = None
        """The run, the moment and the factor of the learning rate; None: start again."""
        self.steps: TrainingSteps | None = None
        self.has_just_begun = False
        """True when this was the first step of the window: the page may want to know."""

    def begin(self, about: tuple, steps: TrainingSteps) -> None:
        """Take these steps from now on, instead of any others."""
        self.stop()
        self.about, self.steps = about, steps

    def want(self, number: int) -> None:
        """Ask for `number` steps in total; 0 starts again."""
        if number == 0:
            self.about = None
        else:
            self.steps.wanted = max(self.steps.wanted, number)
            self.has_just_begun = not session().has_taken_step
            session().has_taken_step = True

    def stop(self) -> None:
        """Compute no further step."""
        if self.steps:
            self.steps.stop()


@st.cache_resource(scope="session", on_release=_Present.stop, show_spinner=False)
def _present() -> _Present:
    return _Present()


def panel(view: View) -> None:
    """How large the steps are, and a button to a moment at which the loss falls fast."""
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
    """A training step from the run and moment of `view`, in five stages. True once this window has taken one."""
    try:
        view.run.load_corpus()
    except TextProblem:
        source.bring(view, "step-text")
        return session().has_taken_step
    is_waiting = view.is_active and view.model(max_age=60.0, wait=0.2, whole=True) is None
    live(
        lambda now: _draw(replace(now, moment=view.moment), is_waiting),
        _WAITING_TICK_SECONDS,
        key="step-live",
        when=is_waiting,
    )
    return session().has_taken_step


def _draw(view: View, was_waiting: bool) -> None:
    present = _present()
    about = view.run.id, view.moment, st.session_state.get("step-rate", 1.0)
    if about != present.about:  # in a run that trains, the copy stays the same until the person starts again
        if (now := view.model(max_age=0.5, wait=1.0, whole=True)) is None:
            st.caption("Waiting for the first weights …")
            return
        present.begin(about, TrainingSteps(view.run, *now, about[-1]))
    steps = present.steps
    steps.go_on(_COMPUTING_SECONDS)
    if was_waiting or present.has_just_begun:
        present.has_just_begun = False
        st.rerun()  # the whole page: to stop ticking, or because a step was taken
    problem, done = steps.problem, steps.done  # in this order: with a problem, no further step follows
    if done.last or not problem:
        component.training_step(
            {"about": " ".join(map(str, (*about, steps.first))), "ended": bool(problem)}
            | _data(steps, done, view.run.tokenizer),
            wanted=steps.wanted,
            most=min(_MOST_STEPS, done.number + _MOST_AT_ONCE),
            want=present.want,
        )
    if problem:
        st.error(f"{problem} Choose a smaller one.", icon=":material/error:")
    st.caption(_about(view, steps, done))


def _data(steps: TrainingSteps, done: Taken, tokenizer: CharTokenizer) -> dict[str, Any]:
    """What the component shows (see training_step.js): the text at once, the `numbers` once a step is computed."""
    if done.last:
        inputs, targets = done.last.inputs, done.last.targets
    else:
        inputs, targets = (ids[0] for ids in insight.step_batch(steps.model, steps.train, steps.corpus, steps.first))
    text = _about_text(inputs, targets, insight.windows_of(steps.model, steps.train), tokenizer)
    return {
        "taken": min(steps.wanted, done.number),
        "number": done.number,
        "inputs": [visible_alone(tokenizer.vocab[i]) for i in inputs[_SHOWN].tolist()],
        "targets": [visible_alone(tokenizer.vocab[i]) for i in targets[_SHOWN].tolist()],
        "names": list(insight.weights_by_part(steps.model)),
        "sentences": [text, *(_sentences(steps, done, tokenizer) if done.last else [_COMPUTING] * 4)],
        "numbers": _numbers(done, tokenizer) if done.last else None,
    }


def _numbers(done: Taken, tokenizer: CharTokenizer) -> dict[str, Any]:
    step = done.last
    top = step.log_p[0][_SHOWN].exp().topk(min(_GUESSES, len(tokenizer.vocab)))
    losses = [each[_SHOWN] for each in step.losses]
    return {
        "guesses": [
            [[visible_alone(tokenizer.vocab[i]), round(p, 5)] for i, p in zip(*place, strict=True)]
            for place in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ],
        "chances": [[round(p, 5) for p in (-each).exp().tolist()] for each in losses],
        "losses": [[round(nats, 4) for nats in each.tolist()] for each in losses],
        "loss": step.loss,
        "heldOut": step.held_out,
        "blind": math.log(len(tokenizer.vocab)),
        "parts": [[part.gradient, part.moved] for part in step.parts],
        "curve": {"batch": done.losses, "heldOut": done.held_out},
    }


# ---- what is said about it


def _sentences(steps: TrainingSteps, done: Taken, tokenizer: CharTokenizer) -> list[str]:
    """For each stage after the text, what to look for, with the numbers of the last step."""
    step = done.last
    return [
        _about_prediction(step, tokenizer),
        _about_loss(step, tokenizer),
        _about_gradient(step),
        _about_update(step, _OPTIMIZERS[steps.train.optimizer], is_restarted=done.number == 1 and steps.first > 0),
    ]


def _quoted(tokenizer: CharTokenizer, token: int) -> str:
    return f"“{isolated(visible_alone(tokenizer.vocab[token]))}”"


def _about_text(inputs: torch.Tensor, targets: torch.Tensor, windows: int, tokenizer: CharTokenizer) -> str:
    size, first = len(inputs), range(len(inputs))[_SHOWN][0]
    window = "A window" if first == 0 else f"The last {size - first} of the {size} characters of a window"
    batch = f", one of {windows:,} in the batch" if windows > 1 else ""
    return (
        f"{window} of the training text{batch}. The targets are the same text, one character later: after "
        f"{_quoted(tokenizer, inputs[first])} the model should predict {_quoted(tokenizer, targets[first])}. "
        f"So one window gives {size} predictions to learn from."
    )


def _about_prediction(step: TrainingStep, tokenizer: CharTokenizer) -> str:
    before, size = step.log_p[0].exp(), len(tokenizer.vocab)
    places = range(len(step.inputs))[_SHOWN]
    if (before.max() - before.min()).item() < 1e-6:
        return (
            f"At every position, all {size} characters are equally likely, {percent(1 / size)}: with its initial "
            "weights the model guesses blindly, so which ones are shown is arbitrary. Look again after a step."
        )
    right = [before[t, step.targets[t]].item() for t in places]
    hits = sum(int(before[t].argmax()) == int(step.targets[t]) for t in places)
    best = places[right.index(max(right))]
    context = tokenizer.decode(step.inputs[max(0, best + 1 - _CONTEXT) : best + 1].tolist())
    return (
        f"The most likely characters at each position; the right one is framed. The first guess is right at {hits} of "
        f"{len(places)} positions. The model does best after “{isolated(visible(context))}”: there it gives "
        f"{_quoted(tokenizer, step.targets[best])} {percent(max(right))}. Guessing blindly gives {percent(1 / size)}."
    )


def _about_loss(step: TrainingStep, tokenizer: CharTokenizer) -> str:
    losses, places = step.losses[0].tolist(), range(len(step.inputs))[_SHOWN]
    low, high = min(places, key=losses.__getitem__), max(places, key=losses.__getitem__)

    def said(place: int) -> str:
        chance = percent(math.exp(-losses[place]))
        return f"{losses[place]:.3f} where {_quoted(tokenizer, step.targets[place])} had {chance}"

    bars = "all are equally high" if losses[high] - losses[low] < 1e-3 else f"{said(low)}, {said(high)}"
    return (
        f"Each bar is −ln p, where p is the probability of the right character: {bars}. The mean over all "
        f"{step.windows * len(losses):,} positions of the batch is the loss: {step.loss[0]:.3f} nats per character, "
        f"as unsure as {choices(step.loss[0])}."
    )


def _about_gradient(step: TrainingStep) -> str:
    largest = max(step.parts, key=lambda part: part.gradient)
    without = sum(part.gradient == 0 for part in step.parts)
    rest = f" In {without} parts it is zero so far, because weights after them are still zero." if without else ""
    weights = sum(part.weights for part in step.parts)
    return (
        f"Backpropagation runs from lm_head back to the embedding. For each of the {weights:,} weights, the gradient "
        f"says how fast the loss rises as that weight grows. Its norm is {step.gradient:.3g}; of the parts, that of "
        f"{largest.name} is the largest, {largest.gradient:.3g}.{rest}"
    )


def _about_update(step: TrainingStep, optimizer: str, *, is_restarted: bool) -> str:
    """`is_restarted` is True if the optimizer has no memory of earlier steps."""
    most = max(step.parts, key=lambda part: part.moved)
    words = (
        f"{optimizer} moved the weights against the gradient, {most.name} the most: by {100 * most.moved:.2g}\u00a0% "
        f"of its norm. The loss of this batch {_went(*step.loss)}"
    )
    if step.loss[1] > step.loss[0]:
        return f"{words}: the step was too large."
    words += f". On held-out text it {_went(*step.held_out)}"
    if step.held_out[1] <= step.held_out[0]:
        return f"{words}."
    if is_restarted:
        return f"{words}: without its memory of earlier batches, the optimizer follows this one alone."
    return f"{words}: one batch is a small piece of the text, so a single step can go the wrong way."


def _went(before: float, after: float) -> str:
    """How a loss changed, in words."""
    if f"{before:.3f}" == f"{after:.3f}":
        return f"stayed at {after:.3f}"
    return f"{'fell' if after < before else 'rose'} from {before:.3f} to {after:.3f}"


def _about(view: View, steps: TrainingSteps, done: Taken) -> str:
    """What kind of step this is, in Markdown: which model, which batch, which optimizer and learning rate."""
    train, step = steps.train, done.last.step if done.last else steps.first
    windows = insight.windows_of(steps.model, train)
    words = [f"The steps change a copy of **{literal(view.info.name)}** at step {steps.first:,}, not the run itself."]
    if view.is_live:
        words.append("Start again copies its newest weights.")
    if view.without:
        words.append("The copy is whole: nothing is knocked out of it.")
    some = f"the first {windows:,} of {train.batch_size:,}" if windows < train.batch_size else f"{windows:,}"
    words.append(f"Batch of step {step:,}: {some} windows of {steps.model.config.block_size} characters.")
    rate = "the run's" if learning_rate_at(step, train) else "a tenth of the run's peak, as its own is zero here"
    factor = f"{steps.factor:g} times " if steps.factor != 1 else ""
    words.append(f"Learning rate: {steps.rate_at(step):.3g} ({factor}{rate}).")
    if steps.first > 0:
        words.append("The optimizer starts without its memory of earlier batches.")
    elif steps.factor == 1 and windows == train.batch_size:
        words.append("These are the run's own first steps, up to rounding.")
    return " ".join(words)
