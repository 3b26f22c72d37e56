"""Several processes that train one model together, as torchrun starts them: each learns from its share of every batch.

The first makes or opens the run and writes it; the others need no disk, they are told the settings, the text and where
to begin. When one of them dies and torchrun starts all again (`--max-restarts`), they go on with the same run. Nothing
else imports this module: one process alone needs none of it.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from .. import console
from ..corpus import EVAL_CHARACTERS, Corpus
from ..data.store import load_text
from ..environment import runs_dir
from ..runs.checkpoint import load_state_dict, state_dict
from ..runs.info import RunProblem
from ..runs.run import Run
from ..storage import write_atomically
from ..train import Diverged, Progress, Trainer
from .slots import Slots
from .training import TrainingJob


class SharedTrainer(Trainer):
    """One process's part of a Trainer: iterated in all of them, it makes each step in all of them or in none.

    A process that wants to end adds its reason to `wishes`; at the next step all agree, and `on_stop` is called in each
    with a reason before that step's Progress is out. No process may leave the loop for another reason.
    """

    def __init__(self, *settings_and_corpus, wishes: list[str], on_stop: Callable[[str], None]) -> None:
        self._wishes, self._on_stop = wishes, on_stop
        gpu = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None
        super().__init__(
            *settings_and_corpus,
            device=gpu,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
            wrap_model=lambda model: DistributedDataParallel(model, device_ids=gpu and [gpu]),
        )

    def __iter__(self) -> Iterator[Progress]:
        """All begin where the first process stands: at a checkpoint, if it has one, with its settings of that step."""
        told = [state_dict(self), self.config, self.to_replay] if self.rank == 0 else [None] * 3
        dist.broadcast_object_list(told, src=0)
        if self.rank > 0:
            state, self.config, self.to_replay = told
            load_state_dict(self, state)
        yield from super().__iter__()

    def _forward(self) -> torch.Tensor:
        """The loss on the whole batch, with the gradient of this process's share: all log, and fear, the same."""
        loss = super()._forward()
        tally = torch.stack([loss.detach(), loss.new_tensor(len(self._wishes))])
        dist.all_reduce(tally)
        total, wishes = tally.tolist()
        if wishes:
            self._on_stop(self._wishes[0] if self._wishes else "Stopped by a signal to another of its processes.")
        return loss - loss.detach() + total / self.world_size

    def evaluate(
        self, characters: int | None = EVAL_CHARACTERS, before_each: Callable[[], None] | None = None
    ) -> float:
        """The first process scores and tells the others; at the very end, on all held-out text, they have finished."""
        if characters is None:
            return super().evaluate(None, lambda: self._obey_alone(before_each))
        score = torch.zeros(1, dtype=torch.float64, device=self.device)
        if self.rank == 0:
            score += super().evaluate(characters, before_each)
        dist.broadcast(score, src=0)
        return score.item()

    def _obey_alone(self, before_each: Callable[[], None] | None) -> None:
        for wish in self._wishes:
            self._on_stop(wish)
        if before_each:
            before_each()


def take_part(
    make_run: Callable[[], Run], stop_on_signals: Callable[[Callable[[str], None]], None]
) -> TrainingJob | None:
    """In the first process the training of a run, to be started; in the others None, when all is over.

    It is the run that `make_run` makes or opens, or after a restart by torchrun the one of before. What `make_run`
    raises in the first process is raised there alone; the others end in silence.
    """
    _join()
    wishes, told = [], [None] * 3
    if dist.get_rank() == 0:
        try:
            run = _made_before() or make_run()
            write_atomically(_note(), run.id)
            atexit.register(_forget, run)
            told = [run.read_info(), load_text(run.read_info().text.sha256), run.tokenizer]
        finally:
            dist.broadcast_object_list(told, src=0)
        stop_on_signals(wishes.append)
        training = TrainingJob(
            run,
            Slots(count=1),
            make_trainer=lambda *parts: SharedTrainer(*parts, wishes=wishes, on_stop=training.stop),
        )
        return training
    dist.broadcast_object_list(told, src=0)
    info, text, tokenizer = told
    if info is not None:
        stop_on_signals(wishes.append)
        torch.set_num_threads(info.threads)
        _follow(info.model, info.train, Corpus(text, tokenizer), wishes=wishes)
    return None


def _made_before() -> Run | None:
    """The run that these processes trained before torchrun started them again."""
    if _restarts() == "0" or not _note().is_file():
        return None
    run = Run.open(_note().read_text())
    console.note(f"{run.read_info().name} ({run.id}): goes on after a restart, in {run.folder}")
    return run


def _restarts() -> str:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def _forget(run: Run) -> None:
    if run.read_info().state in ("finished", "stopped"):  # else torchrun may start all again
        _note().unlink(missing_ok=True)


def _note() -> Path:
    """The file in which the first process notes its run for the time after a restart; gone when it ends well."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return runs_dir() / f".torchrun-{hashlib.sha256(launch.encode()).hexdigest()[:16]}"


def _join() -> None:
    if torch.cuda.is_available():
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise ValueError(f"Each process needs a GPU of its own, and here is no more than {gpus}.")
        torch.cuda.set_device(place)
    store, rank, world_size = next(rendezvous("env://"))
    store = dist.PrefixStore(_restarts(), store)  # after a restart the addresses of the dead still stand in it
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    atexit.register(dist.destroy_process_group)


def _follow(*settings_and_corpus, wishes: list[str]) -> None:
    stops: list[str] = []
    try:
        for _ in SharedTrainer(*settings_and_corpus, wishes=wishes, on_stop=stops.append):
            if stops:
                break
    except Diverged:  # the first process says so
        pass
    except RuntimeError as error:  # as when another process is gone
        raise RunProblem(f"Process {dist.get_rank()} broke off: {error}") from error
