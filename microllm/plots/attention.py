"""Attention in pictures: the heatmap of one head, its shares by distance, and the bytes that our components draw."""

from __future__ import annotations

import html
import math
from typing import Any

import pandas
import plotly.graph_objects as go
import torch
from torch.nn import functional

from ..tokenizer import visible_alone
from .packing import in_base64
from .palette import PALETTE

_COLOR_STEPS = 16


def _heat_scale(mode: str) -> list[list[Any]]:
    """Colors by the square root of a share, as our components draw them (glow.js), so that 1 % is visible."""
    ground, full = (_rgb(PALETTE[mode][name]) for name in ("ground", "attention"))
    scale = []
    for i in range(_COLOR_STEPS + 1):
        mixed = [round(low + (high - low) * i / _COLOR_STEPS) for low, high in zip(ground, full, strict=True)]
        scale.append([(i / _COLOR_STEPS) ** 2, "rgb({}, {}, {})".format(*mixed)])
    return scale


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))


def _literal(text: str) -> str:
    """Text for Plotly, which would treat <b> as markup."""
    return html.escape(visible_alone(text))


def attention_figure(pattern: torch.Tensor, sentence: str, mode: str, *, causal: bool = True) -> go.Figure:
    """The heatmap of one head, `pattern` (N, N): each row is a character, its columns the characters it attends to."""
    if causal:  # NaN: nothing is drawn in the masked half
        pattern = pattern.masked_fill(torch.ones_like(pattern, dtype=torch.bool).triu(1), torch.nan)
    # As categories with aliases, Plotly leaves out labels that have no room.
    places = [str(i + 1) for i in range(len(sentence))]
    labels = [_literal(character) for character in sentence]
    has_names = any(len(visible_alone(character)) > 2 for character in sentence)
    ink = {"color": PALETTE[mode]["text"], "size": 12}
    axis = {
        "type": "category",
        "labelalias": dict(zip(places, labels, strict=True)),
        "tickfont": ink | {"family": "Signs, 'Source Code Pro', monospace"},
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,  # a finger scrolls the page
    }
    gap = 1 if len(sentence) <= 64 else 0  # pixels
    heatmap = go.Heatmap(
        z=pattern.numpy(),
        x=places,
        y=places,
        hovertemplate="“%{y}” attends to “%{x}”: %{z:.0%}<extra></extra>",
        hoverongaps=False,
        colorscale=_heat_scale(mode),
        zmin=0,
        zmax=1,
        xgap=gap,
        ygap=gap,
        colorbar={
            "title": {"text": "share of attention", "side": "bottom", "font": ink},
            "orientation": "h",
            "y": 0,
            "yanchor": "top",
            "thickness": 10,
            "tickformat": ".0%",
            "tickvals": [0, 0.1, 0.25, 0.5, 1],
            "tickfont": ink,
        },
    )
    layout = {
        "xaxis": axis
        | {
            "title": {"text": "attended to (key)", "font": ink},
            "side": "top",
            "tickangle": -90 if has_names else 0,  # the names of invisible characters are wider than a column
            "automargin": True,
        },
        "yaxis": axis | {"tickangle": 0, "title": {"text": "attending (query)", "font": ink}, "autorange": "reversed"},
        "height": 440,  # all of it is in view
        "margin": {"l": 10, "r": 10, "t": 40, "b": 50},
        "dragmode": False,
    }
    return go.Figure(heatmap, layout)  # in one call: each update of a figure takes milliseconds


def distance_spec(block_size: int, mode: str) -> dict[str, Any]:
    """The Vega-Lite spec of one head's share of attention at each distance."""
    ticks = sorted({0, 1, 2, 4, *range(8, block_size, 8 * math.ceil(block_size / 64))} & set(range(block_size)))
    return {
        "height": 200,  # with its axes
        "mark": {"type": "bar", "color": PALETTE[mode]["attention"]},
        "encoding": {
            "x": {
                "field": "back",
                "type": "ordinal",
                "title": "distance, characters back",
                "axis": {"values": ticks, "labelAngle": 0, "labelOverlap": "greedy", "ticks": False},
            },
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "share",
                "scale": {"domain": [0, 1]},
                "axis": {"format": ".0%", "tickCount": 3},
            },
            "tooltip": [
                {"field": "back", "title": "characters back"},
                {"field": "share", "title": "share of attention", "format": ".0%"},
            ],
        },
    }


def distance_data(shares: torch.Tensor) -> pandas.DataFrame:
    """The rows that `distance_spec` draws, from the shares (block_size,) of one head."""
    return pandas.DataFrame({"back": range(len(shares)), "share": shares.numpy()})


def packed(pattern: torch.Tensor, *, causal: bool = True) -> str:
    """Patterns (..., N, N) as bytes in base64, 0-255 for a share of 0-1, for our components.

    For a causal model these are only the lower triangles: row q of each begins at q (q + 1) / 2.
    """
    if causal:
        rows, columns = torch.tril_indices(*pattern.shape[-2:])
        pattern = pattern[..., rows, columns]
    return packed_shares(pattern)


def packed_shares(shares: torch.Tensor) -> str:
    """Shares of 0-1 as bytes of 0-255, in base64."""
    return in_base64((255 * shares).round(), torch.uint8)


def coarse(pattern: torch.Tensor, max_size: int) -> torch.Tensor:
    """Patterns (..., N, N) with at most `max_size` rows and columns, for small pictures.

    A row is the mean of neighboring rows and a column the sum of neighboring columns, so rows still add up to one.
    """
    size = pattern.shape[-1]
    k = math.ceil(size / max_size)
    if k == 1:
        return pattern
    padded = functional.pad(pattern, (0, -size % k, 0, -size % k))
    sums = padded.unflatten(-1, (-1, k)).sum(-1).unflatten(-2, (-1, k)).sum(-2)
    rows = torch.full((sums.shape[-2], 1), float(k))
    rows[-1] = size - k * (len(rows) - 1)
    return sums / rows
