"""The command line: `python -m microllm train`, `generate`, `runs` and `export`."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn, TextIO

from . import console
from .config import PRESETS, TrainConfig, configs_from, knobs, problems, threads_problem
from .data.builtin import TRANSFORMS
from .data.decode import ENCODINGS
from .data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from .environment import home, home_is_temporary, only_read, process_count, requested_home, runs_dir
from .exports import command

# importing torch takes over a second, which `--help` need not wait for: each command imports what it uses
if TYPE_CHECKING:
    from .data.texts import Text
    from .runs.run import Run

_MAX_SAMPLES = 1_000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # under torchrun only the first process on a machine prints it
            self.exit()
        console.complain(message)
        self.exit(2)

    def print_help(self, file: TextIO | None = None) -> None:
        console.write(self.format_help())


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: success, also when the reader of the output has left, as `head` does. 1: training failed, or the output could not
    be written. 2: bad input, explained in one sentence. 130: Ctrl-C.
    """
    console.prepare()
    try:
        return _run_command(arguments)
    except SystemExit as end:  # argparse has printed why
        return int(end.code or 0)
    except console.OutputLost as lost:
        if lost.reader_is_gone:
            return 0
        console.complain(f"The output cannot be written: {lost}.")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        console.finish()


def _run_command(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.runs_dir:
        os.environ["MICROLLM_RUNS_DIR"] = options.runs_dir
    is_new_run = options.command is _train and options.resume is None and options.fork is None
    try:
        with contextlib.nullcontext() if is_new_run else only_read():
            return options.command(options)
    except ValueError as error:  # all problems with texts, runs, weights and settings
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    console.complain(sentence)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m microllm", description="Train a small language model from scratch.")
    commands = parser.add_subparsers(required=True, metavar="train | generate | runs | export")

    train = commands.add_parser("train", help="train a model and write a run folder")
    train.set_defaults(command=_train)
    train.add_argument("--resume", metavar="ID", help="continue this run; with --max_steps N also past its former end")
    train.add_argument(
        "--fork",
        metavar="ID",
        help="start a new run from the weights of this one, with other live settings or another --text",
    )
    train.add_argument("--step", type=int, help="with --fork: the step whose weights to use (default: the newest)")
    train.add_argument("--preset", choices=PRESETS, help="the settings to start from (default: quick)")
    train.add_argument(
        "--text",
        nargs="+",
        metavar="TEXT",
        help=f"{', '.join(f'{key} ({text.name})' for key, text in PUBLIC_TEXTS.items())}, the path of a file, or - for "
        "standard input; several are joined in this order (default: book)",
    )
    train.add_argument("--encoding", help=f"the encoding of the files: {', '.join(ENCODINGS)} (default: detected)")
    train.add_argument("--transform", choices=TRANSFORMS, help="how to modify the text first")
    train.add_argument("--first", type=int, metavar="N", help="use only the first N characters")
    train.add_argument("--threads", type=int, help="torch threads (default: depends on the size of the model)")
    for name, knob in knobs().items():
        help = f"{knob.metadata['plain']}. {knob.metadata['help']}".replace("%", "%%")
        kind = _truth if knob.type == "bool" else type(knob.default)
        train.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)

    generate = commands.add_parser("generate", help="write text with a trained model")
    generate.set_defaults(command=_generate)
    generate.add_argument("--run", required=True, help="the run's id, as `runs` lists it")
    generate.add_argument("--step", type=int, help="a snapshot's step (default: the newest)")
    generate.add_argument("--prompt", help="the text to continue (default: some words of the run's own text)")
    generate.add_argument("--length", type=int, default=400, help="the number of characters to write")
    generate.add_argument("--temperature", type=float, default=0.8)
    generate.add_argument("--top_k", type=int, default=0)
    generate.add_argument("--top_p", type=float, default=1.0)
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument("--samples", type=int, default=1, help="the number of texts to write at once")

    runs = commands.add_parser("runs", help="list the runs")
    runs.set_defaults(command=_runs)
    runs.add_argument(
        "--new_key", metavar="ID", help="print a new owner's link to this run; the key in the old link becomes invalid"
    )
    command.add_to(commands)
    for each in commands.choices.values():
        each.add_argument("--runs_dir", metavar="DIR", help="the folder of runs (default: runs in MICROLLM_HOME)")
    return parser


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() == "true"


def _run(options: argparse.Namespace) -> Run:
    """The run that the flags ask for. Prints a link to its page."""
    owner_key = secrets.token_urlsafe(16)
    run = _made_or_opened(options, owner_key)
    for line in _link(run, owner_key if run.read_info().is_owned_with(owner_key) else None):
        console.note(line)
    return run


def _link(run: Run, owner_key: str | None) -> list[str]:
    """Lines that say how to open the run in the app: as its owner with `owner_key`, as a spectator without."""
    key = f"&key={owner_key}" if owner_key else ""
    lines = [f"To look inside: streamlit run app.py, then open /train?run={run.id}{key}"]
    if key:
        lines.append("Anyone with this link can continue or delete the run in the app. Their browser keeps the key.")
    return lines


def _made_or_opened(options: argparse.Namespace, owner_key: str) -> Run:
    if options.resume is not None and options.fork is not None:
        raise ValueError("--resume continues a run, --fork starts a new one from it: choose one.")
    if options.resume is not None:
        _refuse(options, "--resume", "preset", "text", "encoding", "transform", "first", "step")
        return _resumed_run(options)
    if options.fork is not None:
        _refuse(options, "--fork", "preset", "threads")
        return _forked_run(options, owner_key)
    return _new_run(options, owner_key)


def _refuse(options: argparse.Namespace, order: str, *names: str) -> None:
    """Raises ValueError for flags that would be ignored."""
    if given := [f"--{name}" for name in names if getattr(options, name) is not None]:
        raise ValueError(f"{' and '.join(given)} cannot be given with {order}: the run has it already.")


def _new_run(options: argparse.Namespace, owner_key: str) -> Run:
    import torch

    from .runs import catalog

    if options.step is not None:
        raise ValueError("--step is the step to fork from: name the run with --fork.")
    torch.set_num_threads(1)  # before training itself there are small products only, which more threads would slow down
    given = {name: value for name, value in vars(options).items() if name in knobs()}
    preset = options.preset or "quick"
    model, train = configs_from(given, preset)
    if found := problems(model, train):  # before anything is downloaded
        raise ValueError(" ".join(found.values()))
    _check_threads_and_processes(options, train)
    text = _chosen_text(options)
    if home_is_temporary():
        console.note(f"{requested_home()} cannot be written. The run is kept in {home()}, a temporary folder.")
    threads = options.threads or (1 if process_count() > 1 else None)
    run = catalog.create(model, train, text, preset=preset, threads=threads, owner_key=owner_key)
    console.note(f"{run.read_info().name} ({run.id}): {text.name}, {text.characters:,} characters, in {run.folder}")
    return run


def _chosen_text(options: argparse.Namespace) -> Text:
    """The text that the flags name. Prints what was assumed or left out."""
    from .data import texts

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
    """The run to continue. The only setting that may be given is max_steps."""
    from .runs.info import RunProblem
    from .runs.run import Run

    given = sorted(name for name in vars(options) if name in knobs())
    if others := [name for name in given if name != "max_steps"]:
        raise ValueError(f"{', '.join(others)} cannot change on --resume: only max_steps can, to extend the run.")
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
    from .runs.fork import fork
    from .runs.run import Run
    from .tokenizer import visible

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


def _fetch_the_text_of(run: Run) -> None:
    """Store the text of a run of the gallery, which came without it: it is made here or downloaded."""
    from .data import texts

    text = run.read_info().text
    if not texts.is_kept(text):
        home().mkdir(parents=True, exist_ok=True)
        _download(text.source)
        texts.restore(text)


def _download(source: str) -> None:
    """Download a published text, if this is one and it is not stored yet, and show the progress."""
    from .data.download import fetch

    if published := PUBLISHED_TEXTS.get(source):
        name = published.name
        fetch(published, lambda share: console.show(f"{name}: {share:.0%} downloaded" if share < 1 else ""))


def _train(options: argparse.Namespace) -> int:
    from .jobs.foreground import stop_on_signals, train
    from .jobs.slots import Slots
    from .jobs.training import TrainingJob

    if process_count() > 1:
        from .jobs import distributed  # slow to import

        job = distributed.take_part(lambda: _run(options), stop_on_signals)
        distributed.leave(job, _exit_code(train(job)) if job else 0)  # only the first process has a job
    job = TrainingJob(_run(options), Slots(count=1))
    stop_on_signals(job.stop)
    return _exit_code(train(job))


def _exit_code(state: str) -> int:
    return 0 if state in ("finished", "stopped") else 1


def _generate(options: argparse.Namespace) -> int:
    import torch

    from .inference import generate, stream
    from .jobs.samples import default_prompt
    from .runs.run import Run
    from .sample import Sampling

    run = Run.open(options.run)
    step = run.snapshot_called(options.step)
    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    if problem := sampling.problem():
        raise ValueError(problem)
    if options.length < 0:
        raise ValueError(f"length is {options.length}: it must be 0 or more.")
    if not 1 <= options.samples <= _MAX_SAMPLES:
        raise ValueError(f"samples is {options.samples}: it must be from 1 to {_MAX_SAMPLES}.")
    tokenizer, model = run.tokenizer, run.model_at(step)
    prompt = default_prompt(run) if options.prompt is None else options.prompt
    idx = torch.tensor([tokenizer.encode(prompt)], dtype=torch.long)
    if options.samples > 1:
        idx = idx.expand(options.samples, -1)
        written = generate(model, idx, options.length, **asdict(sampling), seed=options.seed)
        console.write("\n\n".join(map(tokenizer.decode, written)) + "\n")
        return 0
    console.write(prompt)
    for chosen in stream(model, idx, options.length, sampling, options.seed):
        console.write(tokenizer.decode(chosen))
    console.write("\n")
    return 0


def _runs(options: argparse.Namespace) -> int:
    from .runs.catalog import gallery_runs, runs_and_damaged
    from .runs.info import RunProblem, hash_key
    from .runs.run import Run
    from .runs.summary import summary

    if options.new_key:
        run, owner_key = Run.open(options.new_key), secrets.token_urlsafe(16)
        run.update(owner=hash_key(owner_key))
        for line in _link(run, owner_key):
            console.say(line)
        return 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # no folder means no runs
        os.listdir(runs_dir())  # raises PermissionError, which the listing below would hide
    runs, damaged = runs_and_damaged()
    for run in runs + gallery_runs():
        try:
            info, known = run.read_info(), summary(run.history.path)
        except RunProblem:  # deleted since it was listed
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
        when = "with MicroLLM" if run.is_from_gallery else when
        loss = f"best validation loss {known.best:.3f}" if known.best is not None else "no validation loss yet"
        steps = f"{known.step or 0:,} steps"
        line = f"{info.name:<20} {info.state:<12} {steps}, {loss}   {info.text.name}"
        console.say(f"{run.id:<16}  {when:<16}  {line}")
    for run_id in damaged:
        console.say(f"{run_id}  damaged: part of its folder cannot be used")
    console.say(f"in {runs_dir()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
