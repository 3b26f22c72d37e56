"""The command line: `python -m microllm train`, `generate`, `runs` and `export`."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import time
from dataclasses import asdict
from typing import NoReturn, TextIO

from . import console
from .environment import only_read, runs_dir
from .exports import command as export_command
from .jobs import command as train_command

# importing torch takes over a second, which `--help` need not wait for: each command imports what it uses

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

    0: success, also when the reader of the output exited early, as `head` does. 1: training failed, or the output could
    not be written. 2: bad input, explained in one sentence. 130: Ctrl-C.
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
    try:
        if options.runs_dir is not None:
            os.environ["MICROLLM_RUNS_DIR"] = options.runs_dir
            if not options.runs_dir or (runs_dir().exists() and not runs_dir().is_dir()):
                raise ValueError(f"runs_dir is {options.runs_dir!r}: name a folder.")
        with contextlib.nullcontext() if train_command.is_new_run(options) else only_read():
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
    train_command.add_to(commands)

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
    export_command.add_to(commands)
    for each in commands.choices.values():
        each.add_argument("--runs_dir", metavar="DIR", help="the folder of runs (default: runs in MICROLLM_HOME)")
    return parser


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

    if options.new_key is not None:
        run, owner_key = Run.open(options.new_key), secrets.token_urlsafe(16)
        with run.writing():  # not while it trains: both would write run.json
            run.update(owner=hash_key(owner_key))
        for line in train_command.link(run, owner_key):
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
