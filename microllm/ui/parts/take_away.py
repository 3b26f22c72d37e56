"""Download a run: curves as CSV, the folder as a zip, the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from ...data.texts import PASTED
from ...jobs.background import Background
from ...runs import archive, export
from ...runs.info import RunProblem
from ...runs.run import Run
from ..state import ownership, window
from ..state.view import View
from ..words import literal
from .disclosure import disclosure
from .live import live


@dataclass(frozen=True)
class Package:
    """The downloads of a run, as it was at a step."""

    step: int
    curves: str
    folder: bytes


def pack(run: Run, names_parent: bool = True) -> Package:
    """The curves and the folder (see archive.folder_zip) of a run as it is now. Raises OSError and RunProblem."""
    last, folder = run.history.read().last, archive.folder_zip(run, names_parent=names_parent)
    return Package(last["step"] if last else 0, export.curves_csv(run), folder)


def take_away(view: View) -> None:
    """The downloads of the displayed run, collapsed. Not for a part that ticks.

    Opening them packs them in the background, and they are kept until they are closed. (Streamlit can also make a
    download on a click, but deletes it at the second tick of any window after that, downloaded or not.)
    """
    run, packages = view.run, window.window().packages
    place = disclosure("Download", key="take-away")
    if place is None:
        packages.clear()
        return
    knows_parent = ownership.knows_parent()
    if run.id not in packages:
        packages.clear()
        packages[run.id] = Background(lambda _: pack(run) if knows_parent else pack(run, names_parent=False))
    packing = packages[run.id]
    packing.wait(0.2)  # seconds: most are packed by then
    with place:
        is_busy = packing.is_busy
        live(lambda shown: _downloads(shown.run, packing, is_busy), 0.3, key="packing", when=is_busy)
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


def _downloads(run: Run, packing: Background, was_busy: bool) -> None:
    if packing.is_busy:
        st.caption(f"Packing about {archive.folder_bytes(run) / 1e6:,.1f} MB …")
        return
    if was_busy:
        st.rerun()  # ends the timer
    if packing.result is None:
        st.error(literal(packing.problem or "The run could not be packed."), icon=":material/error:")
        return
    package: Package = packing.result
    st.download_button(
        "Curves (CSV)",
        package.curves,
        file_name=export.file_name(run, "csv"),
        mime="text/csv",
        key="take-curves",
        icon=":material/table_chart:",
        on_click="ignore",
        width="stretch",
    )
    st.download_button(
        f"Whole run (zip) · {len(package.folder) / 1e6:,.1f} MB",
        package.folder,
        file_name=export.file_name(run, "zip"),
        mime="application/zip",
        key="take-folder",
        icon=":material/folder_zip:",
        on_click="ignore",
        width="stretch",
    )
    st.caption(
        f"At step {package.step:,}. The CSV has one row per step, with losses in nats and in bits per character. The "
        "zip has the settings, the curves and the weights of every snapshot, and can be opened in another MicroLLM. "
        "It does not contain the text."
    )
