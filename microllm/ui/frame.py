"""What stands around every page: the way in, the strip at the bottom edge, and the one way to tick."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar

import streamlit as st

from ..home import home, home_is_temporary
from ..runs import ACTIVE, RunInfo, all_runs
from ..training import Training
from . import session
from .words import choices, duration, literal

_is_inside = ContextVar("a page runs inside the frame", default=False)

# ---- the way in


def enter(page: str) -> None:
    """The first statement of each page: without the frame around it, take the way through `app.py` and come back.

    On a fresh server Streamlit runs the script of a deep link alone, as if `app.py` did not exist.
    """
    if not _is_inside.get():
        st.session_state["detour"] = page, st.query_params.to_dict()
        st.switch_page("app.py")


def show(page) -> None:
    """Run the page that navigation chose, with the strip around it."""
    if "detour" in st.session_state:
        target, query_params = st.session_state.pop("detour")
        st.switch_page(target, query_params=query_params)
    link_problem, start_problem = session.follow_the_link(), st.session_state.pop("start_problem", None)
    strip()
    if link_problem:
        st.warning(literal(link_problem), icon=":material/link_off:")
    if start_problem:
        st.error(literal(start_problem), icon=":material/error:")
    if home_is_temporary():
        st.warning(
            f"Runs are kept in {literal(str(home()))} until this machine is cleaned: MICROLLM_HOME cannot be written."
        )
    token = _is_inside.set(True)
    try:
        page.run()
    finally:
        _is_inside.reset(token)


# ---- ticking


def live(part: Callable[[], None], every: float, *, key: str, when: bool = True) -> None:
    """Show `part`, and again every so many seconds `when` asked to: the only way in which anything here ticks.

    In a container of its own, because a click at the moment of a tick makes the element after a ticking fragment
    vanish (streamlit #16708).
    """
    with st.container(key=key):
        st.fragment(part, run_every=every if when else None)()


def is_active() -> bool:
    """True while the run on show trains, waits or is paused, here or in another process: while pages tick."""
    run = session.run()
    return run is not None and (session.training() is not None or run.info.state in ACTIVE)


# ---- the strip


def strip() -> None:
    """The run, its numbers and its buttons, at the bottom edge of every page."""
    shown = session.run_id(), is_active()
    with st.bottom:
        live(lambda: _strip_tick(shown), 1.0, key="strip", when=is_active())


def _strip_tick(shown: tuple[str | None, bool]) -> None:
    if (session.run_id(), is_active()) != shown or "start_problem" in st.session_state:
        st.rerun()  # another run, or the end of this one, concerns the whole page: timers begin and end only there
    run, training = session.run(), session.training()
    info = run.info if run else None
    state = training.state if training else info.state if info else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _menu(info.name if info else "No run yet")
        st.markdown(
            _numbers(info, state, training) if info else "Nothing trains yet: press **Start**.", width="content"
        )
        _buttons(state, training)


def _menu(name: str) -> None:
    menu = st.popover(name, icon=":material/folder_open:", key="runs-menu", on_change="rerun")
    if not menu.open:
        return
    with menu:
        st.caption("Runs on this server, the newest first. Those that train in other windows are not listed.")
        listed = 0
        for run in all_runs():
            info = run.info
            if listed == 12 or (info.state in ACTIVE and not session.window().holds(run.id)):
                continue
            listed += 1
            exams = run.history.read().exams
            loss = f"validation {exams[-1][1]:.2f}" if exams else "not scored yet"
            label = f"{info.name} · {info.state} · {loss}"
            st.button(label, key=f"open-{run.id}", on_click=session.show, args=(run.id,), width="stretch")
        if not listed:
            st.caption("None yet.")


def _numbers(info: RunInfo, state: str, training: Training | None) -> str:
    history = session.run().history.read()
    last = history.last
    parts = [f"**{state}**"]
    if state == "waiting" and (seconds := training and training.seconds_to_turn()):
        parts = [f"**your turn in {math.ceil(seconds)} s**"]
    if last:
        parts.append(f"step **{last['step']:,}** / {info.train.max_steps:,}")
    if history.exams:
        loss = history.exams[-1][1]
        parts.append(f"validation **{loss:.3f}** ({choices(loss)})")
    if (rate := history.steps_per_second()) and state in ("training", "waiting"):
        parts.append(f"{rate:.0f} steps/s" if rate >= 10 else f"{rate:.1f} steps/s")
        parts.append(f"{duration((info.train.max_steps - last['step']) / rate)} left")
    return " · ".join(parts)


def _buttons(state: str | None, training: Training | None) -> None:
    if training is None:
        st.button(
            "Start",
            key="strip-start",
            type="primary",
            icon=":material/play_arrow:",
            on_click=session.start,
        )
        return
    if state == "paused":
        st.button("Resume", key="strip-resume", icon=":material/play_arrow:", on_click=_resume, args=(training,))
    else:
        st.button("Pause", key="strip-pause", icon=":material/pause:", on_click=_pause, args=(training,))
    st.button("Step", key="strip-step", icon=":material/skip_next:", on_click=_one_step, args=(training,))
    st.button("Stop", key="strip-stop", icon=":material/stop:", on_click=_stop, args=(training,))


def _pause(training: Training) -> None:
    training.pause()
    training.settle(lambda: training.state == "paused")


def _resume(training: Training) -> None:
    training.resume()
    training.settle(lambda: training.state != "paused")


def _one_step(training: Training) -> None:
    before = training.reached
    training.one_step()
    training.settle(lambda: training.reached > before and training.state == "paused")


def _stop(training: Training) -> None:
    training.stop()
    training.settle(lambda: False)
