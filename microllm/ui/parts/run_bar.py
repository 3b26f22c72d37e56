"""The run bar at the bottom of every page: the displayed run, its numbers and its buttons."""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from ... import plots
from ...environment import home, home_is_temporary
from ...jobs.training import TrainingJob
from ...runs.info import ACTIVE
from ..components.sidebar import close_on_a_phone_after
from ..components.timeline import timeline
from ..presence import refresh_slowdown
from ..state import browser_storage, commands, draft, navigation, ownership
from ..state.session import session, take_problem
from ..state.view import View, look
from ..state.view import run_id as shown_id
from ..state.window import window
from ..words import duration, literal
from . import path_task, runs_menu
from .live import live
from .share import share

# Each tick makes the browser redraw the whole page's tree, which may cost a run beside it some 50 ms.
_TICK_SECONDS = 2.0
_WAITING_TICK_SECONDS = 1.0
_FIRST_TICK_SECONDS = 0.2  # until there is a curve

_NOTE_ICONS = {"link": ":material/link_off:", "draft": ":material/history:"}


def show(page: str) -> None:
    """Show the run bar, live while a run trains, and above the page any errors in the link or the saved draft."""
    window()  # from now on the window counts as open, and its memory is freed when it closes
    browser_storage.receive()
    navigation.follow_link(page)
    start_problem = take_problem()
    view = look()
    path_task.notice(view, page)
    layout = _layout(view)
    with st.bottom:
        is_alive = view.is_active or bool(ownership.jobs())
        every = _TICK_SECONDS if view.has_a_curve else _WAITING_TICK_SECONDS if view.waits else _FIRST_TICK_SECONDS
        live(lambda now: _tick(now, layout, start_problem), every, key="run-bar", when=is_alive)
        browser_storage.send()
        close_on_a_phone_after(f"{page} {shown_id()}")
    for about, problems in session().notes.items():
        _note(about, problems)
    if session().browser_keeps is False:
        st.warning(
            "Your browser does not let this page store anything, so only this tab can control the runs that you start: "
            "keep it open. Your settings are lost when you reload it.",
            icon=":material/key_off:",
        )
    if home_is_temporary():
        st.warning(
            f"Runs are saved only temporarily, in {literal(str(home()))}, because MICROLLM_HOME is not writable."
        )


def _note(about: str, problems: dict[str, str | None]) -> None:
    """Errors in the link or the saved draft, and what is used instead. The person can dismiss them."""
    instead = [problem + (f" Using {draft.in_use(name)}." if name else "") for problem, name in problems.items()]
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small", key=f"note-{about}"):
        st.warning(literal(" ".join(instead)), icon=_NOTE_ICONS[about])
        st.button(
            "Dismiss",
            key=f"dismiss-{about}",
            icon=":material/close:",
            type="tertiary",
            help="Dismiss",
            on_click=session().notes.pop,
            args=(about, None),
        )


def _layout(view: View) -> tuple:
    """What the whole page depends on. When it changes, the page is drawn again, with other parts and timers."""
    return refresh_slowdown(), view.run.id, view.moment, view.waits, view.has_a_curve, view.is_active


def _tick(view: View, layout: tuple, start_problem: str | None) -> None:
    if _layout(view) != layout or session().problem:
        st.rerun()
    if start_problem:
        st.error(literal(start_problem), icon=":material/error:")
    if view.job and view.job.warning:
        st.warning(literal(view.job.warning), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False, key="bar-row"):
        runs_menu.menu(view)
        _buttons(view)
        share(view)
        for job in ownership.jobs():
            if job.run.id != shown_id():
                _link_to(job)
        with st.container(width="content", key="bar-numbers"):
            st.markdown(_numbers(view))
        if view.has_a_curve:
            data = plots.timeline_data(view.history, view.snapshots)
            timeline(data, view.moment, view.is_active, navigation.choose_moment)


def _numbers(view: View) -> str:
    """The run in two lines. On a phone, shell.css hides the emphasized parts, so that the rest fits."""
    history, info, state = view.history, view.info, view.state
    last = history.last
    first = [f"***{state}***" if state in ("training", "paused") and last else f"**{state}**"]
    if view.is_from_gallery:
        first = ["***came with MicroLLM***"]
    if state in ACTIVE and not (ownership.owns() or ownership.is_unknown()):
        first.append("*you are* watching")
    if view.job and (other := view.job.waits_for):
        first = [f"**starts when {literal(other.run.read_info().name)} ends**"]
    elif state == "waiting" and (seconds := view.job and view.job.seconds_to_turn()):
        first = [f"**your turn in {duration(math.ceil(seconds))}**"]
    if last:
        first.append(f"*step* **{last['step']:,}** / {info.train.max_steps:,}")
    second = []
    if history.val_losses:
        second.append(f"val*idation loss* **{history.val_losses[-1][1]:.3f}**")
    if (rate := history.steps_per_second()) and state in ("training", "waiting"):
        speed = f"{rate:.0f} steps/s" if rate >= 10 else f"{rate:.1f} steps/s"
        second.append(f"*{speed} ·* {duration((info.train.max_steps - last['step']) / rate)} left")
    if state == "failed" and info.message:
        second = [literal(info.message)]
    return "  \n".join(" · ".join(parts) for parts in (first, second) if parts).replace("*** · ", " ·*** ")


def _buttons(view: View) -> None:
    """The buttons of the displayed run.

    While its owner is unknown, the owner's buttons are shown disabled, so that nothing moves when the browser answers.
    """
    is_unknown = ownership.is_unknown()
    is_owner = is_unknown or ownership.owns()
    if not (is_owner and view.job):
        is_over = view.state in ("stopped", "interrupted", "failed") and not _has_diverged(view)
        can_resume = is_owner and is_over and view.run.can_continue()
        if can_resume:
            st.button(
                "Resume",
                key="bar-go-on",
                type="primary",
                icon=":material/resume:",
                on_click=commands.resume,
                args=(view.run.id,),
                disabled=is_unknown,
            )
        st.button(
            "Start",
            key="bar-start",
            type="secondary" if can_resume else "primary",
            icon=":material/play_arrow:",
            on_click=commands.start,
            help="Start a new run with the settings of the Train page" if can_resume else None,
        )
        return
    # one button that changes: if two alternated, the browser would sometimes show both until the next click
    if view.state == "paused":
        _icon("bar-pause", "Resume", ":material/play_arrow:", _resume, is_unknown)
    else:
        _icon("bar-pause", "Pause", ":material/pause:", _pause, is_unknown)
    _icon("bar-step", "Step", ":material/skip_next:", _one_step, is_unknown)
    _icon("bar-stop", "Stop", ":material/stop:", _stop, is_unknown)


def _has_diverged(view: View) -> bool:
    """True when the last loss is not a number: if resumed, the run would diverge again."""
    last = view.history.last
    return last is not None and last["train_loss"] is None


def _link_to(job: TrainingJob) -> None:
    """A button that shows another run of this window."""
    state = "paused" if job.state == "paused" else "training"
    name = literal(job.run.read_info().name)
    st.button(
        f"Open {name} (queued)" if job.waits_for else f"Back to {name} ({state})",
        key=f"way-to-{job.run.id}",
        icon=":material/arrow_forward:",
        type="tertiary",
        on_click=navigation.show,
        args=(job.run.id,),
    )


def _icon(key: str, name: str, icon: str, action: Callable[[TrainingJob], None], disabled: bool) -> None:
    """A small button, so that all fit in one row on a phone: shell.css hides its name from all but screen readers."""
    st.button(name, key=key, icon=icon, help=name, on_click=_command, args=(shown_id(), action), disabled=disabled)


def _command(run_id: str, action: Callable[[TrainingJob], None]) -> None:
    """Carry out a click on a button of this run, if the window still shows the run and may control it."""
    if run_id == shown_id() and (job := ownership.owned_job()):
        action(job)


def _pause(job: TrainingJob) -> None:
    job.pause()
    job.wait_briefly(lambda: job.state == "paused")


def _resume(job: TrainingJob) -> None:
    job.resume()
    job.wait_briefly(lambda: job.state != "paused")


def _one_step(job: TrainingJob) -> None:
    before = job.last_step
    job.one_step()
    job.wait_briefly(lambda: job.last_step > before and job.state == "paused")


def _stop(job: TrainingJob) -> None:
    job.stop()
    job.wait_briefly(lambda: False)  # until the run is over
