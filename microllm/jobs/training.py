"""Runs that train in this process: a thread for each, the commands that it takes, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import torch

from ..config import with_live_changes
from ..data.decode import TextProblem
from ..environment import checkpoint_seconds
from ..model import MicroLLM
from ..runs.checkpoint import context_changes, determinism_context, load_state_dict, state_dict
from ..runs.history import replayed
from ..runs.info import RunProblem
from ..runs.metrics import Writer
from ..runs.run import Run
from ..runs.weights import snapshot_is_due
from ..train import Diverged, Trainer
from .model_copy import ModelCopy
from .open_windows import OpenWindows
from .slots import Slots

_MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.05, 0.5
_FIRST_STEPS = 5  # a run "has begun" when it has taken this many: then there is a curve to see
_log = logging.getLogger(__name__)

_setting_up = threading.Lock()  # one at a time: if a whole class starts at once, 30 trainers would block every page


class _Stop(Exception):
    """The run should end now; the message says why."""


class TrainingJob:
    """Trains one run in a thread of its own. All public methods may be called from any other thread.

    A run with a checkpoint continues from it as if it had never been interrupted. Commands go through one queue, which
    is emptied between steps, and while the run is paused or waits. With `grace`, a run stops after it has had no open
    window for that many seconds; None lets it train unwatched. `make_trainer` builds the trainer: a Trainer, or one of
    several (see distributed.py). While `after` is alive, the run waits.
    """

    def __init__(
        self,
        run: Run,
        slots: Slots,
        grace: float | None = None,
        make_trainer: Callable[..., Trainer] = Trainer,
        after: TrainingJob | None = None,
    ) -> None:
        self.run = run
        self._thread = threading.Thread(target=self._work, name=f"training-{run.id}", daemon=True)
        self.state = "waiting"
        self.config = replayed(run.read_info().train, run.changes(), run.read_info().train.max_steps)
        """The configuration with all live changes so far."""
        self.warning: str | None = None
        """What the user should know while training continues, such as a full disk."""
        self._after = after
        self._slots, self._make_trainer = slots, make_trainer
        self.windows = OpenWindows(grace)
        self._commands: queue.SimpleQueue[Callable[[Trainer, Writer], None]] = queue.SimpleQueue()
        self._stop_reason, self._end_state = "", "stopped"
        self._paused, self._steps_granted = False, 0
        self.last_step = -1
        """The last step that was logged."""
        self.first_step: int | None = None
        """The first step that this job logs: that of its checkpoint. None until training begins."""
        self._is_finite = True  # the newest weights are finite numbers
        self._copy = ModelCopy(self._commands)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """True until the run is over and its folder says how it ended."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end, `timeout` seconds at most."""
        self._thread.join(timeout)

    def pause(self) -> None:
        """Pause after the current step, save a checkpoint, and free the slot."""
        self._commands.put(lambda *_: self._set_pause(True, steps=0))

    def resume(self) -> None:
        """Continue after a pause."""
        self._commands.put(lambda *_: self._set_pause(False, steps=0))

    def one_step(self) -> None:
        """Make one step, then pause."""
        self._commands.put(lambda *_: self._set_pause(True, steps=self._steps_granted + 1))

    def wait_for(self, other: TrainingJob) -> None:
        """Wait until `other` is over before the next step."""

        def command(*_) -> None:
            self._after = other
            self._slots.leave(self.run.id)

        self._commands.put(command)

    def stop(self, reason: str = "You stopped it.", state: str = "stopped") -> None:
        """End the run after the current step, with a checkpoint from which it can continue."""

        def command(*_) -> None:
            self._stop_reason, self._end_state = reason, state

        self._commands.put(command)

    def change(self, **live: float) -> None:
        """Change live settings from the next step on. Raises ValueError at once for a value that is out of range."""
        self.config = with_live_changes(self.run.read_info().model, self.config, live)
        self._commands.put(lambda trainer, writer: self._change(trainer, writer, live))

    def copy(self, max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
        """(step, model): a copy of the model for reading. See `ModelCopy.get`."""
        return self._copy.get(max_age, wait)

    def save_now(self, wait: float = 5.0) -> int | None:
        """Save a snapshot and a checkpoint now; return the step, or None if it takes more than `wait` seconds."""
        done: Future[int] = Future()

        def command(trainer: Trainer, writer: Writer) -> None:
            self._save(trainer, writer)
            done.set_result(trainer.step)

        self._commands.put(command)
        with contextlib.suppress(TimeoutError):
            return done.result(timeout=wait)
        return None

    def wait_briefly(self, condition: Callable[[], bool], seconds: float = 0.3) -> None:
        """Wait until `condition` holds or the run is over, `seconds` at most: commands usually take effect by then."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and not condition() and time.monotonic() < deadline:
            time.sleep(0.005)

    @property
    def waits_for(self) -> TrainingJob | None:
        """The job that must end before this one trains; None when it waits for a slot only, or not at all."""
        before = self._after
        return before if before and before.is_alive() else None

    def seconds_to_turn(self) -> float | None:
        """About how long the run has to wait for a slot, in seconds; None when it does not wait for one."""
        return self._slots.seconds_to_turn(self.run.id)

    def _work(self) -> None:
        """Train to the end, and write into the run's folder how it ended."""
        state, message, full_val_loss = "failed", "", None
        try:
            torch.set_num_threads(self.run.read_info().threads)  # torch keeps this number for each thread
            with self.run.writing() as writer:
                try:
                    full_val_loss = self._train(writer)
                    state = "finished"
                except _Stop as stop:
                    state, message = self._end_state, str(stop)
                except Diverged as error:
                    message = str(error)
                except Exception as error:
                    if not isinstance(error, (OSError, RunProblem, TextProblem)):  # a bug
                        _log.exception("run %s failed", self.run.id)
                    message = _explained(error)
                self.run.update(
                    state=state, message=message or self.run.read_info().message, full_val_loss=full_val_loss
                )
        except (OSError, RunProblem) as error:  # then the folder cannot say how it ended
            _log.error("run %s cannot be written: %r", self.run.id, _explained(error))
            state = "failed"
        finally:
            self._slots.leave(self.run.id)
            self.state = state
            self._copy.close()

    def _train(self, writer: Writer) -> float:
        """Train to the end; return the validation loss on all held-out text. Raises _Stop when told to stop."""
        trainer = self._make_and_restore_trainer(writer)
        progress, saved, interval = iter(trainer), time.monotonic(), checkpoint_seconds()
        try:
            while True:
                self._wait_for_turn(trainer, writer)
                now = next(progress, None)
                if now is None:
                    self._save(trainer, writer)
                    self._set_pause(False, steps=0)  # no step is left to pause at
                    loss = trainer.evaluate(None, lambda: self._wait_for_turn(trainer, writer))
                    if self.warning:  # try once more: without its last weights a run is not finished
                        self.run.save_snapshot(trainer.step, trainer.model.state_dict())
                        self._save_checkpoint(trainer, writer)
                    return loss
                writer.log(now)
                if writer.problem:
                    self._warn(writer.problem)
                if now.step <= 2:
                    writer.flush()  # show the beginning of the curve at once
                self.last_step = now.step
                beats_another = self._beats_another_reference(now.val_loss)
                self._is_finite = math.isfinite(now.train_loss)
                if not self._is_finite:
                    continue  # the trainer raises Diverged next, and these weights are not worth saving
                if beats_another or snapshot_is_due(now.step) or snapshot_is_due(now.step - self._forked_at):
                    self._try_to_save(lambda: self.run.save_snapshot(now.step, trainer.model.state_dict()))  # noqa: B023
                if time.monotonic() - saved >= interval:
                    self._try_to_save(lambda: self._save_checkpoint(trainer, writer))
                    saved = time.monotonic()
        except Diverged:
            raise
        except BaseException:  # stopped, or failed: save what was learned so far
            self._save(trainer, writer)
            raise

    def _make_and_restore_trainer(self, writer: Writer) -> Trainer:
        """The trainer at the newest usable checkpoint. Removes what was logged after it: those steps are made again."""
        info, changes = self.run.read_info(), self.run.changes()
        found = self.run.load_checkpoint()
        if not found and (info.parent or self.run.list_checkpoints()):
            raise self.run.lost_beginning()
        step = found[0].step if found else 0
        config = replayed(info.train, changes, step)  # self.config may hold changes of later steps
        corpus = self.run.load_corpus()
        with _setting_up:
            trainer = self._make_trainer(info.model, config, corpus)
        trainer.to_replay = [change for change in changes if change["step"] > step]
        if old := self.run.load_old_corpus():
            trainer.old_corpus = old.to(trainer.device)
        self._context = determinism_context(info.threads, trainer.device, trainer.world_size)
        notices, differences = [], []
        if found:
            state, then, notices = found
            load_state_dict(trainer, state)
            differences = context_changes(then, self._context)
            self.last_step = step - 1
        self.run.discard(step, writer)
        self.first_step = step
        self._forked_at = info.parent.step if info.parent and info.parent.goes_on else 0
        self._beaten: set[str] = set()
        self._beats_another_reference(self.run.history.read().best)  # only references beaten from now on count
        message = " ".join(notices + differences)
        is_repeatable = info.is_repeatable and trainer.world_size == 1 and not differences
        if (info.message, info.is_repeatable) != (message, is_repeatable):
            self.run.update(message=message, is_repeatable=is_repeatable)
        return trainer

    def _save(self, trainer: Trainer, writer: Writer) -> None:
        """Save a snapshot to look at and a checkpoint to continue from."""
        if not self._is_finite:
            return
        self._try_to_save(lambda: self.run.save_snapshot(trainer.step, trainer.model.state_dict()))
        self._try_to_save(lambda: self._save_checkpoint(trainer, writer))

    def _save_checkpoint(self, trainer: Trainer, writer: Writer) -> None:
        writer.flush()  # steps before a checkpoint are never recomputed
        self.run.save_checkpoint(state_dict(trainer), self._context)

    def _try_to_save(self, save: Callable[[], None]) -> None:
        """Save, or warn: what was saved before is intact, so training continues."""
        try:
            save()
        except OSError as error:
            self._warn(error.strerror or str(error))
        else:
            self.warning = None

    def _warn(self, why: str) -> None:
        self.warning = (
            f"Nothing can be saved now ({why}). Training continues; free some space, or new work will be lost."
        )

    def _wait_for_turn(self, trainer: Trainer, writer: Writer) -> None:
        """Carry out all commands, and return when the next step may be made. Raises _Stop."""
        while True:
            while not self._commands.empty():
                self._commands.get()(trainer, writer)
            if self._stop_reason:
                raise _Stop(self._stop_reason)
            if self.windows.is_abandoned():
                raise _Stop("Stopped because its last window was closed.")
            if self._paused and not self._steps_granted:
                self._slots.leave(self.run.id)
                self._enter("paused", trainer, writer)
            elif not self.waits_for and self._slots.may_train(self.run.id, self.last_step >= _FIRST_STEPS):
                self._after = None
                self._steps_granted = max(0, self._steps_granted - 1)
                self._enter("training", trainer, writer)
                return
            else:
                self._enter("waiting", trainer, writer)
            a_tenth = (self.seconds_to_turn() or 0.0) / 10  # of the expected wait for a slot
            with contextlib.suppress(queue.Empty):
                self._commands.get(timeout=min(_MAX_POLL_SECONDS, max(_MIN_POLL_SECONDS, a_tenth)))(trainer, writer)

    def _enter(self, state: str, trainer: Trainer, writer: Writer) -> None:
        if state == self.state:
            return
        self.state = state
        writer.flush()
        on_disk = "paused" if state == "paused" else "training"  # slots change hands too often to record it
        if self.run.read_info().state != on_disk:
            self._try_to_save(lambda: self.run.update(state=on_disk))
        if state == "paused" and self.last_step >= 0 and self._is_finite:
            self._try_to_save(lambda: self._save_checkpoint(trainer, writer))

    def _set_pause(self, paused: bool, steps: int) -> None:
        self._paused, self._steps_granted = paused, steps

    def _change(self, trainer: Trainer, writer: Writer, live: dict[str, float]) -> None:
        # changes at later steps that a crash undid must not be replayed over this one
        lost = [change for change in trainer.to_replay if "max_steps_before" not in change]
        try:
            writer.event(self.last_step + 1, live, instead_of=lost)
        except OSError as error:  # a change that is not logged could not be replayed after a crash
            why = error.strerror or str(error)
            self.warning = f"{', '.join(live)} did not change: it cannot be saved now ({why}). Free some space first."
            return
        trainer.to_replay = [change for change in trainer.to_replay if change not in lost]
        trainer.change(**live)

    def _beats_another_reference(self, val_loss: float | None) -> bool:
        lines = self.run.read_info().references if val_loss is not None else {}
        beaten = {name for name, loss in lines.items() if val_loss < loss}
        is_news = not beaten <= self._beaten
        self._beaten |= beaten
        return is_news


def _explained(error: Exception) -> str:
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "There was not enough memory. A smaller batch_size, block_size or n_embd needs less."
    if isinstance(error, (RunProblem, TextProblem)):
        return str(error)
    if isinstance(error, OSError):
        return f"The run's folder could not be written: {error.strerror or error}."
    return f"Training failed: {type(error).__name__}: {error}"
