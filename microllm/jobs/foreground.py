"""Training in the foreground, for the command line: the signals that stop it, and the progress that it prints."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .. import console
from ..runs.history import History
from ..runs.run import Run
from .training import TrainingJob

_REFRESH_SECONDS = 0.5


def stop_on_signals(stop: Callable[[str], None]) -> None:
    """Call `stop` with a reason on Ctrl-C (SIGINT), SIGTERM, and SIGHUP (the terminal was closed).

    A second SIGINT or SIGTERM ends the program at once. SIGHUP does not, as a closing terminal may send several.
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
    if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:  # ignored under nohup, where training should continue
        signal.signal(hang_up, on_signal)


def train(job: TrainingJob) -> str:
    """Run a training job to its end, print its progress and its result, and return the state that it ends in."""
    job.start()
    try:
        _print_progress(job)
    finally:
        job.join()  # the interpreter aborts if it ends while torch's threads compute
    info = job.run.read_info()
    console.note(f"{info.state}. {info.message}".rstrip())
    if job.warning:
        console.note(job.warning)
    if info.full_val_loss is not None:
        console.note(f"validation loss on all held-out text: {info.full_val_loss:.3f} nats per character")
    return info.state


def _print_progress(job: TrainingJob) -> None:
    """Until the job ends: on a terminal one row that is overwritten, elsewhere a line per validation."""
    run, next_step = job.run, 0
    while True:
        is_over = not job.is_alive()  # asked before reading the history, so that its last rows are printed too
        history = run.history.read()
        if job.first_step is not None:  # until then the history may have steps that will be repeated
            if console.is_terminal():
                _show_now(run, history)
            else:
                for step, _ in history.val_losses:
                    if step >= max(next_step, job.first_step):
                        console.note(_validation_line(run, history.row_of(step)))
                        next_step = step + 1
        if is_over:
            return
        job.join(_REFRESH_SECONDS)


def _show_now(run: Run, history: History) -> None:
    """The current step, and the last validation loss with its step."""
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
    """The line to print for a step with a validation loss."""
    return (
        f"step {row['step']:>7,} / {run.read_info().train.max_steps:,}   training loss {_loss(row['train_loss'])}   "
        f"validation loss {_loss(row['val_loss'])}   {row['seconds']:.1f} s"
    )


def _loss(loss: float | None) -> str:
    return "nan" if loss is None else f"{loss:.3f}"
