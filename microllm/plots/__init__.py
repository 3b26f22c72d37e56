"""Figures from numbers: pure functions without Streamlit."""

from .learning_rate import learning_rate_data, learning_rate_spec
from .loss import OLD_TEXT, loss_spec
from .loss_data import Mark, loss_data, losses_to_guess, passed_references
from .palette import PALETTE
from .timeline import timeline_data

__all__ = [
    "OLD_TEXT",
    "PALETTE",
    "Mark",
    "learning_rate_data",
    "learning_rate_spec",
    "loss_data",
    "loss_spec",
    "losses_to_guess",
    "passed_references",
    "timeline_data",
]
