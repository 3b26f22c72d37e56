"""Runs on disk: each is a folder."""

from .catalog import all_runs, create, delete
from .info import RunInfo, RunProblem
from .run import Run

__all__ = ["Run", "RunInfo", "RunProblem", "all_runs", "create", "delete"]
