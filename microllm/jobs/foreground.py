"""A training in the foreground, as the command line runs it: the signals that stop it, and what is shown meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .. import console
from ..runs.history import History
from ..runs.run import Run
from .training import TrainingJob

_LOOK = 0.5  # seconds


def stop_on_signals(stop: Callable[[str], None]) -> None:
    """Call `stop` with a reason on Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which says that the terminal was closed.

    A second SIGINT or SIGTERM ends the program at once. SIGHUP never does: a closed terminal sends more than one.
    """
    at_once = (signal.SIGINT, signal.SIGTERM)

    def on_signal(number: int, _frame) -> None:
        stop(f"Stopped by {signal.Signals(number).name}.")
        if number in at_once:
            for which in at_once:
                signal.signal(which, signal.SIG_DFL)

    for which in at_once:
        signal.signal(which, on_signal)
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:  # nohup: training outlives the terminal
        signal.signal(hang_up, on_signal)


def watch(job: TrainingJob) -> None:
    """Show a training until it ends: on a terminal one row that is written over, elsewhere a line per validation."""
    run, next_step = job.run, 0
    while True:
        is_over = not job.is_alive()  # asked before the last look, which then misses nothing
        history = run.history.read()
        if job.first_step is not None:  # before that, the history may hold steps that will be made again
            if console.is_terminal():
                _show_now(run, history)
            else:
                for step, _ in history.val_losses:
                    if step >= max(next_step, job.first_step):
                        console.note(_validation_line(run, history.row_of(step)))
                        next_step = step + 1
        if is_over:
            return
        job.join(_LOOK)


def _show_now(run: Run, history: History) -> None:
    """Where training stands, and the last validation with its own step."""
    if not (last := history.last):
        return
    facts = [
        f"step {last['step']:,}",
        f"/{run.read_info().train.max_steps:,}",
        f"  training loss {_loss(last['train_loss'])}",
        *[f"  validation loss {_loss(loss)} (step {step:,})" for step, loss in history.val_losses[-1:]],
        f"  {history.steps_per_second() or 0.0:.1f} steps/s",
        f"  {last['seconds']:.1f} s",
    ]
    console.show(*facts)


def _validation_line(run: Run, row: dict) -> str:
    """What was measured at the step of a validation."""
    return (
        f"step {row['step']:>7,} / {run.read_info().train.max_steps:,}   training loss {_loss(row['train_loss'])}   "
        f"validation loss {_loss(row['val_loss'])}   {row['seconds']:.1f} s"
    )


def _loss(loss: float | None) -> str:
    return "nan" if loss is None else f"{loss:.4f}"
