"""The experiments as a list of cards, of which one is open: question, prediction, run, and result."""

from __future__ import annotations

import streamlit as st

from ...data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from ...experiments.experiment import Check, Experiment, Setup
from ...experiments.registry import EXPERIMENTS
from ...runs.info import ACTIVE
from .. import server
from ..components.scroll import scroll_to
from ..state import experiments as own
from ..state import navigation, ownership
from ..state.experiments import Part
from ..state.session import session
from ..state.view import View
from ..words import duration, literal
from . import challenges, source
from .cost import slowness
from .live import live

_WATCH_SECONDS = 1.0
_WAIT_SECONDS = 0.3
_ICONS = {
    "to do": ":material/radio_button_unchecked:",
    "under way": ":material/pending:",
    "done": ":material/check_circle:",
}


def experiments(view: View) -> None:
    """All experiments with what this window has found out, and the challenges beside them."""
    st.caption(
        "Say what you expect, run it, and compare. An experiment has its own settings: those of your next run stay as "
        "they are. The results are measured on your own runs."
    )
    drawn = _state()  # before anything is drawn, so that no change is missed
    left, right = st.columns([3, 2], gap="large")
    with left.container(key="experiments", gap="xsmall"):
        for name in EXPERIMENTS:
            _card(view, name)
    with right:
        challenges.challenges()
    scroll_to(f"card-{session().shown_experiment}" if session().shown_experiment else "")
    session().shown_experiment = ""
    live(lambda _: _redraw_after(drawn), _WATCH_SECONDS, key="experiments-watch", when=_is_changing(drawn))


def _state() -> tuple:
    """What the page depends on and no click changes."""
    parts = {name: own.parts(name) for name in EXPERIMENTS}
    states = [part.state for some in parts.values() for part in some]
    results = [own.result(name, some) for name, some in parts.items()]
    known = [(found is None, found is not None and found.is_busy) for found in results]
    return server.speed() is None, states, known, challenges.is_measuring()


def _is_changing(state: tuple) -> bool:
    is_timing, states, results, is_asking = state
    is_measuring = any(is_busy for _, is_busy in results)
    return is_timing or is_asking or is_measuring or any(state in ACTIVE for state in states)


def _redraw_after(drawn: tuple) -> None:
    if _state() != drawn:
        st.rerun()


# ---- a card


def _card(view: View, name: str) -> None:
    experiment, parts = EXPERIMENTS[name], own.parts(name)
    opened = session().experiment
    is_open = name == (own.name_of(view) if opened is None else opened)
    with st.container(border=is_open, key=f"card-{name}", gap="small"):
        st.button(
            f"**{experiment.title}** · {_cost(view, experiment)}  \n{experiment.question}",
            key=f"question-{name}",
            icon=_ICONS[_progress(name, parts)],
            type="tertiary",
            width="stretch",
            on_click=_open,
            args=("" if is_open else name,),  # fixed when drawn, because Streamlit may deliver a click twice
        )
        if is_open:
            chosen = _prediction(name, experiment, own.prediction(name, parts))
            if own.result(name, parts):
                _result(name, experiment, parts)
            else:
                st.markdown(f"**Watch:** {experiment.watch}")
            if experiment.shipped:
                _to_open(name, experiment, chosen)
            else:
                _to_run(name, experiment, parts, chosen)


def _open(name: str) -> None:
    session().experiment = name


def _cost(view: View, experiment: Experiment) -> str:
    """How long the experiment takes, in words."""
    if experiment.shipped:
        return "no training"
    number = len(experiment.setups)
    runs = f"{number} runs" if number > 1 else "1 run"
    if (speed := server.speed()) is None:
        return f"{runs}, measuring the speed of this server …"
    return f"{runs}, about {duration(experiment.seconds(speed) * slowness(view, speed))}"


def _progress(name: str, parts: list[Part]) -> str:
    if own.result(name, parts):
        return "done"
    return "under way" if any(part.run for part in parts) else "to do"


def _prediction(name: str, experiment: Experiment, kept: str | None) -> str | None:
    """What the person predicts: a choice before the first run, a sentence after it."""
    if kept:
        st.markdown(f"You expected: **{experiment.predictions[kept]}**")
        return kept
    return st.radio(
        "What do you expect?",
        list(experiment.predictions),
        index=None,
        format_func=experiment.predictions.get,
        key=f"prediction-{name}",
        persist_state="session",
    )


def _to_run(name: str, experiment: Experiment, parts: list[Part], chosen: str | None) -> None:
    """The runs of an experiment, and the button that starts them for a person who has chosen a prediction."""
    _runs(parts)
    setups, repeated = own.next_setups(parts), own.setups_to_repeat(parts)
    text = experiment.setups[0].text
    has_text = text not in PUBLISHED_TEXTS or source.is_here(text, f"experiment-{name}")
    jobs = ownership.jobs()
    stops = f"Stops {literal(jobs[0].run.read_info().name)} and keeps it." if jobs else None
    if not setups and not repeated:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if st.button(
            _repeat_label(parts, repeated) if repeated else _label(parts, len(setups)),
            key=f"run-{name}",
            type="secondary" if repeated else "primary",
            icon=":material/replay:" if repeated else ":material/play_arrow:",
            disabled=chosen is None or not has_text,
            help=stops,
        ):
            own.start(name, chosen)
            _go_to_train()
        if st.button(
            "Only set the controls",
            key=f"set-{name}",
            type="tertiary",
            help="Opens the Train page with every control as in the first run, so that you can change something.",
        ):
            own.set_controls((setups or experiment.setups)[0])
            _go_to_train()
        if chosen is None:
            st.caption("First say what you expect.", width="content")


def _go_to_train() -> None:
    if session().problem:
        st.rerun()  # the run bar says why
    st.switch_page("pages/train.py", query_params=st.query_params.to_dict())


def _repeat_label(parts: list[Part], repeated: list[Setup]) -> str:
    """The label of the button when all runs have a result: which of them it repeats."""
    if len(repeated) == len(parts):
        return "Run both again" if len(parts) > 1 else "Run it again"
    places = (str(place) for place, part in enumerate(parts, 1) if part.setup in repeated)
    return f"Repeat runs {' and '.join(places)}"


def _label(parts: list[Part], to_start: int) -> str:
    """The label of the button: how many of the runs it starts."""
    number = len(parts)
    if number == 1:
        return "Run"
    if to_start == number:
        return "Run both"
    which = "next" if any(part.run for part in parts) else "first"
    return f"Run the {which} two of {number}" if to_start > 1 else "Run the other one"


def _runs(parts: list[Part]) -> None:
    """The runs of an experiment and how far each has come."""
    text = PUBLIC_TEXTS[parts[0].setup.text].name
    rows = st.container(gap="xsmall")
    for place, part in enumerate(parts):
        with rows.container(horizontal=True, gap="small", vertical_alignment="center", key=f"part-{place}"):
            state = "" if part.run is None else f" · {_state_in_words(part)}"
            st.markdown(f"Run {place + 1} · {text}, {part.setup.label}{state}", width="content")
            if part.run:
                name = literal(part.info.name)
                if st.button(f"Open {name}", key=f"open-part-{place}", type="tertiary"):
                    navigation.show(part.run.id)
                    _go_to_train()


def _state_in_words(part: Part) -> str:
    if part.state != "over":
        return part.state
    checks = part.run.history.val_losses
    if not checks or part.info.state == "failed":
        return "diverged"
    loss = dict(checks).get(part.setup.configs[1].max_steps, checks[-1][1])
    return f"validation loss **{loss:.3f}**"


# ---- without training


def _to_open(name: str, experiment: Experiment, chosen: str | None) -> None:
    """The button that opens a run that came with MicroLLM."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if st.button(
            f"Open {experiment.shipped}",
            key=f"run-{name}",
            type="secondary" if own.result(name, []) else "primary",
            icon=":material/visibility:",
            disabled=chosen is None,
        ):
            own.open_shipped(name, chosen)
            st.switch_page("pages/attention.py", query_params=st.query_params.to_dict())
        if chosen is None:
            st.caption("First say what you expect.", width="content")


# ---- afterwards


def _result(name: str, experiment: Experiment, parts: list[Part]) -> None:
    """The result of the runs, beside the prediction."""
    found = own.result(name, parts)
    found.wait(_WAIT_SECONDS)
    if found.is_busy:
        st.caption("Measuring your runs …")
        return
    if found.problem:
        st.warning(literal(found.problem), icon=":material/error:")
        return
    if (check := found.result) is None:
        st.warning("Your runs could not be measured. Run the experiment again.", icon=":material/error:")
        return
    _findings(experiment, check, own.prediction(name, parts))


def _findings(experiment: Experiment, check: Check, predicted: str | None) -> None:
    with st.container(key="findings", gap="small"):
        came_true = experiment.predictions.get(check.came_true)
        if predicted and predicted == check.came_true:
            st.markdown(":material/check_circle: **That is what happened.**")
        elif came_true:
            st.markdown(f":material/arrow_forward: What happened: **{came_true}**")
        else:
            st.markdown(":material/arrow_forward: None of the predictions came true.")
        for finding in check.findings:
            if finding.is_true:
                st.markdown(f":material/check: {finding.statement}  \n*Measured: {finding.numbers}*")
            else:
                st.markdown(f":material/close: Usually, but not this time: {finding.statement}  \n*{finding.numbers}*")
        st.markdown(f"**Why:** {experiment.why}")
