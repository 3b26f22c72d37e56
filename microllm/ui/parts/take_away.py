"""Download a run: curves as CSV, the folder as a zip, the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from ...data.texts import PASTED
from ...runs import archive, export
from ...runs.info import RunProblem
from ...runs.run import Run
from .. import server
from ..state import ownership, view, window
from ..words import literal
from .disclosure import disclosure
from .live import live


@dataclass(frozen=True)
class Package:
    """What can be downloaded of a run, as it stood at a step."""

    step: int
    curves: str
    folder: bytes


def pack(run: Run, names_parent: bool = True) -> Package:
    """The curves and the folder of a run as it stands, as export.folder_zip has it. Raises OSError and RunProblem."""
    last, folder = run.history.read().last, archive.folder_zip(run, names_parent=names_parent)
    return Package(last["step"] if last else 0, export.curves_csv(run), folder)


def take_away() -> None:
    """What can be taken along of the run on show, folded. Not for a part that ticks.

    It is packed when that is unfolded, in the background, and kept until it is folded. (Streamlit's downloads that are
    made at the click are deleted again by the second tick after it, from whichever window, fetched or not.)
    """
    run, packages = view.run(), window.window().packages
    if run is None:
        return
    place = disclosure("Take it away", key="take-away")
    if place is None:
        packages.clear()
        return
    knows_parent = ownership.knows_parent()
    if run.id not in packages:
        packages.clear()
        packages[run.id] = server.Background(lambda _: pack(run) if knows_parent else pack(run, names_parent=False))
    packing = packages[run.id]
    packing.wait(0.2)  # most are done by then
    with place:
        is_busy = packing.is_busy
        live(lambda _: _downloads(run, packing, is_busy), 0.3, key="packing", when=is_busy)
        try:
            command, caveats = export.command_line(run, names_parent=knows_parent), export.caveats(run)
        except RunProblem as problem:
            st.error(literal(str(problem)), icon=":material/error:")
            return
        st.markdown("**The command that repeats it**")
        st.code(command, language="bash", wrap_lines=True)
        if ownership.owns() and (pasted := export.pasted_text(run)) is not None:
            st.download_button(
                "The pasted text, for this command",
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


def _downloads(run: Run, packing: server.Background, was_busy: bool) -> None:
    if packing.is_busy:
        st.caption(f"Packing about {archive.folder_bytes(run) / 1e6:,.1f} MB …")
        return
    if was_busy:
        st.rerun()  # the end of the timer
    if packing.result is None:
        st.error(literal(packing.problem or "It could not be packed."), icon=":material/error:")
        return
    package: Package = packing.result
    st.download_button(
        "Curves as CSV",
        package.curves,
        file_name=export.file_name(run, "csv"),
        mime="text/csv",
        key="take-curves",
        icon=":material/table_chart:",
        on_click="ignore",
        width="stretch",
    )
    st.download_button(
        f"The whole run as zip · {len(package.folder) / 1e6:,.1f} MB",
        package.folder,
        file_name=export.file_name(run, "zip"),
        mime="application/zip",
        key="take-folder",
        icon=":material/folder_zip:",
        on_click="ignore",
        width="stretch",
    )
    st.caption(
        f"As of step {package.step:,}. The CSV has a row a step: losses in nats and in bits a character. The zip has "
        "settings, curves and the weights of every kept moment, to open in another MicroLLM; the text is not in it."
    )
