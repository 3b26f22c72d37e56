"""Which runs a window may control, and which it lists."""

from __future__ import annotations

from typing import Any

from ...environment import lists_all_runs
from ...jobs.training import TrainingJob
from ...runs.info import ACTIVE, RunInfo, RunProblem
from ...runs.run import ID_PATTERN, Run
from ..server import opened, runner
from .session import session
from .view import job, run
from .view import run_id as shown_id
from .window import window

_MAX_KEYS = 200  # taken from a browser; the same number is in components/storage.js
_MAX_KEY_CHARACTERS = 100


def keys() -> dict[str, str]:
    """The owner keys of this window by run id, to read and to change. A run stores only a hash of its key."""
    return session().owner_keys


def take_key(run_id: str, owner_key: str) -> bool:
    """Own this run if this is its key, and return whether it is. Raises RunProblem if the run is missing or damaged."""
    is_right = opened(run_id).read_info().is_owned_with(owner_key)
    if is_right:
        keys()[run_id] = owner_key
    return is_right


def take_keys(told: Any) -> str | None:
    """Own the runs whose keys the browser sent: pairs of id and key, the newest last.

    A key that fits no run here stays in the browser: another folder of runs may be used at the same address, and a
    damaged run may be repaired.

    Returns the id of the run to show to a returning person: one that trains, else one that waits, else the newest.
    """
    found: list[tuple[str, RunInfo]] = []
    for run_id, owner_key in filter(_is_pair, told[-_MAX_KEYS:] if isinstance(told, list) else []):
        if run_id in keys():  # this window has a newer key, from a link
            continue
        try:
            info = Run.open(run_id).read_info()
            if not info.is_owned_with(owner_key):
                continue
            found.append((run_id, info))
        except RunProblem:  # `owns` asks again
            pass
        keys()[run_id] = owner_key
        session().stored_keys.add(run_id)
    return max(found, key=_rank, default=(None, None))[0]


def _is_pair(told: Any) -> bool:
    """True for a possible run id and key. The id reveals nothing: only the right key counts."""
    if not (isinstance(told, list) and len(told) == 2 and all(isinstance(part, str) for part in told)):
        return False
    return ID_PATTERN.fullmatch(told[0]) is not None and len(told[1]) <= _MAX_KEY_CHARACTERS


def _rank(found: tuple[str, RunInfo]) -> tuple:
    run_id, info = found
    training = runner().job(run_id)
    return info.state in ACTIVE, not (training and training.waits_for), info.created


def drop_key(run_id: str) -> None:
    """Stop owning a deleted run, in this window and in its browser."""
    keys().pop(run_id, None)
    session().deleted_runs.add(run_id)


def owns(run_id: str | None = None) -> bool:
    """True when this window may control a run (by default the displayed one): its browser has the run's key."""
    run_id = run_id or shown_id()
    try:
        return run_id in keys() and opened(run_id).read_info().is_owned_with(keys()[run_id])
    except RunProblem:  # deleted or damaged
        return False


def is_unknown() -> bool:
    """True while the displayed run may be this person's own, because the browser has not sent its keys yet."""
    try:
        return session().browser_keeps is None and not owns() and bool(run().read_info().owner)
    except RunProblem:  # deleted or damaged
        return False


def lists(run: Run) -> bool:
    """True when this window may list a run without having its link: its own runs, and runs on public texts.

    Anyone who has the id of a run can open it, so no page may reveal the id of a private one.
    """
    return lists_all_runs() or not run.read_info().is_private or owns(run.id)


def who_sees_own_texts() -> str:
    """A sentence that says who can read a text that a person uploads or pastes here."""
    if lists_all_runs():
        return "This server lists all runs: once you train on your text, everyone who can open this page can see it."
    return (
        "Your text is private: other people do not see it in their lists. Anyone with the link to a run on it can read "
        "it, and so can the operator of this server."
    )


def knows_parent() -> bool:
    """True when this window may reveal the id of the parent or original of the displayed fork or twin."""
    info = run().read_info()
    if lists_all_runs() or not info.has_private_parent:
        return True
    run_id = (info.parent or info.twin).id
    return run_id in session().met_runs or owns(run_id)


def owned_job() -> TrainingJob | None:
    """The training job of the displayed run, for its owner to control. None in other people's windows.

    Every command goes through here when it is given, not only when its button is drawn.
    """
    return job() if owns() else None


def jobs() -> list[TrainingJob]:
    """The training jobs of this window that it owns: one that trains first, then one that is queued after it.

    All tabs of a browser share its keys, but not their jobs: a start in one tab does not stop the run of another.
    """
    held = map(runner().job, filter(window().holds, keys()))
    owned = [training for training in held if training and owns(training.run.id)]
    return sorted(owned, key=lambda training: training.waits_for is not None)


def hold_abandoned() -> None:
    """Keep this person's training jobs alive if no window holds them, because theirs was closed or reloaded."""
    for training in filter(None, map(runner().job, keys())):
        if not training.windows and owns(training.run.id):
            window().hold(training)
