"""The stages of one forward pass: what each computes, in formulas and words.

Shapes: N characters of one context (at most block_size), C = n_embd, H heads, D = C / H (head size), V = vocabulary
size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..activations import ACTIVATIONS
from ..config import ModelConfig
from ..model import Block, FeedForward, Head, MicroLLM, MultiHeadAttention
from ..sample import probabilities
from ..tokenizer import CharTokenizer


@dataclass(frozen=True)
class Stage:
    """One matrix of the forward pass, whose rows are the characters of the context."""

    name: str
    """As in `Trace`, if it is recorded there."""
    group: str
    """The part of the model that it belongs to: characters, embedding, attention, feed_forward or output."""
    label: str
    """One or two words."""
    title: str
    symbols: str
    """Its shape, such as "(N, D)"."""
    formula: str
    sentence: str
    origin: str
    """What a value was computed from. {row} and {column} stand for the value's own, {place} for the number of the row,
    {distance} for the distance between row and column."""
    inputs: tuple[str, ...]
    """The stages that it was computed from; "stream" is the residual stream that enters the block."""
    code: tuple[Callable, tuple[str, ...]]
    """The function that computes it, and the names in the lines that matter (see `anatomy.source`)."""

    @property
    def columns(self) -> str:
        """What the columns are: "number" (of a vector), "character" (of the context), "vocabulary" or "id"."""
        return {"(N,)": "id", "(N, N)": "character", "(N, V)": "vocabulary"}.get(self.symbols, "number")


HEAD_STAGES = ("q", "k", "match", "scores", "pattern", "v", "z")
"""The seven steps of one attention head, in order."""

STOPS = ("characters", "embedding", *HEAD_STAGES, "mlp_out", "logits", "probabilities")
"""The path of one prediction through the model, in twelve stops."""


def stages(config: ModelConfig, vocab_size: int) -> dict[str, Stage]:
    """The stages of a model of this shape, in the order of computation; one layer and one head stand for all.

    Stages that the model does not have, such as a position embedding, are left out.
    """
    C, H, D, V, k = config.n_embd, config.n_head, config.head_size, vocab_size, config.lookback
    terms = {"token_embed": "token"}
    if k:
        terms["previous_embed"] = "previous"
    if config.position == "learned":
        terms["position_embed"] = "position"
    rotated = ", rotated by position" if config.position == "rotary" else ""
    turned = "" if not rotated else ", then rotated by an angle that grows with position {place}"
    relative, bias = config.position == "relative", " + bias[distance]"
    hidden = ", −∞ in the future" if config.causal else ""
    activate = ACTIVATIONS[config.activation]
    one = 1 / math.sqrt(D)

    def normalized(name: str, group: str, title: str, which: str, stream: str, forward: Callable) -> Stage:
        return Stage(
            name,
            group,
            "normalize",
            title,
            "(N, C)",
            "(x − mean) / √(variance + ε) · weight + bias",
            f"The {C} numbers of each character are brought to the same scale {which}.",
            f"{{row}}: all {C} numbers of the residual stream; weight and bias {{column}}",
            (stream,),
            (forward, (name,)),
        )

    made = [
        Stage(
            "characters",
            "characters",
            "ids",
            "Characters become ids",
            "(N,)",
            "id = number of the character in the vocabulary",
            f"Each of the N characters is replaced by its id: its number, from 0, among the {V:,} different characters "
            "of the text.",
            "{row}, looked up in the vocabulary",
            (),
            (CharTokenizer.encode, ("_ids",)),
        ),
        Stage(
            "token_embed",
            "embedding",
            "token",
            "Token embedding",
            "(N, C)",
            "E[id]",
            f"Each id selects one row of a trained table: C = {C} numbers that represent the character.",
            "the embedding table: row of {row}, column {column}",
            ("characters",),
            (MicroLLM.embed, ("token_embedding",)),
        ),
        Stage(
            "previous_embed",
            "embedding",
            "previous",
            "Embeddings of the previous characters",
            "(N, C)",
            " + ".join(f"E₋{i}[id {i} back]" for i in range(1, min(k, 3) + 1)) + (" + …" if k > 3 else ""),
            f"The previous {'character has a vector' if k == 1 else f'{k} characters have vectors'} in "
            f"{'a table' if k == 1 else 'tables'} of {'its' if k == 1 else 'their'} own (lookback).",
            f"the table{'' if k == 1 else 's'} of the {k} character{'' if k == 1 else 's'} before {{row}}, "
            "column {column}",
            ("characters",),
            (MicroLLM.embed, ("seen", "previous", "table", "lookback_embedding")),
        ),
        Stage(
            "position_embed",
            "embedding",
            "position",
            "Position embedding",
            "(N, C)",
            "P[position]",
            "Each position in the context has its own trained vector, whatever character is there.",
            "the position embedding table: row {place}, column {column}",
            (),
            (MicroLLM.embed, ("position_embedding",)),
        ),
        Stage(
            "embedding",
            "embedding",
            "sum",
            "Embedding",
            "(N, C)",
            " + ".join(terms.values()),
            f"The residual stream begins: C = {C} numbers for each character, to which every layer adds.",
            f"{{row}}: column {{column}} of {' + '.join(terms.values())}",
            tuple(terms),
            (MicroLLM.embed, ("x", "return")),
        ),
        normalized("ln1", "attention", "Layer normalization before attention", "(layer norm)", "stream", Block.forward),
        Stage(
            "q",
            "attention",
            "query",
            "Query: what each character looks for",
            "(N, D)",
            f"normalized · W_qᵀ{rotated}",
            f"The query of each character: D = {D} numbers that say what it looks for.",
            f"{{row}}: {C} normalized numbers · row {{column}} of W_q ({C} weights){turned}",
            ("ln1",),
            (Head.__call__, ("q",)),
        ),
        Stage(
            "k",
            "attention",
            "key",
            "Key: what each character offers to be found by",
            "(N, D)",
            f"normalized · W_kᵀ{rotated}",
            f"The key of each character: {D} numbers that say what it offers to queries.",
            f"{{row}}: {C} normalized numbers · row {{column}} of W_k ({C} weights){turned}",
            ("ln1",),
            (Head.__call__, ("k",)),
        ),
        Stage(
            "match",
            "attention",
            "match",
            "Match: how well each query fits each key",
            "(N, N)",
            "q · kᵀ",
            "The dot product of a query (row) and a key (column) is large where they fit.",
            f"the query of {{row}} · the key of {{column}}: a sum of {D} products",
            ("q", "k"),
            (Head.__call__, ("transpose",)),
        ),
        Stage(
            "scores",
            "attention",
            "scale, mask" if config.causal else "scale",
            "Scale and mask: the attention scores" if config.causal else "Scale: the attention scores",
            "(N, N)",
            f"match / √D{bias if relative else ''}{hidden}",
            (f"The match is multiplied by 1 / √D = {one:.3f}" if D > 1 else "D is 1, so the match keeps its scale")
            + ("; a trained bias for the distance is added" if relative else "")
            + ("; the future is hidden (causal mask)." if config.causal else "; nothing is hidden: this model cheats."),
            "the match of {row} and {column}, divided by √D"
            + (", + the bias of distance {distance}" if relative else ""),
            ("match",),
            (Head.__call__, ("scores", "future")),
        ),
        Stage(
            "pattern",
            "attention",
            "softmax",
            "Softmax: the attention weights",
            "(N, N)",
            "softmax(scores): e^score / sum of the row",
            "Softmax turns the scores into shares: each row adds up to 100 %.",
            "e^score of {row} and {column}, divided by the sum of e^score over the row of {row}",
            ("scores",),
            (Head.__call__, ("weights",)),
        ),
        Stage(
            "v",
            "attention",
            "value",
            "Value: what each character passes on",
            "(N, D)",
            "normalized · W_vᵀ",
            f"The value of each character: {D} numbers that it passes on to those that attend to it.",
            f"{{row}}: {C} normalized numbers · row {{column}} of W_v ({C} weights)",
            ("ln1",),
            (Head.__call__, ("v",)),
        ),
        Stage(
            "z",
            "attention",
            "mix",
            "Mix: the output of the head",
            "(N, D)",
            "pattern · v",
            "Each character receives the average of the values, weighted by its attention.",
            "the attention weights of {row} · column {column} of the values",
            ("pattern", "v"),
            (Head.__call__, ("return",)),
        ),
        Stage(
            "attn_out",
            "attention",
            "output",
            "Attention output: all heads together",
            "(N, C)",
            f"{'[z₁ … z_H]' if H > 1 else 'z'} · W_oᵀ + b_o",
            f"The mixes of {'all ' + str(H) + ' heads' if H > 1 else 'the head'} are combined into what attention adds "
            "to the residual stream.",
            f"{{row}}: the mixes of all heads ({H} × {D} numbers) · row {{column}} of W_o, + bias {{column}}",
            ("z",),
            (MultiHeadAttention.attend_and_project, ("proj",)),
        ),
        Stage(
            "resid_mid",
            "attention",
            "sum",
            "Residual stream after attention",
            "(N, C)",
            "x + attention output",
            "Attention adds to the residual stream and replaces nothing.",
            "{row}: column {column} of the stream before + column {column} of the attention output",
            ("stream", "attn_out"),
            (Block.forward, ("ln1",)),
        ),
        normalized(
            "ln2",
            "feed_forward",
            "Layer normalization before the feed-forward network",
            "again",
            "resid_mid",
            Block.forward,
        ),
        Stage(
            "mlp_pre",
            "feed_forward",
            "expand",
            "Feed-forward: the hidden layer before its activation",
            "(N, 4C)",
            "normalized · W₁ᵀ + b₁",
            f"Each character on its own is expanded to {4 * C} numbers (neurons).",
            f"{{row}}: {C} normalized numbers · row {{column}} of W₁, + bias {{column}}",
            ("ln2",),
            (FeedForward.forward, ("expand",)),
        ),
        Stage(
            "mlp_post",
            "feed_forward",
            "activate",
            "Feed-forward: the hidden layer after its activation",
            "(N, 4C)",
            f"{config.activation}(expanded)",
            f"{activate.__doc__ or ''} A neuron at zero adds nothing.",
            "{row}: the activation of neuron {column}",
            ("mlp_pre",),
            (activate, ("return",)),
        ),
        Stage(
            "mlp_out",
            "feed_forward",
            "output",
            "Feed-forward output",
            "(N, C)",
            "activated · W₂ᵀ + b₂",
            f"The {4 * C} neurons of each character are combined into what the network adds to the residual stream.",
            f"{{row}}: {4 * C} neurons · row {{column}} of W₂, + bias {{column}}",
            ("mlp_post",),
            (FeedForward.forward, ("proj",)),
        ),
        Stage(
            "resid_post",
            "feed_forward",
            "sum",
            "Residual stream after the layer",
            "(N, C)",
            "x + feed-forward output",
            "The stream leaves the layer with what attention and the feed-forward network have added.",
            "{row}: column {column} of the stream before + column {column} of the feed-forward output",
            ("resid_mid", "mlp_out"),
            (Block.forward, ("ln2",)),
        ),
        normalized("ln_f", "output", "Final layer normalization", "one last time", "last", MicroLLM.forward),
        Stage(
            "logits",
            "output",
            "logits",
            "Logits: a score for every possible next character",
            "(N, V)",
            "normalized · W_headᵀ + b",
            f"After each character, each of the V = {V:,} characters of the vocabulary gets a score.",
            f"{{row}}: {C} normalized numbers · the row of {{column}} in lm_head, + its bias",
            ("ln_f",),
            (MicroLLM.forward, ("lm_head",)),
        ),
        Stage(
            "probabilities",
            "output",
            "softmax",
            "Probabilities of the next character",
            "(N, V)",
            "softmax(logits): e^logit / sum of the row",
            "Softmax turns the scores into probabilities that add up to 100 % in each row; the last row is what the "
            "model predicts next.",
            f"e^logit of {{column}} after {{row}}, divided by the sum over all {V:,} characters",
            ("logits",),
            (probabilities, ("softmax",)),
        ),
    ]
    has_no = {"previous_embed", "position_embed"} - terms.keys()
    return {stage.name: stage for stage in made if stage.name not in has_no}
