"""The command `python -m microllm train`: a new run, or one that continues, forks or repeats another."""

from __future__ import annotations

import argparse
import secrets
from typing import TYPE_CHECKING

from .. import console
from ..config import PRESETS, TrainConfig, configs_from, knobs, problems, threads_problem
from ..data.builtin import TRANSFORMS
from ..data.decode import ENCODINGS
from ..data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from ..environment import home, home_is_temporary, process_count, requested_home

# importing torch takes over a second, which `--help` need not wait for
if TYPE_CHECKING:
    from ..data.edits import Edit
    from ..data.texts import Text
    from ..runs.run import Run

_EDITS = "rename OLD NEW, leave-out NUMBER (of a chapter), repeat SENTENCE TIMES, or plant SENTENCE TIMES"


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add this command to the program."""
    parser = commands.add_parser("train", help="train a model and write a run folder")
    parser.set_defaults(command=train)
    parser.add_argument("--resume", metavar="ID", help="resume this run; with --max_steps N, train it longer")
    parser.add_argument(
        "--fork",
        metavar="ID",
        help="start a new run from the weights of this one, with other live settings or another --text",
    )
    parser.add_argument(
        "--twin",
        metavar="ID",
        help="repeat this run with one difference: the change given by --edit, or another random seed",
    )
    parser.add_argument("--edit", nargs="+", metavar="WORD", help=f"with --twin, one change to the text: {_EDITS}")
    parser.add_argument("--step", type=int, help="with --fork: the step whose weights to use (default: the newest)")
    parser.add_argument("--preset", choices=PRESETS, help="the settings to start from (default: quick)")
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="TEXT",
        help=f"{', '.join(f'{key} ({text.name})' for key, text in PUBLIC_TEXTS.items())}, the path of a file, or - for "
        "standard input; several are joined in this order (default: book)",
    )
    parser.add_argument("--encoding", help=f"the encoding of the files: {', '.join(ENCODINGS)} (default: detected)")
    parser.add_argument("--transform", choices=TRANSFORMS, help="how to modify the text first")
    parser.add_argument("--first", type=int, metavar="N", help="use only the first N characters")
    parser.add_argument("--threads", type=int, help="torch threads (default: depends on the size of the model)")
    for name, knob in knobs().items():
        help = f"{knob.metadata['plain']}. {knob.metadata['help']}".replace("%", "%%")
        kind = _truth if knob.type == "bool" else type(knob.default)
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)


def is_new_run(options: argparse.Namespace) -> bool:
    """True if the options ask for a run that does not start from another one."""
    return options.command is train and options.resume is options.fork is options.twin is None


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() == "true"


def _run(options: argparse.Namespace) -> Run:
    """The run that the flags ask for. Prints a link to its page."""
    owner_key = secrets.token_urlsafe(16)
    run = _made_or_opened(options, owner_key)
    for line in link(run, owner_key if run.read_info().is_owned_with(owner_key) else None):
        console.note(line)
    return run


def link(run: Run, owner_key: str | None) -> list[str]:
    """Lines that say how to open the run in the app: as its owner with `owner_key`, as a viewer without."""
    key = f"&key={owner_key}" if owner_key else ""
    lines = [f"To look inside: streamlit run app.py, then open /train?run={run.id}{key}"]
    if key:
        lines.append("Anyone with this link can continue or delete the run in the app. Their browser keeps the key.")
    return lines


def _made_or_opened(options: argparse.Namespace, owner_key: str) -> Run:
    if sum(order is not None for order in (options.resume, options.fork, options.twin)) > 1:
        raise ValueError("--resume continues a run, --fork and --twin start a new one from it: choose one.")
    if options.edit is not None and options.twin is None:
        raise ValueError("--edit changes the text of a run: name the run with --twin.")
    if options.resume is not None:
        _refuse(options, "--resume", "preset", "text", "encoding", "transform", "first", "step")
        return _resumed_run(options)
    if options.fork is not None:
        _refuse(options, "--fork", "preset", "threads")
        return _forked_run(options, owner_key)
    if options.twin is not None:
        _refuse(options, "--twin", "preset", "threads", "text", "encoding", "transform", "first", "step")
        return _twin_run(options, owner_key)
    return _new_run(options, owner_key)


def _refuse(options: argparse.Namespace, order: str, *names: str) -> None:
    """Raises ValueError for flags that would be ignored."""
    if given := [f"--{name}" for name in names if getattr(options, name) is not None]:
        raise ValueError(f"{' and '.join(given)} cannot be given with {order}: the run has it already.")


def _new_run(options: argparse.Namespace, owner_key: str) -> Run:
    import torch

    from ..runs import catalog

    if options.step is not None:
        raise ValueError("--step is the step to fork from: name the run with --fork.")
    torch.set_num_threads(1)  # until training starts there are only small products, which more threads would slow down
    given = {name: value for name, value in vars(options).items() if name in knobs()}
    preset = options.preset or "quick"
    model, train = configs_from(given, preset)
    if found := problems(model, train):  # before anything is downloaded
        raise ValueError(" ".join(found.values()))
    _check_threads_and_processes(options, train)
    text = _chosen_text(options)
    if home_is_temporary():
        console.note(f"{requested_home()} cannot be written. The run is stored in {home()}, a temporary folder.")
    threads = options.threads or (1 if process_count() > 1 else None)
    run = catalog.create(model, train, text, preset=preset, threads=threads, owner_key=owner_key)
    console.note(f"{run.read_info().name} ({run.id}): {text.name}, {text.characters:,} characters, in {run.folder}")
    return run


def _chosen_text(options: argparse.Namespace) -> Text:
    """The text that the flags name. Prints what was assumed or left out."""
    from ..data import texts

    sources = options.text or ["book"]
    for source in sources:
        _download(source)
    text = texts.choose(*sources, how=options.transform or "none", first=options.first, encoding=options.encoding)
    if text.notice:
        console.note(text.notice)
    return text


def _check_threads_and_processes(options: argparse.Namespace, train: TrainConfig) -> None:
    if options.threads is not None and (problem := threads_problem(options.threads)):
        raise ValueError(problem)
    if train.batch_size % process_count():
        raise ValueError(f"{process_count()} processes cannot share a batch_size of {train.batch_size} evenly.")


def _resumed_run(options: argparse.Namespace) -> Run:
    """The run to resume. The only setting that may be given is max_steps."""
    from ..runs.info import RunProblem
    from ..runs.run import Run

    given = sorted(name for name in vars(options) if name in knobs())
    if others := [name for name in given if name != "max_steps"]:
        raise ValueError(f"{', '.join(others)} cannot change with --resume: only max_steps can, to extend the run.")
    run = Run.open(options.resume)
    _check_threads_and_processes(options, run.read_info().train)
    run.check_what_it_needs()
    is_finished = run.read_info().state == "finished"
    if given and (is_finished or options.max_steps != run.read_info().train.max_steps):
        run.extend(options.max_steps)
    elif is_finished:
        raise RunProblem(f"{run.read_info().name} is finished: to continue it, give a larger --max_steps.")
    with run.writing():  # fails if it is trained elsewhere
        if options.threads is not None:
            run.update(threads=options.threads)
    steps = run.list_checkpoints()
    where = f"from step {steps[-1]:,}" if steps else "from the beginning"
    console.note(f"{run.read_info().name} ({run.id}): continues {where}, in {run.folder}")
    return run


def _forked_run(options: argparse.Namespace, owner_key: str) -> Run:
    """A new run from the weights of another. Only live settings and max_steps may be given."""
    from ..runs.fork import fork
    from ..runs.run import Run
    from ..tokenizer import visible

    if options.text is None and any(
        value is not None for value in (options.encoding, options.transform, options.first)
    ):
        raise ValueError("--encoding, --transform and --first are for a new text: name it with --text.")
    parent = Run.open(options.fork)
    if options.text is None and parent.is_from_gallery:
        _fetch_the_text_of(parent)
    _check_threads_and_processes(options, parent.read_info().train)
    step = parent.newest_snapshot() if options.step is None else options.step
    text = None if options.text is None else _chosen_text(options)
    run = fork(
        parent, step, text, owner_key, **{name: value for name, value in vars(options).items() if name in knobs()}
    )
    origin = run.read_info().parent
    console.note(f"{run.read_info().name} ({run.id}): forked from {origin.name} at step {step:,}, in {run.folder}")
    if text and origin.left_out:
        console.note(f"{run.read_info().text.characters:,} of {text.characters:,} characters are used.")
    if origin.left_out:
        console.note(f"Left out, because {origin.name} does not know them: {' '.join(map(visible, origin.left_out))}")
    return run


def _twin_run(options: argparse.Namespace, owner_key: str) -> Run:
    """A run that repeats another with one difference. No setting may be given."""
    from ..data.edits import label
    from ..runs.run import Run
    from ..runs.twin import twin

    if given := sorted(name for name in vars(options) if name in knobs()):
        raise ValueError(f"{', '.join(given)} cannot change in a twin: it has the settings of its original.")
    edit = None if options.edit is None else _edit(*options.edit)
    original = Run.open(options.twin)
    if original.is_from_gallery:
        _fetch_the_text_of(original)
    _check_threads_and_processes(options, original.read_info().train)
    run = twin(original, edit, owner_key)
    difference = label(edit) if edit else f"with the random seed {run.read_info().train.seed}"
    name = original.read_info().name
    console.note(f"{run.read_info().name} ({run.id}): a twin of {name}, {difference}, in {run.folder}")
    return run


def _edit(kind: str, *words: str) -> Edit:
    """The edit that --edit describes. Raises ValueError if it is not valid; `twin` checks whether it is possible."""
    from ..data.edits import KINDS, Edit

    *words, times = words if words and kind in ("repeat", "plant") else (*words, "1")
    is_count = times.isdecimal() and len(times) < 10
    if kind not in KINDS or len(words) != (2 if kind == "rename" else 1) or not is_count:
        raise ValueError(f"{' '.join([kind, *words, times])[:60]!r} is not an edit: --edit takes {_EDITS}.")
    return Edit(kind, tuple(words), int(times))


def _fetch_the_text_of(run: Run) -> None:
    """Store the text of a run of the gallery, which came without it: generate or download it."""
    from ..data import texts

    text = run.read_info().text
    if not texts.is_kept(text):
        home().mkdir(parents=True, exist_ok=True)
        _download(text.source)
        texts.restore(text)


def _download(source: str) -> None:
    """Download `source` if it is a published text that is not stored yet, and show the progress."""
    from ..data.download import fetch

    if published := PUBLISHED_TEXTS.get(source):
        name = published.name
        fetch(published, lambda share: console.show(f"{name}: {share:.0%} downloaded" if share < 1 else ""))


def train(options: argparse.Namespace) -> int:
    """Train the run that the flags ask for, and return the exit code of the program."""
    from . import foreground
    from .slots import Slots
    from .training import TrainingJob

    if process_count() > 1:
        from . import distributed  # slow to import

        job = distributed.take_part(lambda: _run(options), foreground.stop_on_signals)
        distributed.leave(job, _exit_code(foreground.train(job)) if job else 0)  # only the first process has a job
    job = TrainingJob(_run(options), Slots(count=1))
    foreground.stop_on_signals(job.stop)
    return _exit_code(foreground.train(job))


def _exit_code(state: str) -> int:
    return 0 if state in ("finished", "stopped") else 1
