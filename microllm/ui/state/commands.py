"""What a window orders: to start a run, to go on with one, to fork, take in or delete it.

The next click may come before an order is carried out. Streamlit then leaves the order wherever that asks it for
anything, and turns to the click. So nothing is asked between the making of a run and the moment at which it trains and
is the window's own.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

from ...config import ModelConfig, TrainConfig, problems
from ...data import texts
from ...data.decode import TextProblem
from ...data.gutenberg import BOOK
from ...jobs.training import TrainingJob
from ...runs import catalog, importing
from ...runs.fork import fork as make_fork
from ...runs.info import RunProblem
from ...runs.run import Run
from .. import server
from ..server import runner
from . import draft, navigation, ownership, view, window
from .session import session

_LONGEST_STEP = 10.0  # seconds
_ONE_CLICK = 3.0  # seconds after a click on Start in which the next is none


@contextlib.contextmanager
def _order() -> Iterator[bool]:
    """Carry out an order of this window. True when it comes so soon after the one before, however long that took, that
    it is the same click: two, or ten, where one was meant."""
    this_window = window.window()
    try:
        yield time.monotonic() - this_window.ordered < _ONE_CLICK
    finally:
        this_window.ordered = time.monotonic()


def start(is_queued: bool = False) -> None:
    """Start a run of the draft on the chosen text, own it, and look at it. What this window trains already is stopped;
    if the new one `is_queued`, it begins when that is over, and the page stays where it is.

    What stands in the way is left in `session().problem` for the page to show.
    """
    session().problem = None
    try:
        preset, model, train = draft.draft()
        chosen = draft.text()
        if chosen is None:
            raise TextProblem(f"{BOOK} is still on its way: a moment, please, or choose a built-in text.")
        if found := problems(model, train, chosen.characters):
            raise TextProblem(" ".join(found.values()))
        _check_step_time(model, train, texts.load_corpus(chosen.sha256).vocab_size)
        guess, keys = draft.guess(), ownership.keys()
        with _order() as is_same_click:
            going = ownership.jobs()
            same = (it for it in going if _matches(it, model, train, chosen))
            new = next((it.run for it in same if is_same_click or it.last_step < 0), None)
            is_queued = is_queued and bool(going)
            if new is None:
                owner_key = secrets.token_urlsafe(16)
                made = catalog.create(model, train, chosen, preset=preset, owner_key=owner_key, guess=guess)
                keys[made.id] = owner_key
                new = server.opened(made.id)  # one object to write and to look at
                _train(new, going, is_queued)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    if not is_queued:
        navigation.show(new.id)


def _check_step_time(model: ModelConfig, train: TrainConfig, vocab_size: int) -> None:
    """Raises ValueError for a run whose steps would keep everybody else waiting: turns change between steps only."""
    speed = server.speed()
    if speed and (seconds := speed.seconds_per_step(model, train, vocab_size)) > _LONGEST_STEP:
        fits = int(train.batch_size * _LONGEST_STEP / seconds)
        cure = f"batch_size {fits} would fit" if fits else "choose a smaller n_embd, n_layer or block_size"
        raise ValueError(
            f"One step of this model would take about {seconds:.0f} s on this server, and others wait for their turn "
            f"that long: at most {_LONGEST_STEP:.0f} s. Here {cure}."
        )


def _matches(going: TrainingJob, model: ModelConfig, train: TrainConfig, text: texts.Text) -> bool:
    info = going.run.read_info()
    return (info.model, info.train, info.text.sha256) == (model, train, text.sha256)


def resume(its_id: str, max_steps: int | None = None) -> None:
    """Resume the run with this id, if this window shows and owns it; a finished one up to `max_steps`.

    What stands in the way is left in `session().problem` for the page to show.
    """
    session().problem = None
    if its_id != view.run_id() or not ownership.owns():  # a button of the page before may be clicked
        return
    try:
        run, job, going = view.run(), view.job(), ownership.jobs()
        if job is None:  # else this is a second click
            run.check_what_it_needs()  # what is gone is named here, not in a run that fails
            _check_step_time(run.read_info().model, run.read_info().train, run.tokenizer.vocab_size)
            if max_steps is not None:
                run.extend(max_steps)
            _train(run, going)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    navigation.choose_moment(None)


def fork(its_id: str, step: int | None, text: texts.Text | None, changes: dict[str, float]) -> None:
    """Start a fork of the run with this id from the weights of `step` (None: of this moment), own it, and look at it.

    What stands in the way is left in `session().problem` for the page to show.
    """
    session().problem = None
    keys = ownership.keys()
    try:
        parent = server.opened(its_id)
        with _order() as is_same_click:
            going = ownership.jobs()
            new = next((it.run for it in going if is_same_click and _is_child(it, parent)), None)
            if new is None:
                _check_step_time(parent.read_info().model, parent.read_info().train, parent.tokenizer.vocab_size)
                if step is None and (job := next((it for it in going if it.run.id == parent.id), None)):
                    step = job.save_now()
                owner_key = secrets.token_urlsafe(16)
                made = make_fork(parent, parent.newest_snapshot() if step is None else step, text, owner_key, **changes)
                keys[made.id] = owner_key
                new = server.opened(made.id)
                _train(new, going)
    except (ValueError, OSError) as error:
        session().problem = str(error)
        return
    navigation.show(new.id)


def _is_child(going: TrainingJob, parent: Run) -> bool:
    origin = going.run.read_info().parent
    return origin is not None and origin.id == parent.id


def _train(run: Run, going: list[TrainingJob], is_queued: bool = False) -> None:
    """Train a run of this window, in which all these are `going`: it trains one at a time, and lets one wait."""
    others = [one for one in going if one.run.id != run.id]
    queue = [one for one in others if one.waits_for]
    current = next((one for one in others if one not in queue), None)
    new = runner().start(run, after=current if is_queued else None)
    window.window().hold(new)
    if not is_queued:  # before the current one stops: else a waiting run could begin
        for one in queue:
            one.wait_for(new)
    for one in queue if is_queued else [current] if current else []:
        one.stop("Stopped because a new run was started.")


def import_run(packed: bytes) -> str | None:
    """Keep a run that somebody packed, own it, and look at it; or the sentence that says why it is refused."""
    keys, owner_key = ownership.keys(), secrets.token_urlsafe(16)
    try:
        new = importing.import_run(packed, owner_key)
    except (RunProblem, OSError) as problem:
        return str(problem)
    keys[new.id] = owner_key
    navigation.show(new.id)
    return None


def delete(its_id: str) -> None:
    """Remove the run with this id for good, if this window shows and owns it and it does not train."""
    if its_id != view.run_id() or not ownership.owns() or view.job():
        return
    try:
        catalog.delete(view.run())
    except (RunProblem, OSError) as problem:
        session().problem = str(problem)
        return
    navigation.forget()
    draft.forget_texts()  # its own may be gone with it
