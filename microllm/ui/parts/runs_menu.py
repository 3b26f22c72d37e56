"""The menu of runs in the run bar: find a run and open it, delete the displayed one, import another."""

from __future__ import annotations

import time
from collections.abc import Iterable

import streamlit as st

from ...config import PRESETS, flat
from ...environment import lists_all_runs, max_disk_bytes
from ...runs.advice import distinction
from ...runs.catalog import gallery_runs, runs_and_damaged
from ...runs.disk import bytes_in
from ...runs.importing import MAX_ZIP_BYTES
from ...runs.info import ACTIVE, RunInfo, RunProblem
from ...runs.run import Run
from ...runs.summary import summary
from .. import server
from ..state import commands, navigation, ownership, uploads
from ..state.session import session
from ..state.view import View
from ..state.window import window
from ..words import age, literal
from .disclosure import disclosure
from .forget import forget

_PIXELS = 400  # height
_PAGE = 30  # runs that are drawn at first, and with each click on "Show more"
_MANY = 8  # runs above which there is a search field
_MAX_DAMAGED = 12
_MAX_QUERY = 100  # characters

Listed = tuple[Run, RunInfo]


def menu(view: View) -> None:
    """A button with the name of the displayed run, which opens the menu."""
    popover = st.popover(literal(view.info.name), icon=":material/list:", key="runs-menu", on_change="rerun")
    # fixed height: the browser positions the menu before it is filled, and a growing one would not fit below the bar
    place = popover.container(height=_PIXELS, border=False, gap="xsmall", key="runs")
    if not popover.open:
        st.session_state.pop("runs-shown", None)
        return
    with place:
        runs, damaged = runs_and_damaged()
        listed = _listed(runs + gallery_runs())
        found = _search(listed)
        to_delete = view if ownership.owns() and not view.job else None
        if inside := disclosure(f"Import{', delete' if to_delete else ''} or forget runs", key="runs-manage"):
            with inside:
                _import()
                if to_delete:
                    _delete(to_delete)
                forget()
                used, limit = server.disk_use() / 1e6, max_disk_bytes() / 1e6
                st.caption(f"Storage: {used:,.1f} MB of {limit:,.0f} MB used")
        _runs(view, found)
        if not found:
            st.caption("No run matches.")
        private = "" if lists_all_runs() else " and their runs on their own texts"
        st.caption(f"Other people's runs that are training{private} are not listed.")
        _damaged(damaged)


# ---- the runs


def _listed(runs: Iterable[Run]) -> list[Listed]:
    """The runs that this window may list, newest first."""
    listed = []
    for run in runs:
        try:
            info = run.read_info()
            is_elsewhere = info.state in ACTIVE and not (window().holds(run.id) or ownership.owns(run.id))
            if not is_elsewhere and ownership.lists(run):
                listed.append((run, info))
        except RunProblem:  # deleted since the list was made
            continue
    return listed


def _search(listed: list[Listed]) -> list[Listed]:
    """The runs that match the search field, which is shown if there are many runs."""
    if sum(not run.is_from_gallery for run, _ in listed) <= _MANY:
        return listed
    query = st.text_input(
        f"Search {len(listed):,} runs",
        key="runs-search",
        max_chars=_MAX_QUERY,
        placeholder=f"Search {len(listed):,} runs, such as: stopped n_layer=2",
        label_visibility="collapsed",
    )
    return [one for one in listed if _matches(one[1], query)]


def _runs(view: View, found: list[Listed]) -> None:
    """A button for each run, by group, one page at a time."""
    left = shown = st.session_state.setdefault("runs-shown", _PAGE)
    for title, group in _groups(found).items():
        if group and left > 0:
            st.markdown(f"**{title}** ({len(group):,})")
        for run, info in group[: max(0, left)]:
            _entry(view, run, info)
        left -= len(group)
    if left < 0:
        st.button(f"Show more ({-left:,})", key="runs-more", on_click=_show_more, args=(shown + _PAGE,))


def _groups(listed: list[Listed]) -> dict[str, list[Listed]]:
    """The runs under the heading of their group. The first group is listed first."""
    yours, others, shipped = groups = ("Yours", []), ("Others on this server", []), ("Came with MicroLLM", [])
    for run, info in listed:
        group = shipped if run.is_from_gallery else yours if ownership.owns(run.id) else others
        group[1].append((run, info))
    return dict(groups)


def _show_more(count: int) -> None:
    st.session_state["runs-shown"] = count


def _matches(info: RunInfo, query: str) -> bool:
    """True when each word of the query occurs in the run's name, text, state or preset, or is a setting (n_layer=2)."""
    said = f"{info.name} {info.text.name} {info.state} {PRESETS[info.preset].title}".lower()
    settings = {f"{name}={value}".lower() for name, value in flat(info.model, info.train).items()}
    return all(word in settings if "=" in word else word in said for word in query.lower().split())


def _entry(view: View, run: Run, info: RunInfo) -> None:
    known = summary(run.history.path)
    first = [f"**{literal(info.name)}**", info.state]
    if known.best is not None:
        first.append(f"best *validation* loss **{known.best:.3f}**")
    if known.step is not None:
        first.append(f"{known.step:,} steps")
    when = "" if run.is_from_gallery else age(time.time() - info.created)
    second = [literal(info.text.name), _difference(view, run, info), when]
    st.button(
        "  \n".join(" · ".join(filter(None, line)) for line in (first, second)),
        key=f"open-{run.id}",
        type="tertiary",
        on_click=_open,
        args=(run.id,),
        width="stretch",
    )


def _open(run_id: str) -> None:
    st.session_state["runs-menu"] = False
    navigation.show(run_id)


def _difference(view: View, run: Run, info: RunInfo) -> str:
    """How a run differs from the displayed one."""
    return "on display" if run.id == view.run.id else distinction(view.info, info)


def _damaged(damaged: list[str]) -> None:
    """Name damaged runs, unless that would reveal something."""
    own = ownership.keys()
    named = [run_id for run_id in damaged if lists_all_runs() or run_id in own][:_MAX_DAMAGED]
    for run_id in named:
        st.caption(f"{run_id} · damaged, cannot be opened")
    if others := len(damaged) - len(named):  # nobody can tell who owns them, and an id is a link
        st.caption(f"Damaged runs not named because they may be private: {others:,}.")


# ---- importing and deleting


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
    is_sure = st.checkbox(f"Permanently delete {name} ({bytes_in(run.folder) / 1e6:,.1f} MB)", key=f"sure-{run.id}")
    if is_sure:
        st.button("Delete it now", key="delete", icon=":material/delete:", on_click=commands.delete, args=(run.id,))
