"""The controls of all settings, made from the fields of the configs."""

from __future__ import annotations

from dataclasses import Field

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ... import plots
from ...config import PRESETS, ModelConfig, TrainConfig, configs_from, flat, knobs, nearest_valid, problems, step_near
from ..state import draft
from ..state.session import knob_key
from ..theme import mode
from .disclosure import disclosure

_MAIN = ("block_size", "n_embd", "n_head", "n_layer")
_RECIPE = (
    "position",
    "lookback",
    "activation",
    "initialization",
    "optimizer",
    "precision",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "causal",
    "silenced",
)
_RUN = tuple(name for name in knobs() if name not in _MAIN + _RECIPE)


def settings(text_length: int | None) -> tuple[ModelConfig, TrainConfig, dict[str, str]]:
    """Preset and knobs: (model, train, problems by field). They are remembered as the draft of the next run."""
    preset, model, train = draft.draft()
    st.session_state.setdefault("preset", preset)
    chosen = st.segmented_control(
        "Preset",
        list(PRESETS),
        format_func=lambda key: PRESETS[key].title,
        key="preset",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
        width="stretch",
    )
    if chosen != preset:
        preset, (model, train) = chosen, configs_from({}, chosen)
        draft.set_knobs(flat(model, train))
        draft.remember_draft(preset, {})  # at once, so that an aborted script run does not apply the preset again
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.caption(PRESETS[preset].sentence, width="stretch")
        is_changed = draft.draft()[1:] != configs_from({}, preset)
        st.button(
            "Reset",
            key="preset-reset",
            type="tertiary",
            disabled=not is_changed,
            help=f"Reset to the {PRESETS[preset].title} preset",
            on_click=draft.set_draft,
            args=(preset, flat(*configs_from({}, preset))),
        )
    values = flat(model, train)
    places = _places(_MAIN)
    more = disclosure("More settings", key="more")
    below = st.container()
    if more:  # drawn only while open, because each tick costs the browser time for every element
        with more:
            st.markdown("**Recipe**: how the model is built and how it learns")
            places |= _places(_RECIPE)
            curve = st.container(key="learning-rate")
            st.markdown("**Run**: batches, length, validation, random seed")
            places |= _places(_RUN)
    for name, place in places.items():
        with place:
            values[name] = _knob(knobs()[name], values[name])
    draft.remember_draft(preset, values)
    _, model, train = draft.draft()
    found = problems(model, train, text_length)
    _problems(found, places, below, model, text_length)
    if not model.causal:
        with places.get("causal", below):
            st.warning("Cheating: without the causal mask the model sees the answer.", icon=":material/visibility:")
    if more and not found:
        with curve:
            _learning_rate(train)
    return model, train, found


def sizes(text_length: int | None) -> tuple[ModelConfig, bool]:
    """Only the four sizes, of the same draft: (model, whether it can be built)."""
    preset, model, train = draft.draft()
    values, places = flat(model, train), {}
    for pair in (_MAIN[:2], _MAIN[2:]):
        for name, column in zip(pair, st.columns(2, gap="medium"), strict=True):
            places[name] = column.container(gap="xsmall")
            with places[name]:
                values[name] = _knob(knobs()[name], values[name])
    draft.remember_draft(preset, values)
    _, model, train = draft.draft()
    found = problems(model, train, text_length)
    _problems(found, places, st.container(), model, text_length)
    return model, not found


def _problems(
    found: dict[str, str],
    places: dict[str, DeltaGenerator],
    below: DeltaGenerator,
    model: ModelConfig,
    text_length: int | None,
) -> None:
    """The errors, each below its knob; those of knobs that are not shown, below all of them."""
    for name, sentence in found.items():
        if name in knobs():
            with places.get(name, below):
                _problem(name, sentence, nearest_valid(name, model, text_length))


def _places(names: tuple[str, ...]) -> dict[str, DeltaGenerator]:
    """A container for each knob."""
    return {name: st.container(gap="xsmall") for name in names}


def _knob(knob: Field, value):
    meta = knob.metadata
    label = f"{knob.name} · {meta['plain']}"
    common = {"label": label, "key": knob_key(knob.name), "help": meta["help"], "persist_state": "session"}
    st.session_state.setdefault(knob_key(knob.name), value)
    if knob.type == "bool":
        return st.toggle(**common)
    if meta["choices"]:
        return st.selectbox(options=meta["choices"], **common)
    if knob.type == "str":
        return st.text_input(**common)
    now = st.session_state[knob_key(knob.name)]
    if meta["values"]:  # and the current value, which a link may have set
        return st.select_slider(options=sorted({*meta["values"], now}), **common)
    if knob.name in _MAIN or knob.name == "dropout":
        return st.slider(min_value=meta["low"], max_value=meta["high"], step=meta["step"], **common)
    style = "%g" if knob.type == "float" else None
    # without limits: the browser would keep a number out of range to itself, and Start would use the one before
    step = step_near(knob.name, min(max(now, meta["low"]), meta["high"]))
    return st.number_input(step=step, format=style, **common)


def _learning_rate(train: TrainConfig) -> None:
    st.vega_lite_chart(
        plots.learning_rate_data(train),
        plots.learning_rate_spec(mode()),
        width="stretch",
        key="learning-rate-curve",
        alt="Learning rate at each step of the run",
    )
    st.caption("Learning rate (how big each update of the weights is) from the first step to the last.")


def _problem(name: str, sentence: str, value) -> None:
    st.error(sentence, icon=":material/error:")
    if value is not None:

        def use() -> None:
            st.session_state[knob_key(name)] = value

        st.button(f"Use {value}", key=f"use-{name}", on_click=use)
