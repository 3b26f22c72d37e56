"""Controls made from the table of knobs, what they cost, and the fields that pages share."""

from __future__ import annotations

from dataclasses import Field, asdict

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ... import plots
from ...config import PRESETS, ModelConfig, TrainConfig, configs_from, knobs, nearest_valid, problems
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
)
_RUN = tuple(name for name in knobs() if name not in _MAIN + _RECIPE)


# ---- the knobs


def settings(text_length: int | None) -> tuple[ModelConfig, TrainConfig, dict[str, str]]:
    """Preset and sliders: what they say, and what is wrong with it. It is remembered as the draft of the next run."""
    preset, model, train = draft.draft()
    st.session_state.setdefault("preset", preset)
    chosen = st.segmented_control(
        "Preset",
        list(PRESETS),
        format_func=lambda key: PRESETS[key].title,
        key="preset",
        required=True,
        persist_state="session",
        width="stretch",
    )
    if chosen != preset:
        preset, (model, train) = chosen, configs_from({}, chosen)
        draft.set_knobs(_all((model, train)))
        draft.remember_draft(preset, {})  # now, so that a run of this script that is cut short is not repeated
    with st.container(horizontal=True, wrap=False):
        st.caption(PRESETS[preset].sentence, width="stretch")
        is_changed = draft.draft()[1:] != configs_from({}, preset)
        st.button(
            "Reset",
            key="preset-reset",
            type="tertiary",
            disabled=not is_changed,
            help=f"Back to the settings of {PRESETS[preset].title}",
            on_click=draft.set_draft,
            args=(preset, _all(configs_from({}, preset))),
        )
    values = _all((model, train))
    marks = _grid(_MAIN)
    more = disclosure("More", key="more")
    beneath = st.container()
    if more:  # what is not seen costs the browser nothing at each tick
        with more:
            st.markdown("**The recipe**: what it is made of, and how it learns")
            marks |= _grid(_RECIPE)
            curve = st.container(key="learning-rate")
            st.markdown("**The run**: how much, how often, how long")
            marks |= _grid(_RUN)
    for name, mark in marks.items():
        with mark:
            values[name] = _knob(knobs()[name], values[name])
            st.caption(knobs()[name].metadata["plain"])
    draft.remember_draft(preset, values)
    _, model, train = draft.draft()
    found = problems(model, train, text_length)
    for name, sentence in found.items():
        if name in knobs():
            with marks.get(name, beneath):
                _offer(name, sentence, nearest_valid(name, model, text_length))
    if not model.causal:
        with marks.get("causal", beneath):
            st.warning("Cheating: the answer is in sight.", icon=":material/visibility:")
    if more and not found:
        with curve:
            _learning_rate(train)
    return model, train, found


def _all(configs: tuple[ModelConfig, TrainConfig]) -> dict:
    return {name: value for config in configs for name, value in asdict(config).items()}


def _grid(names: tuple[str, ...]) -> dict[str, DeltaGenerator]:
    """A place for each knob, two in a row."""
    places = {}
    for i in range(0, len(names), 2):
        for name, column in zip(names[i : i + 2], st.columns(2), strict=False):
            places[name] = column.container(gap="xsmall")
    return places


def _knob(knob: Field, value):
    meta = knob.metadata
    common = {"key": knob_key(knob.name), "help": meta["help"], "persist_state": "session"}
    st.session_state.setdefault(knob_key(knob.name), value)
    if knob.type == "bool":
        return st.toggle(knob.name, **common)
    if meta["choices"]:
        return st.selectbox(knob.name, meta["choices"], **common)
    if knob.name in _MAIN or knob.name == "dropout":
        return st.slider(knob.name, meta["low"], meta["high"], step=meta["step"], **common)
    if knob.name == "learning_rate":
        return st.number_input(knob.name, meta["low"], meta["high"], step=1e-4, format="%g", **common)
    return st.number_input(knob.name, meta["low"], meta["high"], step=meta["step"], **common)


def _learning_rate(train: TrainConfig) -> None:
    st.vega_lite_chart(
        plots.learning_rate_data(train),
        plots.learning_rate_spec(mode()),
        width="stretch",
        key="learning-rate-curve",
        alt="The learning rate of each step of the run",
    )
    st.caption("How big the corrections will be, from the first step to the last (learning-rate curve).")


def _offer(name: str, sentence: str, value) -> None:
    st.error(sentence, icon=":material/error:")
    if value is not None:

        def take() -> None:
            st.session_state[knob_key(name)] = value

        st.button(f"Use {value}", key=f"use-{name}", on_click=take)


# ---- what it costs

# ---- while it trains

# ---- a sentence, a prompt, dice
