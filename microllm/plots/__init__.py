"""Figures from numbers: pure functions without Streamlit."""

from .film import film_data
from .learning_rate import learning_rate_data, learning_rate_spec
from .loss import Mark, OtherRun, loss_data, passed_references
from .timeline import timeline_data

__all__ = [
    "Mark",
    "OtherRun",
    "film_data",
    "learning_rate_data",
    "learning_rate_spec",
    "loss_data",
    "passed_references",
    "timeline_data",
]
