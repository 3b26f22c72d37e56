"""The command line: `python -m microllm train`, `generate` and `runs`."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn, TextIO

from . import console
from .config import PRESETS, TrainConfig, configs_from, knobs, problems
from .data.builtin import BUILTIN_TEXTS, TRANSFORMS
from .data.decode import ENCODINGS
from .environment import home, home_is_temporary, only_read, runs_dir, wished_home

if TYPE_CHECKING:  # torch takes more than a second, and help needs none of it: each command imports what it uses
    from .data.texts import Text
    from .runs.run import Run

_MOST_THREADS = 256
_MOST_SAMPLES = 1_000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # of the processes of torchrun here, the first says it
            self.exit()
        console.complain(message)
        self.exit(2)

    def print_help(self, file: TextIO | None = None) -> None:
        console.write(self.format_help())


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns its exit code.

    That is 0 on success, also when the reader of the output has left, as `head` does; 1 when training failed or what
    was asked for cannot be printed; 2 after one sentence about bad input; 130 after Ctrl-C.
    """
    console.prepare()
    try:
        return _obey(arguments)
    except SystemExit as end:  # argparse has said why
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


def _obey(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.runs_dir:
        os.environ["MICROLLM_RUNS_DIR"] = options.runs_dir
    begins_anew = options.command is _train and options.resume is None and options.fork is None
    try:
        with contextlib.nullcontext() if begins_anew else only_read():
            return options.command(options)
    except ValueError as error:  # every problem with a text, a run, weights or a setting is one
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    console.complain(sentence)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m microllm", description="A small language model, from scratch.")
    commands = parser.add_subparsers(required=True, metavar="train | generate | runs")

    train = commands.add_parser("train", help="train a model and write a run folder")
    train.set_defaults(command=_train)
    train.add_argument(
        "--resume", metavar="ID", help="go on with this run; with --max_steps, to more steps than before"
    )
    train.add_argument(
        "--fork",
        metavar="ID",
        help="a new run with the weights of this one, on other live settings or another --text",
    )
    train.add_argument("--step", type=int, help="with --fork: from the weights of this step (default: the newest)")
    train.add_argument("--preset", choices=PRESETS, help="settings to begin with (default: quick)")
    train.add_argument(
        "--text",
        nargs="+",
        metavar="TEXT",
        help=f"book (Pride and Prejudice), {', '.join(BUILTIN_TEXTS)}, the path of a file, or - for standard input; "
        "several are joined in this order",
    )
    train.add_argument("--encoding", help=f"what the files are written in: {', '.join(ENCODINGS)} (default: a guess)")
    train.add_argument("--transform", choices=TRANSFORMS, help="what to do to the text first")
    train.add_argument("--first", type=int, help="use only the first so many characters")
    train.add_argument("--threads", type=int, help="torch threads (default: by a rule of the model's size)")
    for name, knob in knobs().items():
        help = f"{knob.metadata['plain']}: {knob.metadata['help']}".replace("%", "%%")
        kind = _truth if knob.type == "bool" else type(knob.default)
        train.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)

    generate = commands.add_parser("generate", help="write with a trained model")
    generate.set_defaults(command=_generate)
    generate.add_argument("--run", required=True, help="the run's id, as `runs` lists it")
    generate.add_argument("--step", type=int, help="a snapshot's step (default: the newest)")
    generate.add_argument("--prompt", help="how it begins (default: a beginning that the run's own text could have)")
    generate.add_argument("--length", type=int, default=400, help="characters to write")
    generate.add_argument("--temperature", type=float, default=0.8)
    generate.add_argument("--top_k", type=int, default=0)
    generate.add_argument("--top_p", type=float, default=1.0)
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument("--samples", type=int, default=1, help="texts to write at once, one below the other")

    runs = commands.add_parser("runs", help="list the runs")
    runs.set_defaults(command=_runs)
    runs.add_argument(
        "--new_key", metavar="ID", help="print a new owner's link of this run; the key in the old one is void then"
    )
    for command in commands.choices.values():
        command.add_argument("--runs_dir", metavar="DIR", help="the folder of runs (default: in MICROLLM_HOME)")
    return parser


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() == "true"


def _run(options: argparse.Namespace) -> Run:
    """The run to train, as the flags say. Where it is to be seen is printed."""
    owner_key = secrets.token_urlsafe(16)
    run = _made_or_opened(options, owner_key)
    for line in _link(run, owner_key if run.read_info().is_owned_with(owner_key) else None):
        console.note(line)
    return run


def _link(run: Run, owner_key: str | None) -> list[str]:
    """Lines that say where the run is to be seen, by its owner with the `owner_key`, by everybody without."""
    key = f"&key={owner_key}" if owner_key else ""
    lines = [f"Look inside: streamlit run app.py, then open /train?run={run.id}{key}"]
    return [*lines, "Whoever has the key may go on with the run there, or delete it."] if key else lines


def _made_or_opened(options: argparse.Namespace, owner_key: str) -> Run:
    if options.resume is not None and options.fork is not None:
        raise ValueError("--resume goes on with a run, --fork makes another of it: choose one.")
    if options.resume is not None:
        _refuse(options, "--resume", "preset", "text", "encoding", "transform", "first", "step")
        return _resumed_run(options)
    if options.fork is not None:
        _refuse(options, "--fork", "preset", "threads")
        return _forked_run(options, owner_key)
    return _new_run(options, owner_key)


def _refuse(options: argparse.Namespace, order: str, *names: str) -> None:
    """Raises ValueError for a flag that would be ignored."""
    if given := [f"--{name}" for name in names if getattr(options, name) is not None]:
        raise ValueError(f"{' and '.join(given)} cannot be given with {order}: it goes on with what the run has.")


def _new_run(options: argparse.Namespace, owner_key: str) -> Run:
    import torch

    from .runs import catalog

    if options.step is not None:
        raise ValueError("--step names a moment of the run to --fork: name that run too.")
    torch.set_num_threads(1)  # before the run's own thread there are small products only, slowest on busy cores
    given = {name: value for name, value in vars(options).items() if name in knobs()}
    preset = options.preset or "quick"
    model, train = configs_from(given, preset)
    if found := problems(model, train):  # before anything is fetched
        raise ValueError(" ".join(found.values()))
    if options.threads is not None:
        _check_threads(options.threads)
    _check_shares(train)
    text = _chosen_text(options)
    if home_is_temporary():
        console.note(f"{wished_home()} cannot be written: until this machine is cleaned, the run is kept in {home()}.")
    threads = options.threads or (1 if _processes() > 1 else None)
    run = catalog.create(model, train, text, preset=preset, threads=threads, owner_key=owner_key)
    console.note(f"{run.read_info().name} ({run.id}): {text.name}, {text.characters:,} characters, in {run.folder}")
    return run


def _chosen_text(options: argparse.Namespace) -> Text:
    """The text that the flags name. What was assumed or left out is printed."""
    from .data import texts
    from .data.gutenberg import BOOK

    sources = options.text or ["book"]
    if "book" in sources:  # fetched here, if it is not kept yet, so that a person sees the progress
        texts.book(lambda share: console.show(f"{BOOK}: {share:.0%} fetched" if share < 1 else ""))
    text = texts.choose(*sources, how=options.transform or "none", first=options.first, encoding=options.encoding)
    if text.notice:
        console.note(text.notice)
    return text


def _check_threads(threads: int) -> None:
    if not 1 <= threads <= _MOST_THREADS:
        raise ValueError(f"threads is {threads}: it must be a whole number from 1 to {_MOST_THREADS}.")


def _check_shares(train: TrainConfig) -> None:
    if train.batch_size % _processes():
        raise ValueError(f"{_processes()} processes cannot share a batch_size of {train.batch_size} evenly.")


def _resumed_run(options: argparse.Namespace) -> Run:
    """The run to go on with. Of the settings only max_steps may be given: the others are the run's own."""
    from .runs.info import RunProblem
    from .runs.run import Run

    given = sorted(name for name in vars(options) if name in knobs())
    if others := [name for name in given if name != "max_steps"]:
        raise ValueError(f"{', '.join(others)} cannot change on --resume: only max_steps can, to extend the run.")
    run = Run.open(options.resume)
    _check_shares(run.read_info().train)
    if options.threads is not None:
        _check_threads(options.threads)
    run.check_what_it_needs()
    is_finished = run.read_info().state == "finished"
    if given and (is_finished or options.max_steps != run.read_info().train.max_steps):
        run.extend(options.max_steps)
    elif is_finished:
        raise RunProblem(
            f"{run.read_info().name} is finished: --max_steps N, more than it has made, goes on from there."
        )
    with run.writing():  # who trains it elsewhere is not disturbed
        if options.threads is not None:
            run.update(threads=options.threads)
    steps = run.list_checkpoints()
    where = f"from step {steps[-1]:,}" if steps else "from its beginning"
    console.note(f"{run.read_info().name} ({run.id}): goes on {where}, in {run.folder}")
    return run


def _forked_run(options: argparse.Namespace, owner_key: str) -> Run:
    """A new run from the weights of another. Of the settings only the live ones and max_steps may be given."""
    from .runs.fork import fork
    from .runs.run import Run
    from .tokenizer import visible

    if options.text is None and any(it is not None for it in (options.encoding, options.transform, options.first)):
        raise ValueError(
            "--encoding, --transform and --first belong to another text that a fork is to learn: name it with --text."
        )
    parent = Run.open(options.fork)
    _check_shares(parent.read_info().train)
    step = parent.newest_snapshot() if options.step is None else options.step
    text = None if options.text is None else _chosen_text(options)
    run = fork(
        parent, step, text, owner_key, **{name: value for name, value in vars(options).items() if name in knobs()}
    )
    origin = run.read_info().parent
    console.note(f"{run.read_info().name} ({run.id}): forked from {origin.name} at step {step:,}, in {run.folder}")
    if text and origin.left_out:
        console.note(f"{run.read_info().text.characters:,} of its {text.characters:,} characters are left.")
    if origin.left_out:
        console.note(f"Left out, because {origin.name} has never met them: {' '.join(map(visible, origin.left_out))}")
    return run


def _processes() -> int:
    """How many processes train together, as torchrun tells each of them."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def _train(options: argparse.Namespace) -> int:
    from .jobs.foreground import stop_on_signals, watch
    from .jobs.slots import Slots
    from .jobs.training import TrainingJob

    if _processes() > 1:
        from .jobs import distributed  # which one process alone need not wait for

        training = distributed.take_part(lambda: _run(options), stop_on_signals)
        if training is None:  # not the first process: what there is to say, that one says
            return 0
    else:
        training = TrainingJob(_run(options), Slots(count=1))
        stop_on_signals(training.stop)
    training.start()
    try:
        watch(training)
    finally:
        training.join()  # whatever the watching met; and an interpreter that ends under torch's threads aborts
    info = training.run.read_info()
    console.note(f"{info.state}. {info.message}".rstrip())
    if training.warning:
        console.note(training.warning)
    if info.full_val_loss is not None:
        console.note(f"validation loss on all held-out text: {info.full_val_loss:.4f} nats a character")
    return 0 if info.state in ("finished", "stopped") else 1


def _generate(options: argparse.Namespace) -> int:
    import torch

    from .inference import generate, stream
    from .runs.info import RunProblem
    from .runs.run import Run
    from .sample import Sampling

    run = Run.open(options.run)
    newest, steps = run.newest_snapshot(), run.list_snapshots()
    step = newest if options.step is None else options.step
    if step not in steps:
        raise RunProblem(f"{run.read_info().name} kept no weights of step {step}: it has {', '.join(map(str, steps))}.")
    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    if problem := sampling.problem():
        raise ValueError(problem)
    if options.length < 0:
        raise ValueError(f"length is {options.length}: it must be 0 or more characters.")
    if not 1 <= options.samples <= _MOST_SAMPLES:
        raise ValueError(f"samples is {options.samples}: it must be from 1 to {_MOST_SAMPLES}.")
    tokenizer, model = run.tokenizer, run.model_at(step)
    prompt = _beginning(run) if options.prompt is None else options.prompt
    idx = torch.tensor([tokenizer.encode(prompt)], dtype=torch.long)
    if options.samples > 1:
        written = generate(
            model, idx.expand(options.samples, -1), options.length, **asdict(sampling), seed=options.seed
        )
        console.write("\n\n".join(map(tokenizer.decode, written)) + "\n")
        return 0
    console.write(prompt)
    for chosen in stream(model, idx, options.length, sampling, options.seed):
        console.write(tokenizer.decode(chosen))
    console.write("\n")
    return 0


def _beginning(run: Run) -> str:
    """A beginning for the run's model, which knows all of its characters."""
    from .data.files import TextProblem
    from .jobs.samples import beginning_for

    try:
        return beginning_for(run)
    except TextProblem:  # the text is not here: any letter that it had
        vocab = run.tokenizer.vocab
        return next(filter(str.isalpha, vocab), vocab[0])


def _runs(options: argparse.Namespace) -> int:
    from .runs.catalog import runs_and_damaged
    from .runs.history import newest_val_loss
    from .runs.info import RunProblem, hash_key
    from .runs.run import Run

    if options.new_key:
        run, owner_key = Run.open(options.new_key), secrets.token_urlsafe(16)
        run.update(owner=hash_key(owner_key))
        for line in _link(run, owner_key):
            console.say(line)
        return 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # no folder, no runs
        os.listdir(runs_dir())  # one that cannot be read is another matter, and glob would not say so
    runs, damaged = runs_and_damaged()
    for run in runs:
        try:
            info, exam = run.read_info(), newest_val_loss(run.history.path)
        except RunProblem:  # deleted since it was listed
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
        loss = f"step {exam[0]:,}, validation loss {exam[1]:.4f}" if exam else "not scored yet"
        console.say(f"{run.id}  {when}  {info.name:<20} {info.state:<12} {loss}   {info.text.name}")
    for run_id in damaged:
        console.say(f"{run_id}  damaged: a part of its folder cannot be used")
    console.say(f"in {runs_dir()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
