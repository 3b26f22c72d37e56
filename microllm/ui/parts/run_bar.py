"""The run bar at the bottom of every page: the displayed run, its numbers and its buttons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import streamlit as st

from ... import plots
from ...environment import home, home_is_temporary, lists_all_runs, max_disk_bytes
from ...jobs.training import TrainingJob
from ...runs.catalog import gallery_runs, runs_and_damaged
from ...runs.history import newest_val_loss
from ...runs.importing import MAX_ZIP_BYTES
from ...runs.info import ACTIVE, RunProblem
from ...runs.run import Run
from .. import server
from ..components.sidebar import close_on_a_phone_after
from ..components.timeline import timeline
from ..presence import refresh_slowdown
from ..state import commands, navigation, ownership, saved_draft, uploads
from ..state.session import session, take_problem
from ..state.view import View, look
from ..state.view import run_id as shown_id
from ..state.window import window
from ..words import duration, literal
from .live import live
from .share import share

_MENU_PIXELS = 400  # height
_MAX_LISTED_RUNS = 12


def show(page: str, pace: float) -> None:
    """Show the run bar, and above the page what is wrong with the link or the saved draft.

    While a run trains, the bar is drawn again every `pace` seconds.
    """
    window()  # from now on the window counts as open, and its memory is freed when it closes
    link_problem, start_problem = navigation.follow_link(), take_problem()
    draft_problem = saved_draft.restore()
    view = look()
    layout = _layout(view)
    with st.bottom:
        is_alive = view.is_active or bool(ownership.jobs())
        if not view.has_a_curve:
            pace = 1.0 if view.waits else 0.2
        live(lambda now: _tick(now, layout, start_problem), pace, key="run-bar", when=is_alive)
        saved_draft.save()
        close_on_a_phone_after(f"{page} {shown_id()}")
    if draft_problem:
        st.warning(literal(draft_problem), icon=":material/history:")
    if link_problem:
        st.warning(literal(link_problem), icon=":material/link_off:")
    if home_is_temporary():
        st.warning(
            f"Runs are saved only temporarily, in {literal(str(home()))}, because MICROLLM_HOME is not writable."
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
        _menu(view)
        _buttons(view, ownership.owned_job())
        share(view)
        for job in ownership.jobs():
            if job.run.id != shown_id():
                _link_to(job)
        with st.container(width="content", key="bar-numbers"):
            st.markdown(_numbers(view))
        if view.has_a_curve:
            data = plots.timeline_data(view.history, view.snapshots)
            timeline(data, view.moment, view.is_active, navigation.choose_moment)


def _menu(view: View) -> None:
    menu = st.popover(literal(view.info.name), icon=":material/list:", key="runs-menu", on_change="rerun")
    # fixed height: the browser positions the menu before it is filled, and a growing one would not fit below the bar
    place = menu.container(height=_MENU_PIXELS, border=False)
    if not menu.open:
        return
    with place:
        private = "" if lists_all_runs() else " and other people's runs on their own texts"
        st.caption(f"Runs on this server, newest first. Runs training in other windows{private} are not listed.")
        runs, damaged = runs_and_damaged()
        _list(runs)
        st.caption("Came with MicroLLM")
        _list(gallery_runs())
        own = ownership.keys()
        named = [run_id for run_id in damaged if lists_all_runs() or run_id in own][:_MAX_LISTED_RUNS]
        for run_id in named:
            st.caption(f"{run_id} · damaged, cannot be opened")
        if others := len(damaged) - len(named):  # nobody can tell who owns them, and an id is a link
            st.caption(f"Damaged runs not named because they may be private: {others:,}.")
        if ownership.owns() and not view.job:
            _delete(view)
        used, limit = server.disk_use() / 1e6, max_disk_bytes() / 1e6
        st.caption(f"Storage: {used:,.1f} MB of {limit:,.0f} MB used")
        _import()


def _list(runs: Iterable[Run]) -> None:
    """A button for each run that this window may list."""
    listed = 0
    for run in runs:
        if listed == _MAX_LISTED_RUNS:
            break
        try:
            info = run.read_info()
        except RunProblem:  # deleted since the list was made
            continue
        is_elsewhere = info.state in ACTIVE and not window().holds(run.id)
        if is_elsewhere or not ownership.lists(run):
            continue
        listed += 1
        validation = newest_val_loss(run.history.path)
        loss = f"validation loss {validation[1]:.3f}" if validation else "not validated yet"
        label = f"{literal(info.name)} · {info.state} · {loss}"
        st.button(label, key=f"open-{run.id}", on_click=navigation.show, args=(run.id,), width="stretch")
    if not listed:
        st.caption("None yet.")


def _import() -> None:
    above = st.container()  # an error below the field could be out of sight
    st.file_uploader(
        "Import a run (a zip exported by MicroLLM)", "zip", key="import", max_upload_size=MAX_ZIP_BYTES // 2**20
    )
    packed = uploads.uploaded("import")
    if packed is None:
        return
    imported, problem = session().imported
    if packed.file_id != imported:
        data = uploads.content(packed)
        problem = "The upload has expired. Choose the file again." if data is None else commands.import_run(data)
        session().imported = packed.file_id, problem
        if problem is None:
            st.rerun()
    if problem:
        above.error(literal(problem), icon=":material/error:")


def _delete(view: View) -> None:
    run, name = view.run, literal(view.info.name)
    is_sure = st.checkbox(f"Permanently delete {name} ({run.disk_size() / 1e6:,.1f} MB)", key=f"sure-{run.id}")
    if is_sure:
        st.button("Delete it now", key="delete", icon=":material/delete:", on_click=commands.delete, args=(run.id,))


def _numbers(view: View) -> str:
    """The run in two lines. On a phone, shell.css hides the emphasized parts, so that the rest fits."""
    history, info, state = view.history, view.info, view.state
    last = history.last
    first = ["***training***" if state == "training" and last else f"**{state}**"]
    if view.is_from_gallery:
        first = ["**came with MicroLLM**"]
    if state in ACTIVE and not ownership.owns():
        first.append("*you are* watching")
    if view.job and (other := view.job.waits_for):
        first = [f"**starts when {literal(other.run.read_info().name)} ends**"]
    elif state == "waiting" and (seconds := view.job and view.job.seconds_to_turn()):
        first = [f"**your turn in {math.ceil(seconds)} s**"]
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


def _buttons(view: View, job: TrainingJob | None) -> None:
    if job is None:
        can_resume = view.state in ("stopped", "interrupted", "failed") and ownership.owns()
        can_resume = can_resume and not _has_diverged(view)
        if can_resume:
            st.button(
                "Resume",
                key="bar-go-on",
                type="primary",
                icon=":material/resume:",
                on_click=commands.resume,
                args=(view.run.id,),
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
    # one button that changes: of two that alternate, the browser sometimes shows both until the next click
    if view.state == "paused":
        _icon("bar-pause", "Resume", ":material/play_arrow:", _resume)
    else:
        _icon("bar-pause", "Pause", ":material/pause:", _pause)
    _icon("bar-step", "Step", ":material/skip_next:", _one_step)
    _icon("bar-stop", "Stop", ":material/stop:", _stop)


def _has_diverged(view: View) -> bool:
    """True when the last loss is not a number: resumed, the run would diverge again."""
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


def _icon(key: str, name: str, icon: str, action: Callable[[TrainingJob], None]) -> None:
    """A small button, so that all fit in one row on a phone: shell.css hides its name from all but screen readers."""
    st.button(name, key=key, icon=icon, help=name, on_click=_command, args=(shown_id(), action))


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
