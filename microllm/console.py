"""All that the command line prints: it survives output that nobody reads, a full disk, a code page, a narrow terminal.

Names and messages may come from strangers, so `say`, `note` and `complain` show every character that could steer a
terminal (escape codes, text direction, zero width) as one that is seen; `write` does so for a text on a terminal.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import unicodedata
from typing import TextIO

_KEPT_IN_A_TEXT = "\n\t\u200c\u200d"  # the joiners: Persian, the scripts of India and many emoji need them
_USUAL_COLUMNS = 80

_row = ""  # what `show` has written into the row where the cursor stands
_is_lost = False  # a `note` could not be written


class OutputLost(Exception):
    """What was asked for could not be printed. `reader_is_gone`: it ended before us, as `head` does, and wants no more.

    No OSError: to the command line that is a file it was told to use.
    """

    def __init__(self, cause: OSError | ValueError) -> None:
        super().__init__(getattr(cause, "strerror", None) or str(cause))
        self.reader_is_gone = isinstance(cause, ConnectionError)


def prepare() -> None:
    """Call it first: what the output's encoding lacks is written as an escape sequence such as \\u03b1 from now on."""
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:  # started with it closed (`>&-`): the next file opened would get its number, and its output
            null = os.open(os.devnull, os.O_RDWR)
            if null != standard:
                os.dup2(null, standard)
                os.close(null)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> None:
    """Call it last: what cannot be written is dropped, or Python's own attempt at its end would fail with code 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def write(text: str) -> None:
    """Print a text: as it is into a pipe or file, on a terminal with its control characters visible.

    Raises OutputLost.
    """
    _print(printable(text, _KEPT_IN_A_TEXT) if is_terminal() else text, sys.stdout)


def say(line: str) -> None:
    """Print a line that was asked for. Raises OutputLost."""
    _print(f"{_end_of_row()}{printable(line)}\n", sys.stdout)


def note(line: str) -> None:
    """Print a line about work that goes on whether or not anybody reads it."""
    global _is_lost
    try:
        say(line)
    except OutputLost as lost:
        if not (lost.reader_is_gone or _is_lost):
            complain(f"The output cannot be written ({lost}). The work goes on without it.")
        _is_lost = True


def show(*facts: str) -> None:
    """Replace the row of a terminal that the last `show` wrote: whole facts, as many from the left as its width takes.

    They are numbers and words in ASCII, a column each character. An empty fact clears the row. Where the output is no
    terminal nothing is shown.
    """
    global _row
    if not is_terminal():
        return
    width = _columns() - 1  # in the last column some terminals begin a new row
    row = facts[0][:width]
    for fact in facts[1:]:
        if len(row) + len(fact) > width:
            break
        row += fact
    with contextlib.suppress(OutputLost):
        _print("\r" + row.ljust(min(len(_row), width)) + ("" if row else "\r"), sys.stdout)
    _row = row


def complain(sentence: str) -> None:
    """Say on stderr, in one line, what went wrong. Where nobody can read that either, it is not said."""
    with contextlib.suppress(OutputLost):
        _print(f"{_end_of_row()}microllm: {printable(sentence)}\n", sys.stderr)


def is_terminal() -> bool:
    """True when a person watches the output."""
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()


def printable(text: str, keep: str = "") -> str:
    """The text with every character that is no letter, mark or space shown by its symbol, except those in `keep`."""
    unseen = {c for c in text if not (c.isprintable() or c in keep or unicodedata.category(c) == "Zs")}
    if not unseen:
        return text
    from .tokenizer import visible  # it needs torch, which help must not wait for

    return text.translate({ord(c): visible(c) for c in unseen})


def _end_of_row() -> str:
    global _row
    row, _row = _row, ""
    return "\n" if row else ""


def _columns() -> int:
    try:  # asked each time: windows are resized. COLUMNS is not asked, it holds the width of the shell's first moment
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def _print(text: str, stream: TextIO | None) -> None:
    try:
        if stream is None:  # the program was started with it closed
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:
        raise OutputLost(error) from error
