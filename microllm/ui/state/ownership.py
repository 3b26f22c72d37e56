"""Which runs a window may command, and which it lists."""

from __future__ import annotations

import os

from ...jobs.training import TrainingJob
from ...runs.info import RunProblem
from ...runs.run import Run
from ..server import opened, runner
from .session import session
from .view import job, run, run_id


def keys() -> dict[str, str]:
    """The tokens of the runs that this window owns, by id, to read and to write. The runs keep only a hash of them."""
    return session().owner_keys


def owns(its_id: str | None = None) -> bool:
    """True when this window may command a run (by default the one on show): it started it, or has its owner's link."""
    its_id = its_id or run_id()
    try:
        return its_id in keys() and opened(its_id).read_info().is_owned_with(keys()[its_id])
    except RunProblem:  # deleted, or damaged: nothing is left to command
        return False


def lists_all() -> bool:
    """True when `MICROLLM_LIST` is "all": every window lists every run of this server, as on one's own machine."""
    return os.environ.get("MICROLLM_LIST") == "all"


def lists(its_run: Run) -> bool:
    """True when this window names a run without having its link: its own, and those on texts that everybody has.

    Whoever has the id of a run can open it, so no page gives away another one's.
    """
    return lists_all() or not its_run.read_info().is_private or owns(its_run.id)


def who_sees_own_texts() -> str:
    """A sentence that says who can read a text that a person uploads or pastes here."""
    if lists_all():
        return "Everybody who can open this page can see your text once you train on it: this server lists all runs."
    return (
        "Your text stays private: other people here do not see it in their lists. Whoever you give the link of a run "
        "on it can read it, and so can the operator of this server."
    )


def knows_parent() -> bool:
    """True when this window may say the id of the run from which the one on show was forked."""
    info = run().read_info()
    if not (info.parent and info.has_private_parent):
        return True
    return lists_all() or info.parent.id in session().met_runs or owns(info.parent.id)


def owned_job() -> TrainingJob | None:
    """The training of the run on show, for its owner to command. None in the windows of those who watch.

    Every order goes through here, when it is given and not only when its button is drawn.
    """
    return job() if owns() else None


def jobs() -> list[TrainingJob]:
    """What this window has set going: a run that trains, and perhaps one that waits for the end of it."""
    going = (runner().job(owned) for owned in filter(owns, keys()))
    return sorted(filter(None, going), key=lambda one: one.waits_for is not None)
