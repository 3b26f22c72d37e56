"""What a window can do to runs: start, resume, fork, import and delete them.

A second click may arrive before the first command is done. Streamlit then aborts the command at the next call of one of
its functions and handles the new click. So between creating a run and the moment when it trains and this window owns
it, these functions do not call Streamlit.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

from ...config import ModelConfig, TrainConfig, flat, problems
from ...data import texts
from ...data.decode import TextProblem
from ...data.edits import Edit
from ...data.published import PUBLIC_TEXTS
from ...experiments.experiment import Setup
from ...jobs.training import TrainingJob
from ...runs import catalog, importing
from ...runs.fork import fork as make_fork
from ...runs.info import ExperimentEntry, RunProblem
from ...runs.run import Run
from ...runs.twin import twin as make_twin
from .. import server
from ..server import runner
from ..words import duration
from . import draft, navigation, ownership, view, window
from .session import session

_MAX_STEP_SECONDS = 10.0
_SAME_CLICK_SECONDS = 3.0


@contextlib.contextmanager
def _command() -> Iterator[bool]:
    """Run a command of this window. Yields True less than 3 s after the end of the previous one: an accidental double
    click.
    """
    this_window = window.window()
    try:
        yield time.monotonic() - this_window.last_command < _SAME_CLICK_SECONDS
    finally:
        this_window.last_command = time.monotonic()


def start(is_queued: bool = False, setup: Setup | None = None, experiment: ExperimentEntry | None = None) -> None:
    """Start a run of the draft, own it and show it; stop the window's current run.

    With a `setup`, possibly of an `experiment`, it is a run of that instead, and the draft stays as it is. If the new
    run `is_queued`, it starts when the current one ends, and the page keeps showing that one. If it cannot start,
    `session().problem` says why.
    """
    session().problem = None
    try:
        preset, model, train = draft.draft()
        if setup:
            draft.remember_draft(preset, flat(model, train))  # else the controls would follow the run that is shown
            preset, (model, train) = setup.preset, setup.configs
        chosen = draft.public_text(setup.text, setup.how, setup.first) if setup else draft.text()
        if chosen is None:
            name = PUBLIC_TEXTS[setup.text if setup else draft.text_choice()["source"]].name
            raise TextProblem(f"{name} is still downloading. Wait a moment, or choose a built-in text.")
        if found := problems(model, train, chosen.characters):
            raise TextProblem(" ".join(found.values()))
        _check_step_time(model, train, texts.load_corpus(chosen.sha256).vocab_size)
        guess, keys, shown = None if setup else draft.guess(), ownership.keys(), view.run_id()
        with _command() as is_same_click:
            jobs = sorted(ownership.jobs(), key=lambda job: job.run.id != shown)  # one that was replaced may be ending
            same = (job for job in jobs if _matches(job, model, train, chosen, experiment))
            new = next((job.run for job in same if is_same_click or job.last_step < 0), None)
            is_queued = is_queued and bool(jobs)
            if new is None:
                owner_key = secrets.token_urlsafe(16)
                made = catalog.create(
                    model, train, chosen, preset=preset, owner_key=owner_key, guess=guess, experiment=experiment
                )
                keys[made.id] = owner_key
                new = server.opened(made.id)  # the same object writes the run and shows it
                _train(new, jobs, is_queued)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    if not is_queued:
        session().without = ()  # the knocked-out parts belong to the previous run
        navigation.show(new.id)


def _check_step_time(model: ModelConfig, train: TrainConfig, vocab_size: int) -> None:
    """Raises ValueError if a step or a validation check would take over 10 s: other people's runs would wait for it."""
    if (speed := server.speed()) is None:
        return
    seconds = speed.seconds_per_step(model, train, vocab_size)
    if (check := speed.seconds_per_check(model, train, vocab_size)) > _MAX_STEP_SECONDS:
        raise ValueError(
            f"One validation check of this model would take about {duration(check)} on this server. The limit is "
            f"{duration(_MAX_STEP_SECONDS)}, because other people's runs wait during it. Choose a smaller n_embd, "
            "n_layer or block_size."
        )
    if seconds > _MAX_STEP_SECONDS:
        fits = int(train.batch_size * _MAX_STEP_SECONDS / seconds)
        remedy = f"batch_size {fits} would fit." if fits else "Choose a smaller n_embd, n_layer or block_size."
        raise ValueError(
            f"One step of this model would take about {duration(seconds)} on this server. The limit is "
            f"{duration(_MAX_STEP_SECONDS)}, because other people's runs wait during a step. {remedy}"
        )


def _matches(
    job: TrainingJob, model: ModelConfig, train: TrainConfig, text: texts.Text, experiment: ExperimentEntry | None
) -> bool:
    info = job.run.read_info()
    return (info.model, info.train, info.text.sha256, info.experiment) == (model, train, text.sha256, experiment)


def resume(run_id: str, max_steps: int | None = None) -> None:
    """Resume the run with this id, if this window shows and owns it. A finished run continues up to `max_steps`.

    If it cannot, `session().problem` says why.
    """
    session().problem = None
    if run_id != view.run_id() or not ownership.owns():  # the click may come from a page that showed another run
        return
    try:
        run, job, jobs = view.run(), view.job(), ownership.jobs()
        if job is None:  # else this is a second click
            run.check_what_it_needs()  # report missing files now rather than in a failed run
            _check_step_time(run.read_info().model, run.read_info().train, run.tokenizer.vocab_size)
            if max_steps is not None:
                run.extend(max_steps)
            _train(run, jobs)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    navigation.choose_moment(None)


def fork(run_id: str, step: int | None, text: texts.Text | None, changes: dict[str, float], silenced: str = "") -> None:
    """Start a fork of the run with this id from its weights at `step` (None: now), own it and show it.

    The heads named in `silenced` are silent in it. If it cannot start, `session().problem` says why.
    """
    session().problem = None
    keys = ownership.keys()
    try:
        parent = server.opened(run_id)
        with _command() as is_same_click:
            jobs = ownership.jobs()
            new = next((job.run for job in jobs if is_same_click and _is_child(job, parent)), None)
            if new is None:
                _check_step_time(parent.read_info().model, parent.read_info().train, parent.tokenizer.vocab_size)
                if step is None and (job := next((other for other in jobs if other.run.id == parent.id), None)):
                    step = job.save_now()
                owner_key = secrets.token_urlsafe(16)
                at = parent.newest_snapshot() if step is None else step
                made = make_fork(parent, at, text, owner_key, silenced=silenced, **changes)
                keys[made.id] = owner_key
                new = server.opened(made.id)
                _train(new, jobs)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    navigation.show(new.id)


def _is_child(job: TrainingJob, parent: Run) -> bool:
    origin = job.run.read_info().parent
    return origin is not None and origin.id == parent.id


def twin(run_id: str, edit: Edit | None) -> None:
    """Start a twin of the run with this id (see runs/twin.py), own it and show it.

    If this window trains a run, the twin is queued after it instead. If it cannot start, `session().problem` says why.
    """
    session().problem = None
    keys = ownership.keys()
    try:
        original = server.opened(run_id)
        with _command() as is_same_click:
            jobs = ownership.jobs()
            if is_same_click and any(_is_twin(job, original, edit) for job in jobs):
                return
            info = original.read_info()
            _check_step_time(info.model, info.train, original.tokenizer.vocab_size)
            owner_key = secrets.token_urlsafe(16)
            made = make_twin(original, edit, owner_key)
            keys[made.id] = owner_key
            new = server.opened(made.id)
            _train(new, jobs, is_queued=bool(jobs))
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    session().awaited_twins = {new.id, *(job.run.id for job in jobs)}
    if not jobs:
        navigation.show(new.id)


def _is_twin(job: TrainingJob, original: Run, edit: Edit | None) -> bool:
    its = job.run.read_info().twin
    return its is not None and (its.id, its.edit) == (original.id, edit)


def _train(run: Run, jobs: list[TrainingJob], is_queued: bool = False) -> None:
    """Train a run of this window, which has these jobs. A window trains one run at a time and queues one more."""
    others = [job for job in jobs if job.run.id != run.id]
    queue = [job for job in others if job.waits_for]
    current = next((job for job in others if job not in queue), None)
    new = runner().start(run, after=current if is_queued else None)
    window.window().hold(new)
    if not is_queued:  # before the current run stops: otherwise a queued one could start
        for job in queue:
            job.wait_for(new)
    for job in queue if is_queued else [current] if current else []:
        job.stop("Stopped because a new run was started.")


def import_run(packed: bytes) -> str | None:
    """Import a zipped run, own it and show it. Returns a sentence if the zip is refused, else None."""
    keys, owner_key = ownership.keys(), secrets.token_urlsafe(16)
    try:
        new = importing.import_run(packed, owner_key)
    except (RunProblem, OSError) as problem:
        return str(problem)
    keys[new.id] = owner_key
    navigation.show(new.id)
    return None


def delete(run_id: str) -> None:
    """Delete the run with this id permanently, if this window shows and owns it and it is not training."""
    if run_id != view.run_id() or not ownership.owns() or view.job():
        return
    try:
        catalog.delete(view.run())
    except (RunProblem, OSError) as problem:
        session().problem = str(problem)
        return
    navigation.forget()
    draft.forget_texts()  # its text may have been deleted with it
