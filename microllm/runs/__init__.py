"""Runs on disk: each is a folder."""

from __future__ import annotations

import importlib
from typing import Any

# Imported on first use: what a fresh server shows first (history.py, gallery.py) does not need torch.
_HOMES = {
    "catalog": ("all_runs", "create", "delete"),
    "info": ("RunInfo", "RunProblem"),
    "run": ("Run",),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
