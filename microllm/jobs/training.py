"""Runs that train in this process: a thread each, what a person can tell it, and the end of it."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

import torch

from ..config import with_live_changes
from ..data.decode import TextProblem
from ..environment import checkpoint_seconds
from ..model import MicroLLM
from ..runs.checkpoint import determinism_context, load_state_dict, state_dict
from ..runs.history import replayed
from ..runs.info import RunProblem
from ..runs.metrics import Writer
from ..runs.run import Run
from ..runs.weights import model_from, snapshot_is_due
from ..train import Diverged, Trainer
from .slots import Slots

_POLL, _LONGEST_POLL = 0.05, 0.5
_FIRST_POINTS = 5  # steps after which a curve is one
_log = logging.getLogger(__name__)


_one_at_a_time = threading.Lock()  # when a whole class starts, thirty half-made trainers would hold up every page


class _Stop(Exception):
    """The run is to end now; the sentence says why."""


class TrainingJob:
    """Trains one run in a thread of its own. All public methods may be called from any other thread.

    A run that has a checkpoint goes on from it, as if it had never been interrupted. Orders wait in one queue, which is
    emptied between steps and while the run is paused or waits for its turn. With `grace` seconds, a run that no window
    has held for so long stops; None lets it train unwatched. `make_trainer` makes what trains it, a Trainer or one of
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
        self.config = replayed(run.read_info().train, run.history.changes(), run.read_info().train.max_steps)
        """The configuration with all live changes so far."""
        self.warning: str | None = None
        """What a person should know while training goes on, such as a full disk."""
        self.after = after
        self._slots, self._grace, self._make_trainer = slots, grace, make_trainer
        self._orders: queue.SimpleQueue[Callable[[Trainer, Writer], None]] = queue.SimpleQueue()
        self._stop_reason: str | None = None
        self._end_state = "stopped"
        self._paused, self._steps_granted = False, 0
        self.last_step = -1
        """The last step that was logged."""
        self.first_step: int | None = None
        """The step that it logs first: that of the checkpoint from which it goes on. None until it begins."""
        self._windows: set[str] = set()
        self._last_window_left = time.monotonic()
        self._beaten: set[str] = set()
        self._is_sound = True  # the newest weights are numbers
        self._copy: tuple[int, MicroLLM] | None = None
        self._copy_made = -float("inf")
        self._copy_order: Future | None = None
        self._copy_lock = threading.Lock()
        self._is_over = False

    # ---- what others may ask of it

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
        """Stop after the current step, keep everything, and give the place to somebody else."""
        self._orders.put(lambda *_: self._set_pause(True, steps=0))

    def resume(self) -> None:
        """Go on after a pause."""
        self._orders.put(lambda *_: self._set_pause(False, steps=0))

    def one_step(self) -> None:
        """Make one step, then pause."""
        self._orders.put(lambda *_: self._set_pause(True, steps=self._steps_granted + 1))

    def stop(self, reason: str = "Stopped by hand.", state: str = "stopped") -> None:
        """End the run after the current step, with a checkpoint from which it can go on."""

        def order(*_) -> None:
            self._stop_reason, self._end_state = reason, state

        self._orders.put(order)

    def change(self, **live: float) -> None:
        """Change live settings from the next step on. Raises ValueError at once for a value that is out of range."""
        self.config = with_live_changes(self.run.read_info().model, self.config, live)
        self._orders.put(lambda trainer, writer: self._change(trainer, writer, live))

    def copy(self, max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
        """(step, model): a copy to read from, in eval mode, at most `max_age` seconds old if it comes within `wait`.

        Else the one before; None before the first and after the end. The model that is trained is never handed out.
        """
        with self._copy_lock:
            if self._is_over or time.monotonic() - self._copy_made <= max_age:
                return self._copy
            if self._copy_order is None:
                self._copy_order = Future()
                self._orders.put(lambda trainer, _: self._make_copy(trainer))
            order = self._copy_order
        with contextlib.suppress(NotYet):
            order.result(timeout=wait)
        return self._copy

    def save_now(self, wait: float = 5.0) -> int | None:
        """Keep the weights of this moment, as a snapshot and a checkpoint; the step. None if that takes too long."""
        done: Future[int] = Future()

        def order(trainer: Trainer, writer: Writer) -> None:
            self._keep(trainer, writer)
            done.set_result(trainer.step)

        self._orders.put(order)
        with contextlib.suppress(NotYet):
            return done.result(timeout=wait)
        return None

    def attach_window(self, window: str) -> None:
        """Count `window` among those that keep the run alive."""
        self._windows.add(window)

    def detach_window(self, window: str) -> None:
        """Count `window` no more; with the last one the grace time begins."""
        self._windows.discard(window)
        self._last_window_left = time.monotonic()

    def wait_briefly(self, condition: Callable[[], bool], seconds: float = 0.3) -> None:
        """Wait until `condition` holds or the run is over, `seconds` at most: an order soon shows its effect."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and not condition() and time.monotonic() < deadline:
            time.sleep(0.005)

    @property
    def waits_for(self) -> TrainingJob | None:
        """The training whose end this one waits for; None when it waits for no more than its turn."""
        before = self.after
        return before if before and before.is_alive() else None

    def seconds_to_turn(self) -> float | None:
        """About how long the run waits for its turn; None when it does not wait."""
        return self._slots.seconds_to_turn(self.run.id)

    # ---- the thread

    def _work(self) -> None:
        """Train to the end, and leave the run's folder saying how it ended."""
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
                    if not isinstance(error, (OSError, RunProblem, TextProblem)):  # a fault of ours
                        _log.exception("run %s failed", self.run.id)
                    message = _plain_words(error)
                self.run.update(
                    state=state, message=message or self.run.read_info().message, full_val_loss=full_val_loss
                )
        except (OSError, RunProblem) as error:  # then the folder cannot tell how it ended either
            _log.error("run %s cannot be written: %r", self.run.id, _plain_words(error))
            state = "failed"
        finally:
            self._slots.leave(self.run.id)
            self.state = state
            with self._copy_lock:
                self._is_over, self._copy = True, None
                if self._copy_order:
                    self._copy_order.set_result(None)

    def _train(self, writer: Writer) -> float:
        """All of the run; the loss on all held-out text at its end. Raises _Stop when it is told to."""
        trainer = self._go_on(writer)
        progress, saved, interval = iter(trainer), time.monotonic(), checkpoint_seconds()
        try:
            while True:
                self._wait_for_turn(trainer, writer)
                now = next(progress, None)
                if now is None:
                    self._keep(trainer, writer)
                    self._set_pause(False, steps=0)  # no step is left that could be waited for
                    return trainer.evaluate(None, lambda: self._wait_for_turn(trainer, writer))
                writer.log(now)
                if writer.problem:
                    self._warn(writer.problem)
                if now.step <= 2:
                    writer.flush()  # the curve begins at once
                self.last_step = now.step
                is_news = self._beats_a_reference(now.val_loss)
                self._is_sound = math.isfinite(now.train_loss)
                if not self._is_sound:
                    continue  # Diverged comes next, and weights like these are not worth keeping
                if is_news or snapshot_is_due(now.step):
                    self._try(lambda: self.run.save_snapshot(now.step, trainer.model.state_dict()))  # noqa: B023
                if time.monotonic() - saved >= interval:
                    self._try(lambda: self._save_checkpoint(trainer, writer))
                    saved = time.monotonic()
        except Diverged:
            raise
        except BaseException:  # told to stop, or out of luck: the work so far is kept
            self._keep(trainer, writer)
            raise

    def _go_on(self, writer: Writer) -> Trainer:
        """The trainer, where the newest whole checkpoint left it; what was logged after that is made again."""
        info, changes = self.run.read_info(), self.run.history.read().changes()
        found = self.run.load_checkpoint()
        if not found and (info.parent or self.run.list_checkpoints()):
            raise self.run.lost_beginning()
        step = found[0].step if found else 0
        config = replayed(info.train, changes, step)  # self.config may hold changes that still wait for their step
        corpus = self.run.load_corpus()
        with _one_at_a_time:
            trainer = self._make_trainer(info.model, config, corpus)
        trainer.to_replay = [change for change in changes if change["step"] > step]
        if old := self.run.load_old_corpus():
            trainer.old_corpus = old.to(trainer.device)
        self._here = determinism_context(info.threads, trainer.device, trainer.share[1])
        notices = []
        if found:
            state, there, notices = found
            load_state_dict(trainer, state)
            notices += [
                f"Continues, not bit-identical: {name} was {there[name]}, now it is {now}."
                for name, now in self._here.items()
                if there.get(name, now) != now
            ]
            self.last_step = step - 1
        self.run.discard(step, writer)
        self.first_step = step
        self._beaten = set()
        self._beats_a_reference(self.run.history.read().best)  # what was news before is none now
        if info.message != " ".join(notices):
            self.run.update(message=" ".join(notices))
        return trainer

    def _keep(self, trainer: Trainer, writer: Writer) -> None:
        """Everything that is needed to look at this moment, and to go on from it."""
        if not self._is_sound:
            return
        self._try(lambda: self.run.save_snapshot(trainer.step, trainer.model.state_dict()))
        self._try(lambda: self._save_checkpoint(trainer, writer))

    def _save_checkpoint(self, trainer: Trainer, writer: Writer) -> None:
        writer.flush()  # what was logged before a checkpoint is never made again
        self.run.save_checkpoint(state_dict(trainer), self._here)

    def _try(self, save: Callable[[], None]) -> None:
        """A disk that refuses is no reason to stop: what was kept before is whole, and training goes on."""
        try:
            save()
        except OSError as error:
            self._warn(error.strerror or str(error))
        else:
            self.warning = None

    def _warn(self, why: str) -> None:
        self.warning = f"Nothing can be saved now ({why}). Training goes on; make room, or what is new will be lost."

    def _wait_for_turn(self, trainer: Trainer, writer: Writer) -> None:
        """Obey what was ordered, and return when the next step may be made. Raises _Stop."""
        while True:
            while not self._orders.empty():
                self._orders.get()(trainer, writer)
            if self._stop_reason:
                raise _Stop(self._stop_reason)
            if self._is_abandoned():
                raise _Stop("Stopped because its last window was closed.")
            if self._paused and not self._steps_granted:
                self._slots.leave(self.run.id)
                self._enter("paused", trainer, writer)
            elif not self.waits_for and self._slots.may_train(self.run.id, self.last_step >= _FIRST_POINTS):
                self.after = None
                self._steps_granted = max(0, self._steps_granted - 1)
                self._enter("training", trainer, writer)
                return
            else:
                self._enter("waiting", trainer, writer)
            with contextlib.suppress(queue.Empty):
                self._orders.get(timeout=self._patience())(trainer, writer)

    def _patience(self) -> float:
        """Seconds until it asks for its turn again: the sooner, the nearer that is."""
        return min(_LONGEST_POLL, max(_POLL, (self.seconds_to_turn() or 0.0) / 10))

    def _enter(self, state: str, trainer: Trainer, writer: Writer) -> None:
        if state == self.state:
            return
        self.state = state
        writer.flush()
        on_disk = "paused" if state == "paused" else "training"  # turns change every few seconds and are no news
        if self.run.read_info().state != on_disk:
            self._try(lambda: self.run.update(state=on_disk))
        if state == "paused" and self.last_step >= 0 and self._is_sound:
            self._try(lambda: self._save_checkpoint(trainer, writer))

    def _set_pause(self, paused: bool, steps: int) -> None:
        self._paused, self._steps_granted = paused, steps

    def _change(self, trainer: Trainer, writer: Writer, live: dict[str, float]) -> None:
        # what was changed later on, in the steps that a crash has cost, is not to come back and undo this
        lost = [change for change in trainer.to_replay if "max_steps_before" not in change]
        try:
            writer.event(self.last_step + 1, live, instead_of=lost)
        except OSError as error:  # made without being written down, it could not be made again
            why = error.strerror or str(error)
            self.warning = (
                f"{', '.join(live)} did not change: that cannot be written down now ({why}). Make room first."
            )
            return
        trainer.to_replay = [change for change in trainer.to_replay if change not in lost]
        trainer.change(**live)

    def _make_copy(self, trainer: Trainer) -> None:
        made = self._copy
        if made is None or made[0] != trainer.step:  # a run that waits for its turn is asked again and again
            state = {name: tensor.to("cpu", copy=True) for name, tensor in trainer.model.state_dict().items()}
            made = trainer.step, model_from(state, trainer.model.config, trainer.corpus.vocab_size)
        with self._copy_lock:
            self._copy, self._copy_made = made, time.monotonic()
            order, self._copy_order = self._copy_order, None
        order.set_result(None)

    def _is_abandoned(self) -> bool:
        return self._grace is not None and not self._windows and time.monotonic() - self._last_window_left > self._grace

    def _beats_a_reference(self, val_loss: float | None) -> bool:
        if val_loss is None:
            return False
        beaten = {name for name, loss in self.run.read_info().references.items() if val_loss < loss}
        is_news = not beaten <= self._beaten
        self._beaten |= beaten
        return is_news


def _plain_words(error: Exception) -> str:
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "There was not enough memory. A smaller batch_size, block_size or n_embd needs less."
    if isinstance(error, (RunProblem, TextProblem)):
        return str(error)
    if isinstance(error, OSError):
        return f"The run's folder could not be written: {error.strerror or error}."
    return f"Training broke off: {type(error).__name__}: {error}"
