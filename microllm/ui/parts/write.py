"""Writing on the generate page: streams while training ticks on, shows each choice, takes another one on request."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...inference import next_logits
from ...jobs.generation import Generation
from ...sample import Sampling, likeliest
from ...tokenizer import known_ids, visible
from ..components import letters
from ..state import view, window
from ..state.session import session
from ..state.view import is_active
from ..words import isolated, literal
from . import sampling, text_fields
from .live import live

_AT_LEAST = 50  # characters that follow another choice, also near the end of a text
_LEGEND = "Grey: the model's own chance. Blue: the chance it is drawn with, after temperature and cuts."


def write() -> None:
    """All of the view Write: the prompt, the way of choosing, the text with its choices, the way to take it along."""
    sampling.prepare_sampling()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        prompt = text_fields.prompt()
    with right:
        sampling.temperature()
    generation = _generation(prompt)
    is_writing = generation is not None and generation.is_writing
    with st.container(horizontal=True):
        st.button("Generate", key="generate", type="primary", icon=":material/edit_note:", on_click=_begin)
        # both are always there: of two that take turns, the browser sometimes shows both until the next click
        st.button(
            "Stop writing",
            key="stop-writing",
            icon=":material/stop:",
            help="Stop writing",
            disabled=not is_writing,
            on_click=_stop,
        )
        st.download_button(
            "Download what is written",
            "\n\n".join(sample.prompt + sample.text for sample in generation.samples) if generation else "",
            file_name="microllm.txt",
            mime="text/plain",
            key="download",
            icon=":material/download:",
            help="Download what is written",
            disabled=is_writing or generation is None,
            on_click="ignore",
        )
        sampling.sampling()
    key = text_fields.prompt_key()
    live(
        lambda _: _tick(prompt, key, is_writing),
        0.25 if is_writing else 1.0,
        key="writing-live",
        when=is_writing or is_active(),
    )


def newest() -> Generation | None:
    """What was written last with the run on show, or is being written."""
    return window.window().generations.get(view.run_id())


def _generation(prompt: str) -> Generation | None:
    """What was written from this prompt. With another one in the field, its own chances are on show."""
    generation = newest()
    return generation if generation is not None and generation.samples[0].prompt == prompt else None


def _wish() -> tuple[str, int, Sampling]:
    """What the controls say: prompt, length and the way of choosing. In a callback, what was typed just before too."""
    said = st.session_state
    sampling = Sampling(said["temperature"], said["top_k"], said["top_p"])
    return text_fields.prompt_written(), said["length"], sampling


# ---- what a person does


def _begin() -> None:
    session().generation_problem = None
    generations = window.window().generations
    if before := newest():
        before.stop()
    prompt, length, sampling = _wish()
    seeds = [st.session_state["sampling-seed"] + i for i in range(st.session_state["samples"])]
    try:
        now = view.model_shown(max_age=0.0)
        if now is None:
            raise ValueError("The model is still being made: try again in a second.")
        step, model = now
        generations[view.run_id()] = Generation(model, view.run().tokenizer, prompt, length, sampling, seeds, step)
    except ValueError as problem:
        _say(prompt, problem)
        return
    _pick(0, 0)


def _say(prompt: str, problem: ValueError) -> None:
    """Name what stood in the way, for as long as this prompt stands there."""
    session().generation_problem = prompt, str(problem)


def _stop() -> None:
    if generation := newest():
        generation.stop()


def _pick(number: int, place: int) -> None:
    session().character = number, place


def _picked(generation: Generation) -> tuple[int, int]:
    number, place = session().character
    number = min(number, len(generation.samples) - 1)
    return number, max(0, min(place, len(generation.samples[number].text) - 1))


def _choose(prompt: str, character: str) -> None:
    """Another character at the place on show, and on from there; before anything is written, one more in the prompt."""
    session().generation_problem = None
    generation = _generation(prompt)
    said, length, sampling = _wish()
    try:
        if generation is None:
            if len(said) >= text_fields.LONGEST_PROMPT:
                raise ValueError(f"The prompt is full: it has {text_fields.LONGEST_PROMPT} characters.")
            text_fields.set_prompt(said + character)
        else:
            number, place = _picked(generation)
            generation.branch(number, place, character, max(_AT_LEAST, length - place - 1), sampling)
    except ValueError as problem:
        _say(said, problem)


# ---- what is on show


def _tick(prompt: str, key: str, was_writing: bool) -> None:
    generation = _generation(prompt)
    if key != text_fields.prompt_key() or was_writing != (generation is not None and generation.is_writing):
        st.rerun()  # another prompt, or another pace of this timer
    about, problem = session().generation_problem or (None, None)
    if prompt and about == text_fields.prompt_written():  # an empty one has been named at its field
        st.error(literal(problem), icon=":material/error:")
    if generation is None:
        samples, place, chosen = [letters.sample("", prompt, "", [])], _after_the_prompt(prompt), (-1, -1)
    else:
        chosen = _picked(generation)
        place = _at_a_place(generation, *chosen)
        names = [f"seed {sample.seed}" if len(generation.samples) > 1 else "" for sample in generation.samples]
        samples = [
            letters.sample(name, sample.prompt, sample.text, sample.nats)
            for name, sample in zip(names, generation.samples, strict=True)
        ]
    letters.writing("letters", samples, place, chosen=chosen, pick=_pick, choose=lambda c: _choose(prompt, c))
    if generation is None:
        st.caption("Press Generate: it goes on from your prompt, character by character.")
        return
    size = view.run().read_info().model.block_size
    st.caption(
        f"{sum(len(sample.text) for sample in generation.samples):,} characters, written by the model of step "
        f"{generation.samples[0].step:,}; the tint is its own surprise. When the {size} characters that it can see are full, "
        "the oldest quarter is dropped and the rest read anew; in between it reads only the newest one "
        "(key-value cache)."
    )


def _after_the_prompt(prompt: str) -> dict[str, Any]:
    if not prompt:
        return {"title": "Nothing to go on from", "about": "", "note": "", "rows": []}
    now = view.model_shown(max_age=1.0)
    if now is None:
        return {"title": "The model has no weights to show yet.", "about": "", "note": "", "rows": []}
    step, model = now
    tokenizer = view.run().tokenizer
    logits = next_logits(model, known_ids(tokenizer, prompt)[None])[0]
    return {
        "title": _after(prompt),
        "about": f"What could come next, by the model of step {step:,}. Press one: it joins the prompt.",
        "note": _LEGEND,
        "rows": _rows(logits, None),
    }


def _at_a_place(generation: Generation, number: int, place: int) -> dict[str, Any]:
    sample = generation.samples[number]
    written = sample.text[place : place + 1] or None
    about = f"Character {place + 1:,} of what it wrote. Press another one: it goes on differently from there."
    return {
        "title": _after(sample.prompt + sample.text[:place]),
        "about": about,
        "note": _LEGEND,
        "rows": _rows(sample.logits(place), written),
    }


def _after(text: str) -> str:
    return f"After “{isolated(('…' if len(text) > 16 else '') + visible(text[-16:]))}”"


def _rows(logits, written: str | None) -> list[list[Any]]:
    tokenizer = view.run().tokenizer
    also = tokenizer.encode(written)[0] if written else None
    _, _, sampling = _wish()
    return [
        [tokenizer.vocab[i], float(f"{own:.3g}"), float(f"{drawn:.3g}"), i == also]  # only what is cut off has none
        for i, own, drawn in likeliest(logits, sampling, also=also)
    ]
