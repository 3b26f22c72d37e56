"""Download a run: as a script, a notebook or weights; its curves as CSV, its folder as a zip; the command for it."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field

import streamlit as st

from ...data.texts import PASTED
from ...exports import KINDS
from ...jobs.background import Background
from ...runs import archive, export
from ...runs.importing import MAX_ZIP_BYTES
from ...runs.info import RunProblem
from ...runs.run import Run
from ...runs.weights import WeightsProblem
from ..components.scroll import scroll_to
from ..state import ownership, window
from ..state.view import View
from ..words import literal
from .disclosure import disclosure
from .live import live

_BUTTON_PIXELS = 220
_MAX_KEPT_BYTES = 2 * MAX_ZIP_BYTES  # in all windows together
_one_at_a_time = threading.Lock()  # of the exports, which take much memory for a large model
_one_folder = threading.Lock()  # of the zips of whole runs, which can take a minute
_kept: weakref.WeakSet[Package] = weakref.WeakSet()  # those of all windows


@dataclass(eq=False)
class Package:
    """The downloads of a run, which appear one after another: see `pack`."""

    step: int | None = None
    """The last step of the curves and of the folder."""
    curves: bytes | None = None
    folder: bytes | None = None
    exported: int | None = None
    """The step of the snapshot that was exported."""
    exports: dict[str, bytes] = field(default_factory=dict)
    """The file of each kind of export (see exports.KINDS)."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why there is no file of some kinds, or of the whole "run": a sentence for each."""

    def __post_init__(self) -> None:
        _kept.add(self)

    @property
    def nbytes(self) -> int:
        """The memory for its files."""
        return sum(map(len, [self.curves or b"", self.folder or b"", *self.exports.values()]))


def pack(
    run: Run,
    package: Package,
    moment: int | None = None,
    *,
    names_parent: bool = True,
    cancelled: threading.Event | None = None,
) -> None:
    """Put the downloads of a run in its current state into `package`, exported at the snapshot `moment` (None: newest).

    Ends early once `cancelled` is set. Raises OSError and RunProblem.
    """
    with _one_at_a_time:
        if cancelled and cancelled.is_set():
            return
        last = run.history.read().last
        package.step = last["step"] if last else 0
        package.curves = export.curves_csv(run).encode("utf-8")
        for name, kind in KINDS.items():
            if cancelled and cancelled.is_set():
                return
            try:
                if problem := _no_room():
                    raise RunProblem(problem)
                package.exported = run.snapshot_called(moment)
                package.exports[name] = kind.make_file(run, package.exported)
            except (RunProblem, WeightsProblem) as problem:
                package.problems[name] = str(problem)
    with _one_folder:
        if cancelled and cancelled.is_set():
            return
        if problem := _no_room(archive.folder_bytes(run)):
            package.problems["run"] = problem
        else:
            package.folder = archive.folder_zip(run, names_parent=names_parent)


def _no_room(coming: int = 0) -> str | None:
    """Why a file of so many bytes cannot be kept in memory beside those of all windows; None if it can."""
    if coming > _MAX_KEPT_BYTES:
        return f"This run is too large to be packed here ({_MAX_KEPT_BYTES / 1e6:,.0f} MB at most)."
    if sum(package.nbytes for package in list(_kept)) + coming > _MAX_KEPT_BYTES:
        return "Other people's downloads take all the memory for them. Close Download, and open it again in a minute."
    return None


def take_away(view: View) -> None:
    """The downloads of the displayed run at the displayed moment, collapsed. Not for a part that ticks.

    Opening them packs them in the background, and they are kept until they are closed. (Streamlit can also make a
    download on a click, but deletes it at the second tick of any window after that, downloaded or not.)
    """
    run, moment, packages = view.run, view.moment, window.window().packages
    place = disclosure("Download", key="take-away")
    is_new = not packages
    if place is None:
        window.window().forget_packages()
        scroll_to("")
        return
    knows_parent = ownership.knows_parent()
    if (run.id, moment) not in packages:
        window.window().forget_packages()
        package = Package()
        work = Background(lambda work: pack(run, package, moment, names_parent=knows_parent, cancelled=work.cancelled))
        packages[run.id, moment] = package, work
    package, packing = packages[run.id, moment]
    packing.wait(0.2)  # seconds: most are packed by then
    with place:
        is_busy = packing.is_busy
        live(lambda shown: _downloads(shown.run, package, packing, is_busy), 0.3, key="packing", when=is_busy)
        try:
            command, caveats = export.command_line(run, names_parent=knows_parent), export.caveats(run)
        except RunProblem as problem:
            st.error(literal(str(problem)), icon=":material/error:")
            return
        st.markdown("**The command that repeats this run**")
        st.code(command, language="bash", wrap_lines=True)
        if ownership.owns() and (pasted := export.pasted_text(run)) is not None:
            st.download_button(
                "Your pasted text, for this command",
                pasted,
                file_name=PASTED,
                mime="application/octet-stream",  # a browser would append .txt to plain text
                key="take-text",
                icon=":material/description:",
                on_click="ignore",
                width="stretch",
            )
        for sentence in caveats:
            st.caption(literal(sentence))
    scroll_to("take-away" if is_new else "")


def _downloads(run: Run, package: Package, packing: Background, was_busy: bool) -> None:
    """The files, with disabled buttons for those that are not ready."""
    if was_busy and not packing.is_busy:
        st.rerun()  # ends the timer
    if packing.error:
        st.error(literal(packing.problem or "The run could not be packed."), icon=":material/error:")
        return
    st.markdown(f"**Take it home**{_as_of(package.exported)}")
    for name, kind in KINDS.items():
        problem = package.problems.get(name)
        ending = kind.ending or "zip"
        _file(
            f"{kind.label} (.{ending})",
            package.exports.get(name),
            literal(problem) if problem else kind.sentence,
            export.file_name(run, ending, name),
            key=f"export-{name}",
        )
    st.markdown(f"**The data of the run**{_as_of(package.step)}")
    _file(
        "Curves (.csv)",
        package.curves,
        "One row per step, with losses in nats and in bits per character.",
        export.file_name(run, "csv"),
        key="take-curves",
    )
    size = archive.folder_bytes(run) if package.folder is None else len(package.folder)
    _file(
        f"Whole run (.zip) · {size / 1e6:,.1f} MB",
        package.folder,
        package.problems.get("run")
        or "The settings, the curves and the weights of every snapshot: another MicroLLM can open it.",
        export.file_name(run, "zip"),
        key="take-folder",
    )
    st.caption(
        "None of these files contains the text. They name the run by its id, and anyone who knows the id can open the "
        "run on this server, as with its link."
    )


def _as_of(step: int | None) -> str:
    return "" if step is None else f", as of step {step:,}"


def _file(label: str, data: bytes | None, sentence: str, file_name: str, *, key: str) -> None:
    """A download and a sentence about it; disabled while there is no data."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):  # on a phone the sentence is below
        st.download_button(
            label,
            data or b"",
            file_name=file_name,
            mime="application/octet-stream",  # a browser would append .txt to plain text
            key=key,
            icon=":material/download:",
            on_click="ignore",
            disabled=data is None,
            width=_BUTTON_PIXELS,
        )
        st.caption(sentence)
