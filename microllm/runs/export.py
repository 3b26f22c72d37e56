"""Exports of a run: its curves as CSV, and the command that repeats it."""

from __future__ import annotations

import csv
import io
import math
import re
import shlex

from ..config import PRESETS, configs_from, flat
from ..cost import thread_count
from ..data.decode import TextProblem
from ..data.published import PUBLIC_TEXTS
from ..data.store import load_text
from ..data.texts import PASTED, Text
from .fork import CHANGES
from .history import History
from .run import Run

_BITS_PER_NAT = 1 / math.log(2)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # but line ends
_COLUMNS = {  # column of the CSV: (column of the history, factor)
    "step": ("step", 1),
    "seconds": ("seconds", 1),
    "train_loss_nats_per_character": ("train_loss", 1),
    "train_loss_bits_per_character": ("train_loss", _BITS_PER_NAT),
    "val_loss_nats_per_character": ("val_loss", 1),
    "val_loss_bits_per_character": ("val_loss", _BITS_PER_NAT),
    "old_val_loss_nats_per_character": ("old_val_loss", 1),
    "learning_rate": ("learning_rate", 1),
    "characters_per_second": ("tokens_per_second", 1),
}


DIFFERS = (
    "The run was trained by several processes, or on the way the processor or GPU, the number of threads or the "
    "version of torch changed. Each of these rounds differently, so a repetition has other losses, at first only in "
    "the last digits."
)
"""What to say of a run that is not repeatable (see RunInfo)."""


def file_name(run: Run, ending: str, kind: str = "") -> str:
    """A file name that is valid on every system, made from the name of the run and the `kind` of file."""
    name = re.sub("[^a-z0-9]+", "-", run.read_info().name.lower()).strip("-")[:60] or run.id
    return f"{name}-{kind}.{ending}" if kind else f"{name}.{ending}"


def curves_csv(run: Run) -> str:
    """All logged rows with a header. A cell without a value, such as most validation losses, is empty."""
    rows = History(run.folder / "metrics.jsonl").read().rows  # not run.history, which grows while this one is written
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
    """The command that repeats a run, quoted for a Unix shell, with the settings that differ from its preset.

    The id of a fork's parent, and of an edited twin's original, gives access to that run; without `names_parent` it is
    replaced by "ID".
    """
    info, parent = run.read_info(), run.read_info().parent
    if info.edit:
        times = [str(info.edit.times)] if info.edit.kind in ("repeat", "plant") else []
        flags = {"twin": info.twin.id if names_parent else "ID", "edit": [info.edit.kind, *info.edit.words, *times]}
    elif parent:
        flags = {"fork": parent.id if names_parent else "ID", "step": parent.step}
        flags |= {name: getattr(info.train, name) for name in CHANGES}
        flags |= {"silenced": info.model.silenced} if info.model.silenced else {}
    else:
        preset = info.preset if info.preset in PRESETS else "quick"
        usual = flat(*configs_from({}, preset))
        flags = {"preset": preset}
        flags |= {name: value for name, value in flat(info.model, info.train).items() if value != usual[name]}
    if not (info.edit or (parent and parent.goes_on)):
        flags["text"] = sources(info.text)
        if info.text.encoding is not None:
            flags["encoding"] = info.text.encoding
        if info.text.how != "none" and not is_pasted(info.text):
            flags["transform"] = info.text.how
        if info.text.first is not None and not is_pasted(info.text):
            flags["first"] = info.text.first
    if not (info.edit or parent) and (
        info.threads > 1 or thread_count(info.model, info.train, run.tokenizer.vocab_size) > 1
    ):
        flags["threads"] = info.threads  # another machine might choose a different one
    parts = []
    for name, value in flags.items():
        parts += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return " ".join(map(_quoted, ["python", "-m", "microllm", "train", *parts]))


def _quoted(part: str) -> str:
    """Quoted for a shell. Control characters are written as escapes, because a terminal would obey them in a paste."""
    if not _CONTROL.search(part):
        return shlex.quote(part)
    escaped = part.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + "'"


def caveats(run: Run, *, names_parent: bool = True) -> list[str]:
    """Sentences about what the command line of a run leaves out."""
    info, sentences = run.read_info(), []
    if info.parent:
        parent = info.parent.name if names_parent else "another run"
        sentences.append(f"It starts from the weights of {parent}, which must exist on that machine.")
    if info.edit:
        original = info.twin.name if names_parent else "another run"
        sentences.append(f"It repeats {original} on a changed text; that run must exist on that machine.")
    elif not (info.parent and info.parent.goes_on):
        names = sources(info.text)
        if is_pasted(info.text):
            sentences.append(
                "You pasted the text: as the owner of the run you can download it, and run the command in its folder."
            )
        elif any(name.startswith("./") for name in names):
            sentences.append("You used your own text: replace its name by the path of the file on that machine.")
        if "-" in names:
            sentences.append("You sent your own text to standard input: send it again.")
    if changes := run.changes():
        steps = ", ".join(f"{change['step']:,}" for change in changes[:3]) + (" …" if len(changes) > 3 else "")
        sentences.append(f"The command does not include settings that you changed during training (at step {steps}).")
    if not info.is_repeatable:
        sentences.append(DIFFERS)
    if info.state in ("stopped", "interrupted"):
        sentences.append(f"It trains to step {info.train.max_steps:,}; this run was {info.state} before that.")
    return sentences


def sources(text: Text) -> list[str]:
    """The names of this text on the command line. Runs of earlier versions only have `name`."""
    names = {text.name: key for key, text in PUBLIC_TEXTS.items()}
    found = text.sources or [names.get(text.name) or f"./{text.name}"]
    return [f"./{name}" if name.startswith("-") and name != "-" else name for name in found]


def is_pasted(text: Text) -> bool:
    """True for a pasted text, which is stored as the run learned it: shortened and transformed."""
    return text.source == f"./{PASTED}"


def pasted_text(run: Run) -> bytes | None:
    """The content of the file that the command line calls `./Pasted text`; None if it was not pasted or is missing."""
    if not is_pasted(run.read_info().text):
        return None
    try:
        return load_text(run.read_info().text.sha256).encode("utf-8")
    except TextProblem:
        return None
