"""The page Inside: the model as one picture of its parts, the numbers of the open part, and the logit lens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import streamlit as st
import torch

from ...insight import anatomy
from ...insight.lens import lens
from ...insight.stages import HEAD_STAGES, STOPS, Stage, stages
from ...insight.trace import Trace, trace
from ...model import MicroLLM
from ...plots.attention import packed_shares
from ...plots.packing import in_base64
from ...tokenizer import CharTokenizer, known_ids, visible
from ..components.inside import inside, thumbnails
from ..state.session import session
from ..state.view import View
from ..words import literal
from . import side_by_side
from .live import live

_TICK_SECONDS = 2.0
_GUESSES = 5
_MAX_FACTORS = 32_768
_MAX_OPEN_LAYERS = 3
"""With more layers, only the chosen one shows its parts."""


class _Seen:
    """The latest traces of this window, so that opening a part computes nothing.

    They are of the whole sentence and of one context in it, which is the same if it fits into block_size.
    """

    def __init__(self) -> None:
        self._traces: dict[str, tuple[tuple, Trace]] = {}

    def traced(self, what: str, view: View, step: int, text: str, model: MicroLLM) -> Trace:
        """The trace of `text` in the model of this step; `what` is "sentence" or "context"."""
        asked = view.model_key, step, text
        for found, kept in self._traces.values():
            if found == asked:
                self._traces[what] = found, kept
                return kept
        self._traces[what] = asked, trace(model, known_ids(view.run.tokenizer, text))
        return self._traces[what][1]


@st.cache_resource(scope="session", show_spinner=False)
def _seen(key: str) -> _Seen:
    return _Seen()


def parts(view: View, text: str) -> None:
    """The parts of the displayed run's model on `text`, the user's sentence.

    Beside them are those of another run or moment, if one was chosen. Both are live while one of them trains.
    """
    live(lambda shown: _tick(shown, text), _TICK_SECONDS, key="inside-live", when=side_by_side.is_active(view))


def _tick(view: View, text: str) -> None:
    other = side_by_side.beside(view)
    if other is None:
        _picture("inside-parts", view, text)
        return
    left, right = st.columns(2, gap="medium")
    with left:
        _picture("inside-parts", view, text, lambda step: f"{literal(view.info.name)}, step {step:,}")
    with right:
        if lacks := side_by_side.lacks(other, text):
            st.info(lacks, icon=":material/info:")
        else:
            _picture("inside-parts-beside", other, text, lambda step: side_by_side.title(view, other, step))


def _picture(key: str, view: View, text: str, title: Callable[[int], str] | None = None) -> None:
    if (now := view.model(max_age=1.0, wait=0.1)) is None:
        st.caption("Waiting for the first weights …")
        return
    step, model = now
    if title:
        st.markdown(f"**{title(step)}**")
    data = _data(_seen(key), view, step, model, text)
    config = model.config
    inside(
        key,
        data,
        characters=len(text),
        layers=config.n_layer,
        heads=config.n_head,
        stages=set(stages(config, model.vocab_size)),
        pick=lambda place: _pick(text, place),
        choose=_choose,
    )


def _pick(text: str, place: int) -> None:
    session().followed_character = text, place


def _choose(stage: str, layer: int, head: int) -> None:
    session().stage = stage
    session().head = layer, head


def _data(seen: _Seen, view: View, step: int, model: MicroLLM, text: str) -> dict[str, Any]:
    """Everything that the component shows (see inside.js)."""
    config, tokenizer, N = model.config, view.run.tokenizer, len(text)
    known = stages(config, model.vocab_size)
    layer, head = min(session().head[0], config.n_layer - 1), min(session().head[1], config.n_head - 1)
    stage = known.get(session().stage, known["characters"])
    followed = session().followed_character
    place = followed[1] if followed and followed[0] == text else N - 1
    # each character is predicted from its own context; one context is shown at a time
    size = min(N, config.block_size)
    start = max(0, place + 1 - size)
    context = text[start : start + size]

    whole = seen.traced("sentence", view, step, text, model)
    traced = seen.traced("context", view, step, context, model)
    ids = known_ids(tokenizer, context)
    return {
        "text": [visible(character) for character in text],
        "context": [start, start + size],
        "place": place,
        "chosen": f"{stage.name} {layer} {head}",
        "heads": config.n_head,
        "head": head,
        "rows": _rows(model, layer, head),
        "strips": packed_shares(_strips(whole)),
        "patterns": thumbnails(traced.pattern[layer]),
        "lens": _lens(lens(model, whole), tokenizer, known_ids(tokenizer, text)),
        "stops": [[known[name].name, known[name].title] for name in STOPS],
        "causal": config.causal,
        "stop": _nearest_stop(stage, list(known)),
        "open": _open(stage, known, model, traced, ids, tokenizer, layer, head),
    }


def _nearest_stop(stage: Stage, order: list[str]) -> float:
    """The index of a stage among the stops of the walk; halfway between two of them if it is not one."""
    if stage.name in STOPS:
        return STOPS.index(stage.name)
    place = order.index(stage.name)
    return sum(order.index(stop) < place for stop in STOPS) - 0.5


def _rows(model: MicroLLM, layer: int, head: int) -> list[dict[str, Any]]:
    """The rows of the picture from top to bottom. `opens` is the stage, the layer and the head that a click opens."""
    config = model.config
    C, last = config.n_embd, config.n_layer - 1

    def part(label: str, size: str, stage: str, of_layer: int, strip: int, group: str) -> dict[str, Any]:
        opens = f"{stage} {of_layer} {head}"
        return {"kind": "part", "label": label, "size": size, "opens": opens, "strip": strip, "group": group}

    def guess(label: str, level: int, stage: str, of_layer: int, group: str = "") -> dict[str, Any]:
        return {"kind": "lens", "label": label, "level": level, "opens": f"{stage} {of_layer} {head}", "group": group}

    rows: list[dict[str, Any]] = [
        {"kind": "text", "label": "characters", "opens": f"characters {layer} {head}", "group": "characters"},
        part("embedding", f"{C}", "embedding", layer, 0, "embedding"),
        guess("after embedding", 0, "embedding", layer),
    ]
    for i in range(config.n_layer):
        if config.n_layer <= _MAX_OPEN_LAYERS or i == layer:
            name = f"{config.n_head} × {config.head_size}"
            rows.append(part(f"{i + 1} attention", name, "attn_out", i, 2 * i + 1, f"attention {i}"))
            if i == layer:
                rows.append({"kind": "heads", "label": "heads", "layer": i})
            rows.append(part(f"{i + 1} feed-forward", f"{4 * C:,}", "mlp_out", i, 2 * i + 2, f"feed_forward {i}"))
        if i < last:
            rows.append(guess(f"after layer {i + 1}", i + 1, "resid_post", i))
    rows.append(guess("the model writes", config.n_layer, "probabilities", layer, "output"))
    return rows


def _strips(traced: Trace) -> torch.Tensor:
    """How much the embedding and each layer's attention and feed-forward network add to each character: (1 + 2 L, N).

    It is the length of the added vector, divided by the sum of its length and that of the stream before it: 1 for the
    embedding, with which the stream begins.
    """
    blocks = traced.blocks
    shares = []
    for added, stream in ((blocks.attn_out, blocks.resid_pre), (blocks.mlp_out, blocks.resid_mid)):
        length = added.norm(dim=-1)
        shares.append(length / (length + stream.norm(dim=-1)).clamp(min=1e-12))
    layers = torch.stack(shares, dim=1).flatten(0, 1)
    return torch.cat([torch.ones_like(layers[:1]), layers])


def _lens(log_p: torch.Tensor, tokenizer: CharTokenizer, ids: torch.Tensor) -> dict[str, Any]:
    """The most likely characters at each level and place: indices into `glyphs`, probabilities, which are right."""
    top = log_p.topk(min(_GUESSES, log_p.shape[-1]))
    used, numbers = top.indices.unique(return_inverse=True)
    is_right = top.indices[:, :-1, 0] == ids[1:]
    return {
        "levels": log_p.shape[0],
        "guesses": top.indices.shape[-1],
        "glyphs": [visible(tokenizer.vocab[i]) for i in used.tolist()],
        "numbers": in_base64(numbers, torch.uint16),
        "chances": in_base64(top.values.exp(), torch.float32),  # bytes would round otherwise than other pages
        "right": packed_shares(is_right.float()),
    }


def _factors(stage: Stage, factors: tuple | None) -> dict[str, Any] | None:
    """The matrices whose products add up to the numbers of a stage; None if there are none, or too many to send.

    `ofCharacters` says that the products are of characters, not of the numbers of a vector.
    """
    if factors is None or factors[0].numel() + factors[1].numel() > _MAX_FACTORS:
        return None
    a, b, _ = factors
    return {
        "a": in_base64(a, torch.float32),
        "b": in_base64(b, torch.float32),
        "terms": a.shape[1],
        "ofCharacters": stage.name == "z",
    }


def _layers_between(layer: int, layers: int) -> str:
    """A sentence for the step from a layer (from 0) to the logits, which skips the layers after it."""
    others = list(range(layer + 2, layers + 1))  # on screen they count from 1
    if not others:
        return ""
    if len(others) == 1:
        names = f"layer {others[0]} does"
    else:
        names = f"layers {others[0]} {'and' if len(others) == 2 else 'to'} {others[-1]} do"
    return f" Before that, {names} the same as layer {layer + 1}."


def _open(
    stage: Stage,
    known: dict[str, Stage],
    model: MicroLLM,
    traced: Trace,
    ids: torch.Tensor,
    tokenizer: CharTokenizer,
    layer: int,
    head: int,
) -> dict[str, Any]:
    """The open part: its numbers and the text about them."""
    matrix = anatomy.numbers(stage.name, model, traced, ids, layer, head)
    config = model.config
    values = {"N": len(ids), "C": config.n_embd, "4C": 4 * config.n_embd, "D": config.head_size, "V": model.vocab_size}
    shape = re.sub(r"\w+", lambda symbol: f"{values[symbol[0]]:,}", stage.symbols)
    scope = {"attention": f"Layer {layer + 1}", "feed_forward": f"Layer {layer + 1}"}.get(stage.group, "")
    if stage.name in HEAD_STAGES:
        scope += f", head {head + 1}"
    code = anatomy.source(*stage.code)
    factors = anatomy.factors(stage.name, model, traced, layer, head)
    return {
        "name": stage.name,
        "group": f"{stage.group} {layer}" if scope else stage.group,
        "head": head if stage.name in HEAD_STAGES else None,
        "layer": layer,
        "scope": scope,
        "title": stage.title,
        "shape": f"{stage.symbols} = {shape}",
        "formula": stage.formula,
        "sentence": stage.sentence + (_layers_between(layer, config.n_layer) if stage.name == "logits" else ""),
        "origin": stage.origin,
        "tabs": [
            {
                "label": other.label,
                "opens": f"{other.name} {layer} {head}",
                "step": HEAD_STAGES.index(other.name) + 1 if other.name in HEAD_STAGES else None,
            }
            for other in known.values()
            if other.group == stage.group
        ],
        "inputs": [
            {"label": known[name].title.partition(":")[0], "opens": f"{name} {of_layer} {head}"}
            for name, of_layer in anatomy.inputs(stage, layer, config.n_layer)
        ],
        "columns": stage.columns,
        "labels": [visible(character) for character in tokenizer.vocab] if stage.columns == "vocabulary" else [],
        "size": list(matrix.shape),
        "numbers": in_base64(matrix, torch.float32),
        "factors": _factors(stage, factors),
        "code": {"file": code.file, "first": code.first, "lines": code.lines, "marked": code.marked},
    }
