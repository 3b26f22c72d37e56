"""All parts of a model as a map, colored by what each knock-out costs; a click switches a part off or on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ...insight.knockout import Change, Part
from . import declare, reported
from .effect import change_colors

_KEY = "knockout-map"
_HTML = """
<div class="map">
  <div class="scroll"><div class="grid" role="group" aria-label="Parts of the model"></div></div>
  <div class="legend" aria-hidden="true"></div>
  <p class="note"></p>
</div>
"""
_map = declare("knockout_map", _HTML, shared=("choice", "glow", "walk"))


def knockout_map(
    parts: list[Part],
    names: list[str],
    changes: Mapping[Part, Change],
    out: Collection[Part],
    choose: Callable[[tuple[Part, ...]], None],
    *,
    silent: Collection[Part] = (),
) -> None:
    """Show all `parts`, of which some are `out`, and some are always `silent`. `names` has a name for each.

    `changes` are the changes of the validation loss, in nats per character; a part may be missing from it. `choose` is
    called with all parts that are out after a click.
    """
    offered = {str(part): part for part in parts}

    def are_parts(value: Any) -> bool:
        return isinstance(value, str) and offered.keys() >= set(value.split())

    def picked() -> None:
        chosen = reported(_KEY, "picked", are_parts)
        if chosen is not None:
            choose(tuple(sorted(offered[text] for text in set(chosen.split()))))

    _map(
        key=_KEY,
        data={
            "heads": sum(part.layer == 0 for part in parts) - 1,
            "parts": list(offered),
            "names": names,
            "silent": [part in silent for part in parts],
            "out": " ".join(text for text, part in offered.items() if part in out),
            "changes": [round(changes[part].nats, 6) if part in changes else None for part in parts],
            "errors": [round(changes[part].error or 0, 6) if part in changes else None for part in parts],
            "colors": change_colors(),
        },
        on_picked_change=picked,
    )
