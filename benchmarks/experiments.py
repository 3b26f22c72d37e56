"""Repeat the experiments of the app, and fail when a statement about one of them is no longer true.

    python -m benchmarks.experiments
    python -m benchmarks.experiments say-it-twice a-head-is-born

Each run is trained as in the app, with one thread, in a temporary folder. The texts are downloaded, or come from
MICROLLM_MIRROR.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from microllm.cost import measure_speed
from microllm.data import texts
from microllm.experiments.experiment import Check, Experiment, Setup, check
from microllm.experiments.registry import EXPERIMENTS
from microllm.gallery.__main__ import runs_in
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs import catalog
from microllm.runs.run import Run

from .report import corpus as the_book
from .report import parser, save, table


@dataclass(frozen=True)
class Repeated:
    """An experiment that was repeated: the last validation loss and CPU seconds of each run, and the check."""

    losses: list[float]
    seconds: list[float]
    check: Check


def trained(setup: Setup) -> Run:
    """A run of an experiment, trained to its end in this process."""
    model, settings = setup.configs
    text = texts.choose(setup.text, how=setup.how, first=setup.first)
    run = catalog.create(model, settings, text, preset=setup.preset, threads=1)
    job = TrainingJob(run, Slots(count=1))
    job.start()
    job.join()
    return run


def repeat(experiment: Experiment) -> Repeated:
    """Train all runs of an experiment, and check its statements."""
    if experiment.shipped:
        return Repeated([], [], check(experiment, [Run.open(experiment.shipped)]))
    runs, seconds = [], []
    for setup in experiment.setups:
        began = time.process_time()
        runs.append(trained(setup))
        seconds.append(time.process_time() - began)
    losses = [run.history.read().val_losses[-1][1] for run in runs]
    return Repeated(losses, seconds, check(experiment, runs))


def print_findings(experiment: Experiment, found: Check) -> None:
    """Print each statement with its numbers, and which prediction came true."""
    print(experiment.title)
    for finding in found.findings:
        print(f"  {'true ' if finding.is_true else 'FALSE'}  {finding.statement}\n         {finding.numbers}")
    print(f"         Came true: {experiment.predictions.get(found.came_true, 'no prediction')}", flush=True)


def rows_of(experiment: Experiment, repeated: Repeated, expected: Sequence[float]) -> list[tuple[str, ...]]:
    """The rows of the table: one for each run."""
    setups = zip(experiment.setups, repeated.losses, repeated.seconds, expected, strict=True)
    return [
        (f"{experiment.title}: {setup.label}", f"{loss:.3f}", f"{seconds:.1f}", f"{planned:.1f}")
        for setup, loss, seconds, planned in setups
    ]


def main() -> int:
    """Print each statement with its numbers, then a table of all runs. Returns 1 if a statement is not true."""
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(EXPERIMENTS)} (default: all)")
    options = arguments.parse_args()
    if unknown := [name for name in options.names if name not in EXPERIMENTS]:
        arguments.error(f"there is no experiment {unknown[0]}")
    torch.set_num_threads(1)
    the_book()  # a run of the gallery comes without it
    speed, rows, wrong, numbers = measure_speed(), [], [], {}
    with tempfile.TemporaryDirectory() as folder, runs_in(folder):
        for name in options.names or EXPERIMENTS:
            experiment = EXPERIMENTS[name]
            repeated = repeat(experiment)
            print_findings(experiment, repeated.check)
            rows += rows_of(experiment, repeated, [setup.seconds(speed) for setup in experiment.setups])
            findings = repeated.check.findings
            wrong += [f"{experiment.title}: {one.statement}" for one in findings if not one.is_true]
            numbers[name] = {
                "losses": repeated.losses,
                "seconds": repeated.seconds,
                "findings": [vars(finding) for finding in findings],
            }
    if rows:
        table(["run", "loss", "CPU s", "estimate of the app, s"], rows)
    save(options.json, numbers)
    for sentence in wrong:
        print(f"No longer true: {sentence}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
