"""Which runs a window may control, and which it lists."""

from __future__ import annotations

from ...environment import lists_all_runs
from ...jobs.training import TrainingJob
from ...runs.info import RunProblem
from ...runs.run import Run
from ..server import opened, runner
from .session import session
from .view import job, run
from .view import run_id as shown_id


def keys() -> dict[str, str]:
    """The owner keys of this window by run id, to read and to change. A run stores only a hash of its key."""
    return session().owner_keys


def owns(run_id: str | None = None) -> bool:
    """True when this window may control a run (by default the displayed one): it started it or has its owner's link."""
    run_id = run_id or shown_id()
    try:
        return run_id in keys() and opened(run_id).read_info().is_owned_with(keys()[run_id])
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
    """True when this window may reveal the id of the run from which the displayed one was forked."""
    info = run().read_info()
    if not (info.parent and info.has_private_parent):
        return True
    return lists_all_runs() or info.parent.id in session().met_runs or owns(info.parent.id)


def owned_job() -> TrainingJob | None:
    """The training job of the displayed run, for its owner to control. None in other people's windows.

    Every command goes through here when it is given, not only when its button is drawn.
    """
    return job() if owns() else None


def jobs() -> list[TrainingJob]:
    """The training jobs that this window owns: one that trains first, then one that is queued after it."""
    owned = (runner().job(run_id) for run_id in filter(owns, keys()))
    return sorted(filter(None, owned), key=lambda job: job.waits_for is not None)
