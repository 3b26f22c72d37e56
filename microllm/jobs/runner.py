"""All runs that train in this process."""

from __future__ import annotations

import atexit
import threading
import time
from weakref import WeakValueDictionary

from ..model import MicroLLM
from ..runs.run import Run
from .slots import Slots
from .training import TrainingJob


class Runner:
    """All runs that train in this process. It stops them when the program ends."""

    def __init__(self, slots: Slots | None = None, grace: float | None = None) -> None:
        self.slots, self._grace = slots or Slots(), grace
        self._jobs = WeakValueDictionary[str, TrainingJob]()  # a finished job is dropped with its last user
        self._lock = threading.Lock()
        self.trained: set[str] = set()
        """The ids of all runs that have trained in this process, and so at the speed of this machine."""
        atexit.register(self.close)

    def start(self, run: Run, after: TrainingJob | None = None) -> TrainingJob:
        """Train a run, after the job `after` if given. Returns the existing job if it is trained here already."""
        with self._lock:
            if job := self.job(run.id):
                return job
            job = self._jobs[run.id] = TrainingJob(run, self.slots, self._grace, after=after)
            job.start()
            self.trained.add(run.id)
            return job

    def job(self, run_id: str) -> TrainingJob | None:
        """The job that trains a run in this process, or None."""
        job = self._jobs.get(run_id)
        return job if job and job.is_alive() else None

    def is_training(self) -> bool:
        """True while a run trains in this process."""
        return any(job.state == "training" and job.is_alive() for job in [*self._jobs.values()])

    def model_now(self, run: Run, max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
        """(step, model) of a run now: a copy of the model in training (see TrainingJob.copy), or its newest snapshot.

        None if there is neither. Raises weights.WeightsProblem.
        """
        if (job := self.job(run.id)) and (copy := job.copy(max_age, wait)):
            return copy
        steps = run.list_snapshots()
        return (steps[-1], run.model_at(steps[-1])) if steps else None

    def close(self, seconds: float = 8.0) -> None:
        """Stop all runs, and wait at most `seconds` for their threads."""
        atexit.unregister(self.close)
        deadline, jobs = time.monotonic() + seconds, [*self._jobs.values()]
        for job in jobs:
            job.stop("The program that trained it was ended.", state="interrupted")
        for job in jobs:
            job.join(max(0.0, deadline - time.monotonic()))
