"""The colours of every plot, light and dark."""

from __future__ import annotations

# One meaning a colour, safe for the colour-blind (Okabe & Ito 2008); the dark twins keep a contrast of 4.5 or more.
PALETTE = {
    "light": {
        "training": "#0072B2",
        "validation": "#E69F00",
        "reference": "#6B7280",
        "attention": "#009E73",
        "past": "#B0568B",
        "cut": "#C3C7CF",
        "ground": "#FFFFFF",
        "text": "#1F2937",
    },
    "dark": {
        "training": "#4DA6E8",
        "validation": "#E69F00",
        "reference": "#9CA3AF",
        "attention": "#1FC79A",
        "past": "#CC79A7",
        "cut": "#4B5563",
        "ground": "#0E1117",
        "text": "#F3F4F6",
    },
}
