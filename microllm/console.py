"""Output of the command line. It survives a closed pipe, a full disk, a limited encoding and a narrow terminal.

Names and messages may come from strangers, so `say`, `note` and `complain` replace every character that could control a
terminal (escape codes, text direction, zero width) by a visible one; `write` does so if the output is a terminal.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import unicodedata
from typing import TextIO

_KEPT_IN_TEXTS = "\n\t\u200c\u200d"  # joiners: needed for Persian, the scripts of India and many emoji
_DEFAULT_COLUMNS = 80

_row = ""  # the text that `show` has written in the current row
_has_lost_output = False  # a `note` could not be written


class OutputLost(Exception):
    """The output could not be written. `reader_is_gone` is True if its reader exited early, as `head` does.

    It is not an OSError, which the command line reports as a problem with a file.
    """

    def __init__(self, cause: OSError | ValueError) -> None:
        super().__init__(getattr(cause, "strerror", None) or str(cause))
        self.reader_is_gone = isinstance(cause, ConnectionError)


def prepare() -> None:
    """Call this first. Characters that the output's encoding cannot represent are then written as \\u03b1."""
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:  # closed at start (`>&-`): the next file that is opened would get its number, and its output
            null = os.open(os.devnull, os.O_RDWR)
            if null != standard:
                os.dup2(null, standard)
                os.close(null)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> None:
    """Call this last. It drops what cannot be written; otherwise Python would try again at exit and return code 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):  # ValueError: closed
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def write(text: str) -> None:
    """Print a text: unchanged to a pipe or file, with visible control characters to a terminal. Raises OutputLost."""
    _print(printable(text, _KEPT_IN_TEXTS) if is_terminal() else text, sys.stdout)


def say(line: str) -> None:
    """Print a line that the user asked for. Raises OutputLost."""
    _print(f"{_end_of_row()}{printable(line)}\n", sys.stdout)


def note(line: str) -> None:
    """Print a line about work in progress, which continues if the line cannot be written."""
    global _has_lost_output
    try:
        say(line)
    except OutputLost as lost:
        if not (lost.reader_is_gone or _has_lost_output):
            complain(f"The output cannot be written ({lost}). The work continues without it.")
        _has_lost_output = True


def show(*facts: str) -> None:
    """Replace the row that the last `show` wrote on a terminal, with as many of the facts as fit its width.

    Facts are ASCII, so that each character takes one column. An empty fact clears the row. It does nothing if the
    output is not a terminal.
    """
    global _row
    if not is_terminal():
        return
    width = _columns() - 1  # some terminals start a new row after the last column
    row = facts[0][:width]
    for fact in facts[1:]:
        if len(row) + len(fact) > width:
            break
        row += fact
    with contextlib.suppress(OutputLost):
        _print("\r" + row.ljust(min(len(_row), width)) + ("" if row else "\r"), sys.stdout)
    _row = row


def complain(sentence: str) -> None:
    """Print one line to stderr that says what went wrong. Does nothing if stderr cannot be written."""
    with contextlib.suppress(OutputLost):
        _print(f"{_end_of_row()}microllm: {printable(sentence)}\n", sys.stderr)


def is_terminal() -> bool:
    """True if the output is a terminal."""
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()


def printable(text: str, keep: str = "") -> str:
    """The text with invisible and control characters replaced by visible symbols, except those in `keep`."""
    unseen = {c for c in text if not (c.isprintable() or c in keep or unicodedata.category(c) == "Zs")}
    if not unseen:
        return text
    from .tokenizer import visible  # it needs torch, for which --help must not wait

    return text.translate({ord(c): visible(c) for c in unseen})


def _end_of_row() -> str:
    global _row
    row, _row = _row, ""
    return "\n" if row else ""


def _columns() -> int:
    try:  # asked each time, because windows are resized; COLUMNS has only the width at the start of the shell
        return os.get_terminal_size(sys.stdout.fileno()).columns or _DEFAULT_COLUMNS
    except (OSError, ValueError):
        return _DEFAULT_COLUMNS


def _print(text: str, stream: TextIO | None) -> None:
    try:
        if stream is None:  # closed when the program was started
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:
        raise OutputLost(error) from error
