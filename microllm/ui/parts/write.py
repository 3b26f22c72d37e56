"""Writing on the generate page: it streams while training continues, and the user can choose another character, or ask
why one was written.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ...data.decode import TextProblem
from ...inference import next_logits
from ...insight.memorization import lines_of_list, new_lines
from ...insight.table_model import TableModel
from ...jobs.generation import Generation, Sample
from ...model import MicroLLM
from ...sample import Sampling, likeliest
from ...tokenizer import CharTokenizer, known_ids, visible
from ..components import letters
from ..glossary import term
from ..state import window
from ..state.session import session
from ..state.view import View, look
from ..words import isolated, lines_in_words, literal
from . import predictor, sampling, text_fields
from .live import live
from .why import Place, nothing_chosen, why

_MIN_BRANCH_CHARACTERS = 50  # written after another choice, even near the end of a text
_TICK_SECONDS = 2.0
_WRITING_TICK_SECONDS = 0.25


def panel(view: View) -> str:
    """The controls of what predicts, the prompt and the sampling. Returns the prompt."""
    sampling.prepare_sampling()
    predictor.choose(view)
    prompt = text_fields.prompt(view, is_for_model=predictor.chosen() == predictor.MODEL)
    sampling.temperature()
    sampling.sampling()
    return prompt


def writing(view: View, prompt: str, row: DeltaGenerator) -> None:
    """The text with its choices, as it is written. Its buttons are in a row above it: a phone hides the sidebar."""
    generation = _generation(view, prompt)
    is_writing = generation is not None and generation.is_writing
    with row:
        st.button("Generate", key="generate", type="primary", icon=":material/edit_note:", on_click=_start)
        # both are always there: if one replaced the other, the browser would sometimes show both until the next click
        st.button(
            "Stop writing",
            key="stop-writing",
            icon=":material/stop:",
            help="Stop writing",
            disabled=not is_writing,
            on_click=_stop,
            args=(predictor.key(view),),
        )
        st.download_button(
            "Download the text",
            "\n\n".join(sample.prompt + sample.text for sample in generation.samples) if generation else "",
            file_name="microllm.txt",
            mime="text/plain",
            key="download",
            icon=":material/download:",
            help="Download the text",
            disabled=is_writing or generation is None,
            on_click="ignore",
        )
    key = text_fields.prompt_key()
    live(
        lambda shown: _tick(shown, prompt, key, is_writing),
        _WRITING_TICK_SECONDS if is_writing else _TICK_SECONDS,
        key="writing-live",
        when=is_writing or view.is_active,
    )


def newest(view: View) -> Generation | None:
    """The newest generation with the displayed run in this window, finished or not, whatever predicts on this page."""
    keys = [predictor.key(view, who) for who in (predictor.MODEL, *predictor.TABLES)]
    return next((one for key, one in reversed(window.window().generations.items()) if key in keys), None)


def _generation(view: View, prompt: str) -> Generation | None:
    """The newest generation with the chosen predictor, if it has this prompt. Otherwise the page shows the next
    character's probabilities.
    """
    generation = window.window().generations.get(predictor.key(view))
    return generation if generation is not None and generation.samples[0].prompt == prompt else None


def _sampling_of(generation: Generation | None, number: int) -> Sampling:
    """How the next character of sample `number` is sampled, from the current controls."""
    samplings = sampling.samplings()
    if generation is None:
        return samplings[0]
    column = number % generation.width
    return samplings[column] if column < len(samplings) else generation.samples[number].sampling


def new_lines_of(view: View, samples: Sequence[Sample]) -> None:
    """How many lines of these samples are new, if the text of the run is a list."""
    try:
        known = lines_of_list(view.info.text.sha256)
    except TextProblem:  # the text is not on this server
        return
    if known is not None:
        counts = new_lines(((sample.prompt, sample.text) for sample in samples), known)
        st.markdown(f"{lines_in_words(*counts)}. Each different line counts once; the list includes its held-out part.")


# ---- what the user does


def _start() -> None:
    session().generation_problem = None
    prompt = text_fields.typed_prompt()  # in a callback this includes what was typed just before, as all controls do
    seeds = [st.session_state["sampling-seed"] + i for i in range(st.session_state["samples"])]
    try:
        view = look()  # the displayed run at the click, which may not be the one that the button was drawn for
        _stop(predictor.key(view))
        now = predictor.predictor(view, max_age=0.0)
        if now is None:
            raise ValueError(predictor.why_none(view))
        length, samplings = st.session_state["length"], sampling.samplings()
        generation = Generation(now.model, view.run.tokenizer, prompt, length, samplings, seeds, now.step or 0)
        window.window().keep(predictor.key(view), generation)
    except ValueError as problem:
        _report(prompt, problem)
        return
    _pick(0, 0)


def _report(prompt: str, problem: ValueError) -> None:
    """Show a problem for as long as this prompt is in its field."""
    session().generation_problem = prompt, str(problem)


def _stop(key: tuple) -> None:
    if generation := window.window().generations.get(key):
        generation.stop()


def _pick(number: int, place: int) -> None:
    session().character = number, place


def _picked(generation: Generation) -> tuple[int, int]:
    number, place = session().character
    number = min(number, len(generation.samples) - 1)
    return number, max(0, min(place, len(generation.samples[number].text) - 1))


def _choose(prompt: str, character: str) -> None:
    """Put another character at the displayed place and continue from there.

    Before anything is written, add it to the prompt.
    """
    session().generation_problem = None
    typed = text_fields.typed_prompt()
    try:
        generation = _generation(look(), prompt)
        if generation is None:
            if len(typed) >= text_fields.MAX_PROMPT_CHARACTERS:
                raise ValueError(f"The prompt is full: it has {text_fields.MAX_PROMPT_CHARACTERS} characters.")
            text_fields.set_prompt(typed + character)
        else:
            number, place = _picked(generation)
            length = max(_MIN_BRANCH_CHARACTERS, st.session_state["length"] - place - 1)
            generation.branch(number, place, character, length, _sampling_of(generation, number))
    except ValueError as problem:
        _report(typed, problem)


def _ask(is_asking: bool) -> None:
    session().is_asking_why = is_asking


# ---- what is shown


def _tick(view: View, prompt: str, key: str, was_writing: bool) -> None:
    generation = _generation(view, prompt)
    if key != text_fields.prompt_key() or was_writing != (generation is not None and generation.is_writing):
        st.rerun()  # for another prompt, or another interval of this tick
    about, problem = session().generation_problem or (None, None)
    if prompt and about == text_fields.typed_prompt():  # the field of an empty prompt has a warning already
        st.error(literal(problem), icon=":material/error:")
    reason, ask = None, None
    if generation is None:
        samples, place, chosen = [letters.sample("", prompt, "", [])], _after_the_prompt(view, prompt), (-1, -1)
    else:
        chosen = _picked(generation)
        sample = generation.samples[chosen[0]]
        place = _at_a_place(view, generation, *chosen)
        samples = [
            letters.sample(_name(generation, each), each.prompt, each.text, each.nats) for each in generation.samples
        ]
        ask = _ask
        if session().is_asking_why:
            reason = why(view, at) if (at := _whole_place(sample, chosen[1], generation)) else nothing_chosen()
    choose = functools.partial(_choose, prompt)
    letters.writing("letters", samples, place, chosen=chosen, pick=_pick, choose=choose, why=reason, ask=ask)
    if generation is None:
        who = "the model" if predictor.chosen() == predictor.MODEL else "the table"
        st.caption(f"Press Generate, and {who} continues your prompt one character ({term('token')}) at a time.")
        return
    new_lines_of(view, generation.samples)
    st.caption(_how_it_was_written(view, generation))


def _how_it_was_written(view: View, generation: Generation) -> str:
    length, model = sum(len(sample.text) for sample in generation.samples), generation.samples[0].model
    if isinstance(model, TableModel):
        return (
            f"{length:,} characters from {predictor.name_of(model)}, not from the model; the tint shows how surprising "
            f"each was to the table. {predictor.context_of(model)}"
        )
    size = view.info.model.block_size
    return (
        f"{length:,} characters from the model at step {generation.samples[0].step:,}; the tint shows how "
        f"{term('surprisal', 'surprising')} each was to it. A key-value cache lets the model process only the newest "
        f"character. When its context of {size} characters is full, the oldest quarter is dropped and the rest is "
        "processed again."
    )


def _whole_place(sample: Sample, place: int, generation: Generation) -> Place | None:
    """A character of a sample with the whole text around it; None before it is written."""
    is_final = not generation.is_writing  # asked first: then the text is not cut off
    text = sample.prompt + sample.text
    at = len(sample.prompt) + place
    if at >= len(text):
        return None
    return Place(text, at, len(sample.context(place)), sample.model, sample.step, is_final)


def _name(generation: Generation, sample: Sample) -> str:
    """What predicted a sample, if not the model, and how it differs from the others."""
    is_from_table = isinstance(sample.model, TableModel)
    parts = [predictor.name_of(sample.model).removeprefix("the ").capitalize()] if is_from_table else []
    parts += [f"temperature {sample.sampling.temperature:g}"] if generation.width > 1 else []
    if len(generation.samples) > generation.width:
        parts.append(f"seed {sample.seed}")
    return " · ".join(parts)


def _after_the_prompt(view: View, prompt: str) -> dict[str, Any]:
    if not prompt:
        return {"title": "The prompt is empty", "about": "", "note": "", "rows": []}
    now = predictor.predictor(view, max_age=1.0)
    if now is None:
        return {"title": "No prediction yet", "about": predictor.why_none(view), "note": "", "rows": []}
    logits = next_logits(now.model, known_ids(view.run.tokenizer, prompt)[None])[0]
    return {
        "title": _after(prompt),
        "about": f"What could come next, according to {now.name}. Press one to add it to the prompt.",
        "note": _legend(now.model),
        "rows": _rows(view.run.tokenizer, logits, None, _sampling_of(None, 0)),
    }


def _at_a_place(view: View, generation: Generation, number: int, place: int) -> dict[str, Any]:
    sample = generation.samples[number]
    written = sample.text[place : place + 1] or None
    return {
        "title": _after(sample.prompt + sample.text[:place]),
        "about": f"Character {place + 1:,} of the text. Press another one to continue from there with it.",
        "note": _legend(sample.model),
        "rows": _rows(view.run.tokenizer, sample.logits(place), written, _sampling_of(generation, number)),
    }


def _legend(model: MicroLLM | TableModel) -> str:
    own = "the table's probability" if isinstance(model, TableModel) else "the model's own probability"
    return f"Gray: {own}. Blue: the probability after temperature, top-k and top-p."


def _after(text: str) -> str:
    return f"After “{isolated(('…' if len(text) > 16 else '') + visible(text[-16:]))}”"


def _rows(tokenizer: CharTokenizer, logits, written: str | None, sampling: Sampling) -> list[list[Any]]:
    also = tokenizer.encode(written)[0] if written else None
    return [  # only an excluded character has probability 0
        [tokenizer.vocab[i], float(f"{own:.3g}"), float(f"{drawn:.3g}"), i == also]
        for i, own, drawn in likeliest(logits, sampling, also=also)
    ]
