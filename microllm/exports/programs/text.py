"""The text of a run, from files, from a download or generated here, prepared as it was for the run."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from ...data.boilerplate import books
from ...data.builtin import drawing_room, transform, words_twice
from ...data.edits import Edit, edited
from .facts import (
    ADDRESSES,
    BUILT_IN,
    BUILT_IN_CHARACTERS,
    DOWNLOAD,
    EDIT,
    ENCODINGS,
    FIRST,
    MAY_HAVE_LICENSE,
    TEXT_FILES,
    TEXT_NAME,
    TEXT_SHA256,
    TRANSFORM,
    VOCAB,
)


def load_text(files: list[str]) -> str:
    """The text to train on. Prints a note if it is not the text that the run learned.

    Raises OSError, and ValueError if the text has to be given as files.
    """
    texts = [prepared(text) for text in read_text(files)]
    if EDIT:
        texts = [*filter(None, map(with_edit, texts)), *texts]  # it may be edited already
    for text in texts:
        if hashlib.sha256(text.encode("utf-8")).hexdigest() == TEXT_SHA256:
            return text
    print(f"This is not the text that the run learned ({TEXT_NAME}), so the losses will differ.", file=sys.stderr)
    return texts[0]


def read_text(files: list[str]) -> list[str]:
    """The whole text, decoded in each encoding that it may have. Raises OSError and ValueError as `load_text` does."""
    if BUILT_IN == "drawing-room" and not files:
        return [drawing_room(BUILT_IN_CHARACTERS)]
    if BUILT_IN == "words-twice" and not files:
        return [words_twice(BUILT_IN_CHARACTERS)]
    if ADDRESSES and not files:
        files = [download()]
    if not (BUILT_IN or ADDRESSES or files):
        raise ValueError(f"The text is not in this file: give it with --text FILE (it was {TEXT_FILES}).")
    return [joined(files, encoding) for encoding in ENCODINGS]


def joined(files: list[str], encoding: str) -> str:
    """The text of some files, each starting on a new line."""
    *before, last = (read_file(file, encoding) for file in files)
    return "".join([*(text if text.endswith("\n") else f"{text}\n" for text in before), last])


def read_file(file: str, encoding: str) -> str:
    """The text of a file with LF line ends, without the header and the license of Project Gutenberg."""
    text = Path(file).read_bytes().decode(encoding, "replace")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if MAY_HAVE_LICENSE:
        found, _ = books(text.encode("utf-8"))
        text = text if found is None else b"\n\n".join(found).decode("utf-8").strip()
    return text


def prepared(text: str) -> str:
    """The part of the text that the run used, modified as it was."""
    text = text[:FIRST]
    if TRANSFORM != "none":
        text = transform(text, TRANSFORM)
    if VOCAB:
        known = set(VOCAB)
        text = "".join(character for character in text if character in known)
    return text


def with_edit(text: str) -> str | None:
    """The text with the change that was made for the run; None if it is not possible in this text."""
    try:
        return edited(text, Edit(**EDIT))
    except ValueError:
        return None


def download() -> str:
    """The name of the file with the text, downloaded to the working folder unless it is there.

    Raises OSError, and ValueError if no address answers.
    """
    import requests  # not needed with --text

    if Path(DOWNLOAD).exists():
        return DOWNLOAD
    for address in ADDRESSES:
        print(f"Downloading {address}")
        try:
            answer = requests.get(address, timeout=30)
            answer.raise_for_status()
        except requests.RequestException as error:
            print(error)
            continue
        Path(DOWNLOAD).write_bytes(answer.content)
        return DOWNLOAD
    raise ValueError("The text cannot be downloaded now: give it with --text FILE.")
