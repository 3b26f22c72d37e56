"""The course of a run: how it began and what was changed since, so that a program can repeat its steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..config import LIVE, TrainConfig
from ..data.edits import Edit
from ..runs.history import replayed
from ..runs.info import RunProblem
from ..runs.run import Run

_CAN_CHANGE = (*LIVE, "max_steps")
_INSTEAD = (
    "Export its weights instead, or fork it at an earlier moment: such a fork begins with the weights alone, and has a "
    "script."
)
_MAX_FORKS = 100  # of forks; an imported run may even name itself as its parent


@dataclass(frozen=True)
class Course:
    """`train` are the settings at `first_step`, and `changes` those of later steps (see Trainer.to_replay).

    `fork` is the run that began at that step with the weights of another run, which are in its first snapshot; None if
    the first weights were random. If that fork silenced heads and kept the state of the optimizers, the course begins
    at step 0 nevertheless, with the heads in `silent_before` silent (as in ModelConfig) until `first_step`. `edit` is
    the change made to the text, if any.
    """

    first_step: int
    train: TrainConfig
    changes: list[dict[str, Any]]
    fork: Run | None
    edit: Edit | None
    silent_before: str | None = None


def course(run: Run, forks: int = 0) -> Course:
    """The course of a run. If a fork kept the state of the optimizers, its course begins where its parent began.

    Raises RunProblem for such a fork if its parent is not here, or if it silenced heads and its parent's course begins
    with the weights of a fork, too: a course has one file of weights. `forks` counts the forks that led here from the
    run that was asked for.
    """
    info = run.read_info()
    parent = info.parent
    first = parent.step if parent and parent.goes_on else 0
    train = replayed(info.train, run.changes(), first)
    changes = [_again(change) for change in run.changes() if change["step"] > first]
    if not (parent and parent.has_memory):
        return Course(first, train, changes, run if parent else None, _edit(run, forks))
    try:
        original = _parent(run, forks)
        before = course(original, forks + 1)
        if parent.silenced and before.fork:
            raise RunProblem(f"{info.name} silenced heads of a fork.")
    except RunProblem as problem:
        raise RunProblem(
            f"{info.name} kept the optimizers' state of the run that it was forked from. That state is not exported, "
            f"and here the steps that led to it cannot be repeated. {_INSTEAD}"
        ) from problem
    forked = {"step": first} | {name: getattr(train, name) for name in _CAN_CHANGE}
    earlier = [change | {"stop_at_loss": 0.0} for change in before.changes if change["step"] < first]
    if parent.silenced:
        before = replace(before, first_step=first, fork=run, silent_before=original.read_info().model.silenced)
    return replace(
        before,
        train=replace(before.train, eval_interval=train.eval_interval, stop_at_loss=0.0),  # the parent did not stop
        changes=[*earlier, forked, *changes],
    )


def _again(change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in change.items() if name in ("step", *_CAN_CHANGE)}


def _parent(run: Run, forks: int) -> Run:
    if forks >= _MAX_FORKS:
        raise RunProblem(f"{run.read_info().name} is at the end of too many forks.")
    return Run.open(run.read_info().parent.id)


def _edit(run: Run, forks: int) -> Edit | None:
    """The edit in the text that a run learned; for a fork on the same text, that of its parent, if it is here."""
    info = run.read_info()
    if not (info.parent and info.parent.goes_on):
        return info.edit
    try:
        return _edit(_parent(run, forks), forks + 1)
    except RunProblem:
        return None
