"""List runs, damaged ones among them."""

from __future__ import annotations

import itertools
import os

from ..environment import runs_dir
from .info import RunInfo, RunProblem
from .run import _ID, Run


def all_runs() -> list[Run]:
    """Every run that can be opened, the newest first."""
    return runs_and_damaged()[0]


def runs_and_damaged() -> tuple[list[Run], list[str]]:
    """(every run that can be opened, the newest first; the ids of those that cannot): none hides the others."""
    opened, damaged = _infos_and_damaged()
    return [run for _, run in sorted(opened, key=lambda one: one[0].created, reverse=True)], sorted(damaged)


def _infos_and_damaged() -> tuple[list[tuple[RunInfo, Run]], list[str]]:
    """What each run said when it was looked at, for it may be gone at once; and the ids of those that say nothing."""
    opened, damaged, folder = [], [], runs_dir()
    for run_id in _ids():
        run = Run(folder / run_id)
        try:
            run._check()
            opened.append((run.info, run))
        except RunProblem:
            if _is_there(run_id):
                damaged.append(run_id)
    return opened, damaged


def _ids() -> list[str]:
    """The names in the folder of runs that are ids of runs. Nothing of what they name was looked at yet."""
    try:
        return [name for name in os.listdir(runs_dir()) if _ID.fullmatch(name)]
    except OSError:  # none yet
        return []


def _is_there(run_id: str) -> bool:
    """False for a folder without a run.json, such as one that is being made or deleted, and for a file."""
    folder = runs_dir() / run_id
    try:
        os.lstat(folder / "run.json")
    except (FileNotFoundError, NotADirectoryError):
        return folder.is_symlink()  # to a place that is not there
    except OSError:  # nobody may look
        pass
    return True


def free_name(name: str) -> str:
    """The name, with a number after it when a run has it already: names are what people tell runs apart by."""
    taken = {info.name for info, _ in _infos_and_damaged()[0]}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)
