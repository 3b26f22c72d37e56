"""A run as a program in sections, from which the script, the notebook and the folder's program are written."""

from __future__ import annotations

import hashlib
import textwrap
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from ..config import TrainConfig
from ..data.builtin import BUILTIN_TEXTS
from ..data.edits import Edit
from ..data.published import PUBLISHED_TEXTS
from ..runs.export import is_pasted, sources
from ..runs.run import Run
from ..runs.weights import pack_tensors
from .course import Course, course
from .origin import origin
from .source import program

_ENCODINGS = ("utf-8", "utf-16", "utf-16-be", "cp1252", "latin-1", "utf-32")  # those that are detected
_COLUMNS = 120
_one_at_a_time = threading.Lock()  # in Python 3.11, building syntax trees in two threads at once can fail


@dataclass(frozen=True)
class Section:
    """A part of a program: what it is about in two sentences, and its code."""

    title: str
    about: str
    code: str


_ABOUT = {  # title: (what it is about, modules)
    "The settings": (
        "Every setting of the run, as a plain value that you can change. Do not change those marked as fixed: the code "
        "for other values is left out.",
        ("exports.programs.facts", "config"),
    ),
    "Characters and numbers": (
        "A model computes with numbers, so every different character of the text gets one, its id. The list of "
        "characters in the order of their ids is the vocabulary.",
        ("tokenizer",),
    ),
    "The data": (
        "The first 90 % of the text is for training; the rest is held out, to measure the loss on text that the model "
        "never saw. A batch is some random windows of the text; its targets are the same windows one character later.",
        ("corpus",),
    ),
    "The model": (
        "A Transformer: each block lets every character gather what it needs from those before it (attention), then "
        "processes that (the feed-forward network). In the comments B is the batch size, T the characters of a window, "
        "C = n_embd, H = n_head, D = C / H and V the size of the vocabulary.",
        ("activations", "model"),
    ),
    "The optimizer": (
        "The gradient says for every weight in which direction the loss falls. The optimizer decides how far to move "
        "the weight; the learning rate is the scale of that step.",
        ("optim",),
    ),
    "The training loop": (
        "One step: predict a batch, compute the loss, its gradients, and update the weights. All randomness of a step "
        "comes from the seed and the number of the step, so the same seed gives the same run.",
        ("train",),
    ),
    "Writing": (
        "The model gives a probability for every next character. One is drawn and appended to the text, and the model "
        "predicts again.",
        ("sample", "inference"),
    ),
    "The text": (
        "The text is not in this file: it is read, generated or downloaded, and prepared as it was for the run. Its "
        "SHA-256 shows whether it is the same.",
        ("data.decode", "data.boilerplate", "data.builtin", "data.edits", "exports.programs.text"),
    ),
    "The first weights": (
        "The run did not begin with random weights but with those of another run. They are read from a safetensors "
        "file, which has the length of its header, the header, and all numbers.",
        ("exports.programs.weights",),
    ),
    "The run": (
        "Read the text, train, and write a sample. Run it again: you get the same result.",
        ("exports.programs.train",),
    ),
}


def training_program(run: Run, step: int, roots: list[str]) -> tuple[str, list[Section], str]:
    """A program that trains as `run` did, with all that `roots` need: (its beginning, its sections, a command).

    The beginning has the origin, the imports and the facts of the run. The last section, "The run", has the code of
    programs/train.py. The command writes the file of weights that the program needs, "" if it needs none. Raises
    RunProblem as `course` does, and weights.WeightsProblem.
    """
    its = course(run)
    command, sha256 = _first_weights(run, its) if its.fork else ("", "")
    is_foreign = its.edit or run.read_info().old_text
    facts = _facts_of_text(run) | {
        "EDIT": asdict(its.edit) if its.edit else {},
        "VOCAB": run.tokenizer.vocab if is_foreign else "",
        "THREADS": run.read_info().threads,
        "LIVE_CHANGES": its.changes,
        "FIRST_STEP": its.first_step,
        "SILENT_BEFORE": its.silent_before,
        "WEIGHTS_COMMAND": command,
        "WEIGHTS_SHA256": sha256,
    }
    roots = [*roots, "load_weights"] if its.fork else roots
    return *_sections(run, step, _ABOUT, roots, its.train, facts, its.edit), command


def _first_weights(run: Run, its: Course) -> tuple[str, str]:
    """(the command that writes the file of weights with which the course of a run begins, the SHA-256 of the file).

    The weights come from the fork itself, because its parent may be deleted or belong to another person.
    """
    is_named = its.fork.id == run.id or not run.read_info().has_private_parent  # else the id would give access to it
    fork, step = its.fork.id if is_named else "ID-OF-THE-FIRST-FORK", its.fork.snapshot_called(its.first_step)
    sha256 = hashlib.sha256(pack_tensors(its.fork.model_at(step).state_dict())).hexdigest()
    return f"python -m microllm export --run {fork} --as folder --step {step} --out model", sha256


def writing_program(run: Run, step: int) -> tuple[str, list[Section]]:
    """(the beginning of a program that writes with the weights of a folder, its sections)."""
    about = {
        "The settings": ("The settings of the model. Those in config.json take precedence.", ("config",)),
        **{title: _ABOUT[title] for title in ("Characters and numbers", "The model", "Writing")},
        "The program": ("It reads the files beside it and writes text.", ("exports.programs.generate",)),
    }
    return _sections(run, step, about, ["main"], run.read_info().train, {})


def _sections(
    run: Run,
    step: int,
    about: dict[str, tuple[str, tuple[str, ...]]],
    roots: Iterable[str],
    train: TrainConfig,
    facts: dict[str, Any],
    edit: Edit | None = None,
) -> tuple[str, list[Section]]:
    modules = [module for _, its in about.values() for module in its]
    with _one_at_a_time:
        written = program(modules, roots, run.read_info().model, train, facts, {"edit": edit} if edit else {})
    found = [
        Section(title, sentences, "\n\n\n".join(filter(None, (written.code[module] for module in its))))
        for title, (sentences, its) in about.items()
    ]
    beginning = f"{comment(origin(run, step).sentences())}\n\nfrom __future__ import annotations\n\n{written.imports}"
    return beginning, [section for section in found if section.code]


def comment(text: str) -> str:
    """Sentences as comment lines."""
    return textwrap.fill(text, _COLUMNS, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _facts_of_text(run: Run) -> dict[str, Any]:
    """The constants of programs/facts.py that say how to get the text of the run again."""
    text = run.read_info().text
    names = sources(text)
    key = names[0] if len(names) == 1 else ""
    published = PUBLISHED_TEXTS.get(key)
    encodings = ("utf-8",) if published else (text.encoding,) if text.encoding else _ENCODINGS
    if text.encoding == "utf-16":
        encodings = ("utf-16", "utf-16-be")
    return {
        "TEXT_NAME": text.name,
        "TEXT_SHA256": text.sha256,
        "TEXT_FILES": " ".join("standard input" if name == "-" else PurePath(name).name for name in names),
        "ENCODINGS": encodings,
        "MAY_HAVE_LICENSE": not (published and published.sha256) and key not in BUILTIN_TEXTS,
        "TRANSFORM": "none" if is_pasted(text) else text.how,  # a pasted text is kept as it was modified
        "FIRST": None if is_pasted(text) else text.first,
        "BUILT_IN": key if key in BUILTIN_TEXTS else "",
        "BUILT_IN_CHARACTERS": BUILTIN_TEXTS[key].length if key in BUILTIN_TEXTS else 0,
        "ADDRESSES": published.addresses if published else (),
        "DOWNLOAD": published.file if published else "",
    }
