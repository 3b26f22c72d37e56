"""Data-parallel training with torchrun: several processes train one model, each on its rows of every batch.

The first process (rank 0) creates or opens the run and writes it. It sends the settings, the text and the state to the
others, which need no disk. If a process dies and torchrun restarts all of them (`--max-restarts`), they continue the
same run. Only the command line imports this module, and only when there are several processes.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

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
    """The Trainer of one of several processes. Each step is taken by all processes or by none.

    A process that should stop appends its reason to `stop_requests`. At the next step all processes are told, and
    `on_stop` is called in each with a reason before that step's Progress is yielded. No process may leave the loop in
    any other way.
    """

    def __init__(self, *settings_and_corpus, stop_requests: list[str], on_stop: Callable[[str], None]) -> None:
        self._stop_requests, self._on_stop = stop_requests, on_stop
        gpu = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None
        super().__init__(
            *settings_and_corpus,
            device=gpu,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
            wrap_model=lambda model: DistributedDataParallel(model, device_ids=gpu and [gpu]),
        )

    def __iter__(self) -> Iterator[Progress]:
        """Start all processes from the state and settings of the first one, which may come from a checkpoint."""
        start = [state_dict(self), self.config, self.to_replay] if self.rank == 0 else [None] * 3
        dist.broadcast_object_list(start, src=0)
        if self.rank > 0:
            state, self.config, self.to_replay = start
            load_state_dict(self, state)
        yield from super().__iter__()

    def _forward(self) -> torch.Tensor:
        """The mean loss over all processes, so that all log the same, with the gradient of this process's rows."""
        loss = super()._forward()
        tally = torch.stack([loss.detach(), loss.new_tensor(len(self._stop_requests))])
        dist.all_reduce(tally)
        total, stop_requests = tally.tolist()
        if stop_requests:
            self._on_stop(self._stop_requests[0] if self._stop_requests else "Stopped by a signal to another process.")
        return loss - loss.detach() + total / self.world_size

    def evaluate(
        self, characters: int | None = EVAL_CHARACTERS, before_each: Callable[[], None] | None = None
    ) -> float:
        """Rank 0 evaluates and sends the loss to all. At the end, on all held-out text, the others have ended."""
        if characters is None:
            return super().evaluate(None, lambda: self._check_stop_requests(before_each))
        score = torch.zeros(1, dtype=torch.float64, device=self.device)
        if self.rank == 0:
            score += super().evaluate(characters, before_each)
        dist.broadcast(score, src=0)
        return score.item()

    def _check_stop_requests(self, before_each: Callable[[], None] | None) -> None:
        for reason in self._stop_requests:
            self._on_stop(reason)
        if before_each:
            before_each()


def take_part(
    make_run: Callable[[], Run], stop_on_signals: Callable[[Callable[[str], None]], None]
) -> TrainingJob | None:
    """Rank 0 returns the job, not yet started; the other processes train with it and return None at the end.

    The run comes from `make_run`; after a restart by torchrun it is the same as before. If `make_run` raises, rank 0
    raises the error, and the others end silently.
    """
    _join()
    stop_requests, parts = [], [None] * 3
    if dist.get_rank() == 0:
        try:
            run = _made_before() or make_run()
            write_atomically(_note(), run.id)
            parts = [run.read_info(), load_text(run.read_info().text.sha256), run.tokenizer]
        finally:
            dist.broadcast_object_list(parts, src=0)
        stop_on_signals(stop_requests.append)
        training = TrainingJob(
            run,
            Slots(count=1),
            make_trainer=lambda *parts: SharedTrainer(*parts, stop_requests=stop_requests, on_stop=training.stop),
        )
        return training
    dist.broadcast_object_list(parts, src=0)
    info, text, tokenizer = parts
    if info is not None:
        stop_on_signals(stop_requests.append)
        torch.set_num_threads(info.threads)
        _follow(info.model, info.train, Corpus(text, tokenizer), stop_requests=stop_requests)
    return None


def leave(job: TrainingJob | None, code: int) -> NoReturn:
    """End this process with an exit code, after training. `job` is what `take_part` returned.

    It does not wait for the interpreter to end: DistributedDataParallel keeps threads of the group until then, and one
    that still frees a tensor would abort the process.
    """
    if job and job.run.read_info().state in ("finished", "stopped"):  # otherwise torchrun may restart all processes
        _note().unlink(missing_ok=True)
    dist.destroy_process_group()
    console.finish()
    os._exit(code)


def _made_before() -> Run | None:
    """The run that these processes trained before torchrun restarted them, if any."""
    if _restarts() == "0":
        _note().unlink(missing_ok=True)  # of an earlier launch that failed
    if not _note().is_file():
        return None
    run = Run.open(_note().read_text())
    console.note(f"{run.read_info().name} ({run.id}): continues after a restart, in {run.folder}")
    return run


def _restarts() -> str:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def _note() -> Path:
    """The file in which rank 0 notes its run for a restart. It is deleted at a normal end."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if launch in ("", "none"):  # the same for all launches that have neither --standalone nor --rdzv-id
        launch = f"{socket.gethostname()} {os.getppid()}"  # torchrun is the parent, and stays when it restarts us
    return runs_dir() / f".torchrun-{hashlib.sha256(launch.encode()).hexdigest()[:16]}"


def _join() -> None:
    if torch.cuda.is_available():
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise ValueError(f"Each process needs its own GPU; this machine has {gpus}.")
        torch.cuda.set_device(place)
    store, rank, world_size = next(rendezvous("env://"))
    store = dist.PrefixStore(_restarts(), store)  # it still holds the addresses of processes before a restart
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    atexit.register(dist.destroy_process_group)


def _follow(*settings_and_corpus, stop_requests: list[str]) -> None:
    stops: list[str] = []
    try:
        for _ in SharedTrainer(*settings_and_corpus, stop_requests=stop_requests, on_stop=stops.append):
            if stops:
                break
    except Diverged:  # rank 0 reports it
        pass
    except RuntimeError as error:  # for example because another process died
        raise RunProblem(f"Process {dist.get_rank()} failed: {error}") from error
