"""The strip at the bottom edge of every page: the run on show, its numbers and its buttons."""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from ... import plots
from ...environment import home, home_is_temporary, most_disk
from ...jobs.training import TrainingJob
from ...runs.catalog import runs_and_damaged
from ...runs.history import newest_val_loss
from ...runs.importing import MOST_BYTES
from ...runs.info import RunInfo, RunProblem
from ...runs.run import ACTIVE, Run
from .. import server
from ..components.timeline import timeline
from ..presence import refresh_slowdown
from ..state import commands, navigation, ownership, saved_draft, uploads, view, window
from ..state.session import session, take_problem
from ..words import choices, duration, literal
from .live import live
from .share import share

_ROOM = 400  # pixels
_LISTED = 12  # runs


def show(pace: float) -> None:
    """The run, its numbers, its buttons and what stands in its way, at the bottom edge of every page, always in sight.

    While a run trains its numbers are anew every `pace` seconds.
    """
    window.window()  # from now on it is counted, and what it leaves is cleared away
    link_problem, start_problem = navigation.follow_the_link(), take_problem()
    draft_problem = saved_draft.follow()
    shown = _whole_page()
    with st.bottom:
        is_alive = view.is_active() or bool(ownership.jobs())
        pace = pace if view.has_a_curve() else 1.0 if view.waits() else 0.2
        live(lambda _: _tick(shown, start_problem), pace, key="run-bar", when=is_alive)
        saved_draft.keep()
    if draft_problem:
        st.warning(literal(draft_problem), icon=":material/history:")
    if link_problem:
        st.warning(literal(link_problem), icon=":material/link_off:")
    if home_is_temporary():
        st.warning(
            f"Runs are kept in {literal(str(home()))} until this machine is cleaned: MICROLLM_HOME cannot be written."
        )


def _whole_page() -> tuple:
    """What concerns the whole page: another run or moment, the end of a long wait, the first points, the end; timers
    begin and end there, and are set anew when the refresh_slowdown grows or goes.
    """
    moment = view.run() and view.moment()
    return view.run_id(), view.waits(), view.has_a_curve(), view.is_active(), moment, refresh_slowdown()


def _tick(shown: tuple, start_problem: str | None) -> None:
    if _whole_page() != shown or session().problem:
        st.rerun()
    run, job = view.run(), view.job()
    info = run.read_info() if run else None
    state = job.state if job else info.state if info else None
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        _menu(literal(info.name) if info else "No run yet")
        _buttons(state, ownership.owned_job())
        share()
        for other in ownership.jobs():
            if other.run.id != view.run_id():
                _way_to(other)
        nothing = "No run is on show." if ownership.jobs() else "Nothing trains yet: press **Start**."
        st.markdown(_numbers(info, state, job) if info else nothing, width="content")
    if start_problem:
        st.error(literal(start_problem), icon=":material/error:")
    if job and job.warning:
        st.warning(literal(job.warning), icon=":material/warning:")
    if view.has_a_curve():
        data = plots.timeline_data(run.history.read(), run.list_snapshots())
        timeline(data, view.moment(), view.is_active(), navigation.choose_moment)


def _menu(name: str) -> None:
    menu = st.popover(name, key="runs-menu", on_change="rerun")
    # always as high: one that grows while it unfolds is small for a moment, and is kept below, where nothing has room
    place = menu.container(height=_ROOM, border=False)
    if not menu.open:
        return
    with place:
        left_out = "" if ownership.lists_all() else ", nor are those on other people's own texts"
        st.caption(f"Runs on this server, newest first. Those that train in other windows are not listed{left_out}.")
        listed = 0
        runs, damaged = runs_and_damaged()
        for run in runs:
            if listed == _LISTED:
                break
            try:
                info = run.read_info()
            except RunProblem:  # deleted since the list was made
                continue
            is_elsewhere = info.state in ACTIVE and not window.window().holds(run.id)
            if is_elsewhere or not ownership.lists(run):
                continue
            listed += 1
            exam = newest_val_loss(run.history.path)
            loss = f"validation {exam[1]:.2f}" if exam else "not scored yet"
            label = f"{literal(info.name)} · {info.state} · {loss}"
            st.button(label, key=f"open-{run.id}", on_click=navigation.show, args=(run.id,), width="stretch")
        if not listed:
            st.caption("None yet.")
        own = ownership.keys()
        named = [run_id for run_id in damaged if ownership.lists_all() or run_id in own][:_LISTED]
        for run_id in named:
            st.caption(f"{run_id} · damaged: a part of its folder cannot be used.")
        if others := len(damaged) - len(named):  # whose they are nobody can tell, and an id is a link
            st.caption(f"Damaged and not named here, since they may be somebody's own: {others:,}.")
        if view.run() and ownership.owns() and not view.job():
            _delete(view.run())
        used, most = server.disk_use() / 1e6, most_disk() / 1e6
        st.caption(f"All runs and texts on this server take {used:,.1f} MB of the {most:,.0f} that they may.")
        _import()


def _import() -> None:
    above = st.container()  # what stands below may be out of sight
    st.file_uploader("Import a run (the zip of Take it away)", "zip", key="import", max_upload_size=MOST_BYTES // 2**20)
    packed = uploads.uploaded("import")
    if packed is None:
        return
    taken, problem = session().imported
    if packed.file_id != taken:
        data = uploads.content(packed)
        problem = "This file is not here any more: choose it again." if data is None else commands.import_run(data)
        session().imported = packed.file_id, problem
        if problem is None:
            st.rerun()
    if problem:
        above.error(literal(problem), icon=":material/error:")


def _delete(run: Run) -> None:
    name = literal(run.read_info().name)
    is_sure = st.checkbox(f"Delete {name} ({run.disk_size() / 1e6:,.1f} MB) for good", key=f"sure-{run.id}")
    if is_sure:
        st.button("Delete it now", key="delete", icon=":material/delete:", on_click=commands.delete, args=(run.id,))


def _numbers(info: RunInfo, state: str, job: TrainingJob | None) -> str:
    """The run in one line, also on a phone: there shell.css hides what stands in emphasis."""
    history = view.run().history.read()
    last = history.last
    parts = ["***training** ·*" if state == "training" and last else f"**{state}** ·"]
    if state in ACTIVE and not ownership.owns():
        parts.append("*you are* watching ·")
    if job and (other := job.waits_for):
        parts = [f"**begins when {literal(other.run.read_info().name)} is over** ·"]
    elif state == "waiting" and (seconds := job and job.seconds_to_turn()):
        parts = [f"**your turn in {math.ceil(seconds)} s** ·"]
    if last:
        parts.append(f"*step* **{last['step']:,}** / {info.train.max_steps:,} ·")
    if history.val_losses:
        loss = history.val_losses[-1][1]
        parts.append(f"val*idation* **{loss:.3f}** *({choices(loss)})* ·")
    line = " ".join(parts).removesuffix(" ·")
    if (rate := history.steps_per_second()) and state in ("training", "waiting"):
        speed = f"{rate:.0f} steps/s" if rate >= 10 else f"{rate:.1f} steps/s"
        left = duration((info.train.max_steps - last["step"]) / rate)
        line += f" *· {speed}* · {left} *left*" if state == "training" else f" *· {speed} · {left} left*"
    if state == "failed" and info.message:
        line += f" · {literal(info.message)}"
    return line


def _buttons(state: str | None, job: TrainingJob | None) -> None:
    if job is None:
        can_go_on = state in ("stopped", "interrupted", "failed") and ownership.owns() and not _has_diverged()
        if can_go_on:
            st.button(
                "Resume",
                key="bar-go-on",
                type="primary",
                icon=":material/resume:",
                on_click=commands.resume,
                args=(view.run_id(),),
            )
        st.button(
            "Start",
            key="bar-start",
            type="secondary" if can_go_on else "primary",
            icon=":material/play_arrow:",
            on_click=commands.start,
            help="A new run with the settings of the train page" if can_go_on else None,
        )
        return
    # one button that changes its face: of two that take turns, the browser sometimes shows both until the next click
    if state == "paused":
        _icon("bar-pause", "Resume", ":material/play_arrow:", _resume)
    else:
        _icon("bar-pause", "Pause", ":material/pause:", _pause)
    _icon("bar-step", "Step", ":material/skip_next:", _one_step)
    _icon("bar-stop", "Stop", ":material/stop:", _stop)


def _has_diverged() -> bool:
    """True when the run on show ended with a loss that is no number: gone on with, it would do so again."""
    last = view.run().history.read().last
    return last is not None and last["train_loss"] is None


def _way_to(other: TrainingJob) -> None:
    """The way to a run of this window that is not on show."""
    name = literal(other.run.read_info().name)
    what = "is next" if other.waits_for else {"paused": "is paused"}.get(other.state, "trains")
    st.button(
        f"{name} {what}",
        key=f"way-to-{other.run.id}",
        icon=":material/arrow_forward:",
        type="tertiary",
        on_click=navigation.show,
        args=(other.run.id,),
    )


def _icon(key: str, name: str, icon: str, action: Callable[[TrainingJob], None]) -> None:
    """A small button, so that all stand in one row on a phone: shell.css leaves its name to those who listen."""
    st.button(name, key=key, icon=icon, help=name, on_click=_command, args=(view.run_id(), action))


def _command(its_id: str, action: Callable[[TrainingJob], None]) -> None:
    """Do what the button of this run says, if this window shows the run and may command it, at the click."""
    if its_id == view.run_id() and (job := ownership.owned_job()):
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
    job.wait_briefly(lambda: False)
