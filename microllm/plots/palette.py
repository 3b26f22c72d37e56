"""The colors of every plot, in light and dark mode."""

from __future__ import annotations

# Each color has one meaning, and color-blind people can tell them apart (Okabe & Ito 2008). The dark twins have a
# contrast of at least 4.5.
PALETTE = {
    "light": {
        "training": "#0072B2",
        "validation": "#E69F00",
        "reference": "#6B7280",
        "attention": "#009E73",
        "past": "#B0568B",
        "positive": "#4A4AA8",
        "negative": "#9C5A12",
        "surprisal": "#D55E00",
        "less_surprisal": "#0072B2",
        "ground": "#FFFFFF",
        "text": "#1F2937",
    },
    "dark": {
        "training": "#4DA6E8",
        "validation": "#E69F00",
        "reference": "#9CA3AF",
        "attention": "#1FC79A",
        "past": "#CC79A7",
        "positive": "#A3A3F5",
        "negative": "#D9A05B",
        "surprisal": "#D55E00",
        "less_surprisal": "#4DA6E8",
        "ground": "#0E1117",
        "text": "#F3F4F6",
    },
}


def in_both_modes(name: str) -> dict[str, str]:
    """A color in light and in dark mode, as our components expect it."""
    return {mode: palette[name] for mode, palette in PALETTE.items()}
