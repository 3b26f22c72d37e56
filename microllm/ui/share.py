"""What leaves the window: the link to a run for others, and the run itself for oneself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

import streamlit as st

from ..data.texts import PASTED
from ..link import Link, written
from ..runs import archive, export
from ..runs.info import RunProblem
from ..runs.run import Run
from . import next_run, server, session
from .fold import fold
from .parts.live import live
from .words import literal

# ---- for others


def share_link() -> str:
    """The address of this page with all that another person needs to see the same; never with the owner's key."""
    says = {"run": session.run_id(), "step": session.run_id() and session.moment()}
    says = {name: str(value) for name, value in says.items() if value is not None}
    return f"{st.context.url or ''}?{urlencode(says | written(_next_run()))}"


def _next_run() -> Link:
    said, sentence = next_run.said(), session.sentence_written()
    if said.text == "own":
        return Link(said.preset, said.values, sentence=sentence)
    return replace(said, sentence=sentence, guess=None)


def share() -> None:
    """A button that unfolds the link for others, and what they can and cannot do with it."""
    with st.popover("Share", icon=":material/share:", help="Share", key="share"):
        # always filled: what is filled after it unfolds has been given its place when it was still empty and small
        st.code(share_link(), language=None, wrap_lines=True)
        st.caption(" ".join(_what_it_gives()))


def _what_it_gives() -> list[str]:
    if session.run_id() is None:
        sentences = ["Whoever opens this link finds the settings as you have them, ready to start."]
    else:
        moment, going = session.moment(), ", live while it trains" if session.is_active() else ""
        sentences = [
            "Whoever opens this link sees this run"
            + (going if moment is None else f" at step {moment:,}")
            + ", with your sentence and your settings for the next one. They can look, let it write and start runs of "
            "their own; they cannot pause, change or stop this one."
        ]
        if session.owns():
            sentences.append(
                "The address of your window can do that: it holds the key. Keep it, as a bookmark perhaps, and pass "
                "on this link instead."
            )
    if session.run_id() and session.run().info.text.is_own:
        sentences.append(
            "This run learned a person's own text: it is not in other people's lists, but whoever has the link can "
            "read that text."
        )
    elif next_run.text_choice()["source"] == "own":
        sentences.append("Your own text is not in the link.")
    return sentences


# ---- for oneself


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
    run, packages = session.run(), session.window().packages
    if run is None:
        return
    place = fold("Take it away", key="take-away")
    if place is None:
        packages.clear()
        return
    knows_parent = session.knows_parent()
    if run.id not in packages:
        packages.clear()
        packages[run.id] = server.Background(lambda _: pack(run) if knows_parent else pack(run, names_parent=False))
    packing = packages[run.id]
    packing.wait(0.2)  # most are done by then
    with place:
        is_busy = packing.is_busy
        live(lambda: _downloads(run, packing, is_busy), 0.3, key="packing", when=is_busy)
        try:
            command, caveats = export.command_line(run, names_parent=knows_parent), export.caveats(run)
        except RunProblem as problem:
            st.error(literal(str(problem)), icon=":material/error:")
            return
        st.markdown("**The command that repeats it**")
        st.code(command, language="bash", wrap_lines=True)
        if session.owns() and (pasted := export.pasted_text(run)) is not None:
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
