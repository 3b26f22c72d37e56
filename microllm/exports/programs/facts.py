"""The constants of a program. Each exported program has those of its run; these are an example."""

from __future__ import annotations

from typing import Any

# The name of the text, and the SHA-256 of its UTF-8 bytes as the model read them.
TEXT_NAME = "Pride and Prejudice"
TEXT_SHA256 = "e29ce2a8a878e2a0806644b5d05749fcda1a48769778cba539d947b2ac955579"
# What the files of the text were called.
TEXT_FILES = "pg1342.txt"
# The encodings that are tried.
ENCODINGS = ("utf-8",)
# Whether a file may have the header and the license of Project Gutenberg.
MAY_HAVE_LICENSE = True
# How the text was modified.
TRANSFORM = "none"
# How many of its characters were used (None: all).
FIRST: int | None = None
# The change that was made to the text before training, if any.
EDIT: dict[str, Any] = {}
# The characters in the order of their ids ("": all those of the text). Other characters of a text are skipped.
VOCAB = ""
# The text, if MicroLLM generates it.
BUILT_IN = ""
BUILT_IN_CHARACTERS = 300_000
# Where the text can be downloaded, and the file that keeps it.
ADDRESSES: tuple[str, ...] = ("https://www.gutenberg.org/cache/epub/1342/pg1342.txt",)
DOWNLOAD = "pg1342.txt"
# The number of torch threads: the last digits of a sum depend on it.
THREADS = 1
# What was changed during training, and from which step.
LIVE_CHANGES: list[dict[str, float]] = []
# The step with which the run began.
FIRST_STEP = 0
# The heads that were silent until then, if the steps before it are repeated too (None: they are not).
SILENT_BEFORE: str | None = None
# The command that writes the weights with which it began, if they were not random, and the SHA-256 of the file.
WEIGHTS_COMMAND = ""
WEIGHTS_SHA256 = ""
