"""What a person takes along of a run: its curves for a spreadsheet, its folder, the command that repeats it."""

from __future__ import annotations

import csv
import io
import math
import re
import shlex
from dataclasses import asdict

from ..config import PRESETS, configs_from
from ..cost import thread_count
from ..data.builtin import BUILTIN_TEXTS
from ..data.decode import TextProblem
from ..data.gutenberg import BOOK
from ..data.store import load_text
from ..data.texts import PASTED, Text
from .fork import CHANGES
from .history import History
from .run import Run

_BITS = 1 / math.log(2)  # in a nat
_COLUMNS = {  # in the CSV, and where each comes from: units stand in the names, where a spreadsheet keeps them
    "step": ("step", 1),
    "seconds": ("seconds", 1),
    "train_loss_nats_per_character": ("train_loss", 1),
    "train_loss_bits_per_character": ("train_loss", _BITS),
    "val_loss_nats_per_character": ("val_loss", 1),
    "val_loss_bits_per_character": ("val_loss", _BITS),
    "old_val_loss_nats_per_character": ("old_val_loss", 1),
    "learning_rate": ("learning_rate", 1),
    "characters_per_second": ("tokens_per_second", 1),
}


def file_name(run: Run, ending: str) -> str:
    """A file name that every system takes, after the run's own name."""
    return f"{re.sub('[^a-z0-9]+', '-', run.read_info().name.lower()).strip('-')[:60] or run.id}.{ending}"


def curves_csv(run: Run) -> str:
    """All logged rows with a header; empty where there is no value, as of the validation loss between two val_losses."""
    rows = History(run.folder / "metrics.jsonl").read().rows  # of its own: nobody appends while it is written out
    columns = [
        rows[source] if factor == 1 else [None if value is None else value * factor for value in rows[source]]
        for source, factor in _COLUMNS.values()
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()


def command_line(run: Run, *, names_parent: bool = True) -> str:
    """What repeats a run, quoted for a Unix shell: only flags that differ from its preset's settings.

    The id of the run that it was forked from opens that run; unless this `names_parent`, "ID" stands in its place.
    """
    info, parent = run.read_info(), run.read_info().parent
    if parent:
        flags = {"fork": parent.id if names_parent else "ID", "step": parent.step}
        flags |= {name: getattr(info.train, name) for name in CHANGES}
    else:
        preset = info.preset if info.preset in PRESETS else "quick"
        usual = _flat(*configs_from({}, preset))
        flags = {"preset": preset}
        flags |= {name: value for name, value in _flat(info.model, info.train).items() if value != usual[name]}
    if not (parent and parent.goes_on):
        flags["text"] = _sources(info.text)
        if info.text.encoding is not None:
            flags["encoding"] = info.text.encoding
        if info.text.how != "none" and not is_pasted(info.text):
            flags["transform"] = info.text.how
        if info.text.first is not None and not is_pasted(info.text):
            flags["first"] = info.text.first
    if not parent and (info.threads > 1 or thread_count(info.model, info.train, run.tokenizer.vocab_size) > 1):
        flags["threads"] = info.threads  # by the rule of another machine it could be another number
    parts = []
    for name, value in flags.items():
        parts += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return shlex.join(["python", "-m", "microllm", "train", *parts])


def caveats(run: Run) -> list[str]:
    """Sentences about what the command line of a run does not say."""
    info, sentences = run.read_info(), []
    if info.parent:
        sentences.append(f"It begins with the weights of {info.parent.name}, which has to be there.")
    if not (info.parent and info.parent.goes_on):
        sources = _sources(info.text)
        if is_pasted(info.text):
            sentences.append(
                "Your own text was pasted: whoever owns the run can download it, to run the command there."
            )
        elif any(source.startswith("./") for source in sources):
            sentences.append("The text was your own: put the path of each file there.")
        if "-" in sources:
            sentences.append("The text was your own, sent to standard input: send it there again.")
    if changes := run.history.changes():
        steps = ", ".join(f"{change['step']:,}" for change in changes[:3]) + (" …" if len(changes) > 3 else "")
        sentences.append(f"Settings that were changed while it trained (at step {steps}) are not in it.")
    if info.state in ("stopped", "interrupted"):
        sentences.append(f"It goes on to step {info.train.max_steps:,}, where this run was {info.state} before.")
    return sentences


def _flat(*configs) -> dict:
    return {name: value for config in configs for name, value in asdict(config).items()}


def _sources(text: Text) -> list[str]:
    """What the command line calls this text. A run of an earlier version knows its name only."""
    names = {BOOK: "book"} | {made.name: key for key, made in BUILTIN_TEXTS.items()}
    return text.sources or [names.get(text.name) or f"./{text.name}"]


def is_pasted(text: Text) -> bool:
    """True for a text that is a file only where somebody downloads it: as the run learned it, cut or turned."""
    return text.source == f"./{PASTED}"


def pasted_text(run: Run) -> bytes | None:
    """The file that the command line of the run calls `./Pasted text`; None where it was not pasted or is gone."""
    if not is_pasted(run.read_info().text):
        return None
    try:
        return load_text(run.read_info().text.sha256).encode("utf-8")
    except TextProblem:
        return None
