"""Where an export comes from: which run at which step, by which version, and which text it learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .. import __version__
from ..data.texts import Text
from ..runs.run import Run


@dataclass(frozen=True)
class Origin:
    """What every export says about itself. Names and versions may come from a stranger: quote them.

    `parent` is the name of the run that this one was forked from (None if it is private), at `parent_step` (None if it
    is not a fork). `old_text` is what that run had learned, if it is another text.
    """

    name: str
    id: str
    started: str
    step: int
    microllm: str
    torch: str
    text: Text
    parent: str | None
    parent_step: int | None
    old_text: Text | None

    def sentences(self, quoted: Callable[[str], str] = repr, escaped: Callable[[str], str] = str) -> str:
        """All of it in a few sentences.

        `quoted` is applied to names; the default leaves no line breaks or other control characters in them. `escaped`
        is applied to versions.
        """
        forked = ""
        if self.parent_step is not None:
            parent = quoted(self.parent) if self.parent else "a private run"
            learned = f", which had learned {_described(self.old_text, quoted)}" if self.old_text else ""
            forked = f"It began with the weights of {parent} at step {self.parent_step:,}{learned}. "
        return (
            f"It comes from the MicroLLM run {quoted(self.name)} ({self.id}), started on {self.started}, at step "
            f"{self.step:,}. {forked}Its text is {_described(self.text, quoted)}. Made with MicroLLM "
            f"{self.microllm} and torch {escaped(self.torch)}. The text is not in it."
        )


def origin(run: Run, step: int) -> Origin:
    """Where an export of `run` at `step` comes from. It names nothing of a private run that it was forked from."""
    info, parent = run.read_info(), run.read_info().parent
    is_private = info.has_private_parent
    return Origin(
        info.name,
        info.id,
        f"{datetime.fromtimestamp(info.created, UTC):%Y-%m-%d}",
        step,
        __version__,
        info.torch,
        info.text,
        parent.name if parent and not is_private else None,
        parent.step if parent else None,
        info.old_text if info.old_text and not is_private else None,
    )


def _described(text: Text, quoted: Callable[[str], str]) -> str:
    return f"{quoted(text.name)} ({text.characters:,} characters, SHA-256 {text.sha256})"
