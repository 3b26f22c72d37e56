"""The activations of the feed-forward network. A function here is a choice, a flag and a link value everywhere.

Each takes the hidden layer, a tensor of any shape, and returns one of the same shape. Its docstring explains it on
screen. This module does not import torch, because the settings are shown before torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
"""By name, in the order in which they are offered."""


def activation(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Offer a function as an activation, under its own name."""
    ACTIVATIONS[function.__name__] = function
    return function


@activation
def relu(x: torch.Tensor) -> torch.Tensor:
    """Negative numbers become zero, as in the article."""
    return x.relu()


@activation
def relu2(x: torch.Tensor) -> torch.Tensor:
    """Negative numbers become zero, others are squared (So et al. 2021, Primer)."""
    return x.relu().square()


def explained() -> str:
    """One sentence about each: its docstring, which `python -OO` leaves out."""
    explained = ((name, does.__doc__) for name, does in ACTIVATIONS.items() if does.__doc__)
    return " ".join(f"{name}: {sentence[0].lower()}{sentence[1:]}" for name, sentence in explained)
