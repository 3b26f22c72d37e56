"""Every setting with its default, range and explanation; the presets; and the validator.

Sliders, command-line flags, link values and checks are all made from the metadata of these two dataclasses.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any

from . import activations


def _knob(
    default, plain: str, help: str, *, low=None, high=None, step=None, values=None, choices=None, live=False
) -> Any:
    """A dataclass field with its range and explanation in the metadata. A "live" one may change during training.

    Every number from `low` to `high` is valid. A control moves by `step` (None: see `step_near`), or along `values`.
    """
    metadata = {
        "plain": plain,
        "help": help,
        "low": low,
        "high": high,
        "step": step,
        "values": values,
        "choices": choices,
        "live": live,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a model. Values are not checked on construction: see `problems`."""

    block_size: int = _knob(
        32,
        "how far back it can see",
        "The context length: the number of previous characters from which the model predicts the next one.",
        low=1,
        high=256,
        values=(1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    )
    n_embd: int = _knob(
        64,
        "width: numbers per character",
        "The embedding size: the model represents each character by a vector of this many numbers.",
        low=8,
        high=384,
        values=(8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384),
    )
    n_head: int = _knob(
        4,
        "attention heads per layer",
        "Each head can look for something else. The heads share the width, so n_head must divide n_embd.",
        low=1,
        high=16,
        step=1,
    )
    n_layer: int = _knob(
        3,
        "layers, one after another",
        "The number of Transformer blocks: how many times the model looks back and processes what it found. Each has "
        "attention and a feed-forward network.",
        low=1,
        high=12,
        step=1,
    )
    dropout: float = _knob(
        0.0,
        "share of activations set to zero",
        "Dropout works against memorizing (overfitting). 0 switches it off; small models need none.",
        low=0.0,
        high=0.9,
        step=0.05,
    )
    position: str = _knob(
        "relative",
        "how it knows the position of a character",
        "none: it is not told. learned: a trained vector for each position, as in the article (Vaswani et al. 2017). "
        "rotary: queries and keys are rotated by their position, so that attention depends on distance (Su et al. "
        "2021). relative: each head learns a number for every distance, which is added to its scores (after Raffel et "
        "al. 2020).",
        choices=("none", "learned", "rotary", "relative"),
    )
    lookback: int = _knob(
        0,
        "previous characters mixed into each",
        "The embeddings of the previous characters are added to each character's own (token shift, or smear; after "
        "Bengio et al. 2003). With 0, as in the article, the first layer has to find them by attention.",
        low=0,
        high=8,
        step=1,
    )
    causal: bool = _knob(
        True,
        "hide the future (causal mask)",
        "Each position attends only to itself and earlier ones (Vaswani et al. 2017). Off is cheating: the model sees "
        "the very character that it should predict.",
        choices=(True, False),
    )
    activation: str = _knob(
        "relu2",
        "the non-linear function between layers",
        activations.explained(),
        choices=tuple(activations.ACTIVATIONS),
    )
    initialization: str = _knob(
        "zero",
        "how the weights start",
        "torch: PyTorch's defaults, as in the article. zero: each layer's contribution and the logits start at zero "
        "(Zhang et al. 2019, Fixup), so the first loss is exactly that of guessing blindly.",
        choices=("torch", "zero"),
    )
    silenced: str = _knob(
        "",
        "heads that stay silent",
        "The output of these attention heads is always zero, in training too, so that others have to do their work. "
        "2.3 is head 3 of layer 2; separate several by spaces.",
    )

    @property
    def head_size(self) -> int:
        """The width of one head: n_embd / n_head."""
        return self.n_embd // self.n_head

    @property
    def silenced_heads(self) -> frozenset[tuple[int, int]]:
        """The (layer, head) of each silenced head, both from 0."""
        return frozenset(tuple(int(number) - 1 for number in name.split(".")) for name in self.silenced.split())


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. Values are not checked on construction: see `problems`."""

    batch_size: int = _knob(
        32,
        "pieces of text per step",
        "The batch size: each step trains on this many random windows of block_size characters.",
        low=1,
        high=512,
        values=(1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    )
    optimizer: str = _knob(
        "muon",
        "how the weights are updated",
        "adamw: every weight separately (Loshchilov & Hutter 2019), as in the article. muon: the matrices inside the "
        "layers get orthogonal updates (Jordan et al. 2024), and AdamW updates the rest.",
        choices=("adamw", "muon"),
    )
    precision: str = _knob(
        "bfloat16",
        "number format of large multiplications",
        "float32: about seven decimal digits, as in the article. bfloat16: two or three (Kalamkar et al. 2019), about "
        "twice as fast on processors that support it; on all others it changes nothing.",
        choices=("float32", "bfloat16"),
    )
    learning_rate: float = _knob(
        0.02,
        "how big each update is",
        "Too small, and training is slow; too large, and training diverges. With a schedule this is the peak; you can "
        "change it during training.",
        low=1e-6,
        high=1.0,
        live=True,
    )
    max_steps: int = _knob(
        2_000,
        "number of training steps",
        "Training ends after this many steps.",
        low=1,
        high=1_000_000,
    )
    schedule: str = _knob(
        "linear",
        "how the learning rate changes over time",
        "constant: stays the same, as in the article. linear: falls linearly to zero.",
        choices=("constant", "linear"),
    )
    warmup_steps: int = _knob(
        0,
        "steps until the full learning rate (warm-up)",
        "The learning rate rises linearly from zero to its peak over this many steps.",
        low=0,
        high=10_000,
    )
    eval_interval: int = _knob(
        200,
        "steps between validation checks",
        "Each check measures the validation loss: the loss on held-out text. Early in a run there are more checks.",
        low=1,
        high=10_000,
    )
    stop_at_loss: float = _knob(
        0.0,
        "stop at this validation loss",
        "Training ends at the first check that reaches this loss, in nats per character. 0 never stops early; you can "
        "change it during training.",
        low=0.0,
        high=10.0,
        step=0.05,
        live=True,
    )
    seed: int = _knob(
        1337,
        "random seed",
        "The initial weights and the batches depend on it. The same seed gives the same run.",
        low=0,
        high=2**31 - 1,
        step=1,
    )


@dataclass(frozen=True)
class Preset:
    """A named pair of configurations, with a sentence that describes it."""

    title: str
    sentence: str
    model: ModelConfig
    train: TrainConfig


PRESETS = {
    "quick": Preset(
        "Quick",
        "Small and fast; after its 2,000 steps it writes mostly real words.",
        ModelConfig(),
        TrainConfig(),
    ),
    "article": Preset(
        "Article",
        "The recipe of the article, 10,000 steps: from a loss of 4.6 to 1.78.",
        ModelConfig(
            block_size=8,
            n_embd=32,
            n_head=4,
            n_layer=3,
            position="learned",
            lookback=0,
            activation="relu",
            initialization="torch",
        ),
        TrainConfig(
            batch_size=32,
            optimizer="adamw",
            precision="float32",
            learning_rate=1e-3,
            max_steps=10_000,
            schedule="constant",
            warmup_steps=0,
            eval_interval=500,
        ),
    ),
    "long": Preset(
        "Long",
        "Sees four times as far back, and ends at a loss of about 1.18.",
        ModelConfig(block_size=128, n_embd=96, n_head=3, n_layer=3, position="rotary", lookback=3),
        TrainConfig(batch_size=12, max_steps=1_900),
    ),
}

MIN_TEXT_CHARACTERS = 20
"""The minimum length of a text, in characters."""

REFERENCE_NAMES = {
    "uniform": "guessing blindly",
    "table_1": "letter frequencies",
    "table_2": "pairs of characters",
    "table_3": "3-character table",
    "table_5": "5-character table",
    "floor": "best possible (entropy)",
}
"""The displayed names of a run's reference losses: those of simple counting, and the entropy of its text if known."""

_MAX_THREADS = 256
_MAX_SILENCED_CHARACTERS = 2_000  # all heads of the largest model take 1,100
_HEAD_NAME = re.compile(r"[1-9][0-9]?\.[1-9][0-9]?")

LIVE = tuple(f.name for f in fields(TrainConfig) if f.metadata["live"])


def knobs() -> dict[str, Field]:
    """All fields of both configurations by name; no name occurs in both."""
    return {f.name: f for config in (ModelConfig, TrainConfig) for f in fields(config)}


def flat(model: ModelConfig, train: TrainConfig) -> dict[str, Any]:
    """All settings by name: the inverse of `configs_from`."""
    return asdict(model) | asdict(train)


def configs_from(values: Mapping[str, Any], preset: str = "quick") -> tuple[ModelConfig, TrainConfig]:
    """The preset's configurations with `values` (by field name) on top; values are not checked.

    Raises ValueError for an unknown setting or preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
    base = PRESETS[preset]
    merged = flat(base.model, base.train)
    for name in values:
        if name not in merged:
            raise ValueError(f"There is no setting {name!r}: the settings are {', '.join(merged)}.")
    merged.update(values)
    model = ModelConfig(**{f.name: merged[f.name] for f in fields(ModelConfig)})
    return model, TrainConfig(**{f.name: merged[f.name] for f in fields(TrainConfig)})


def too_short(name: str, characters: int) -> str:
    """The sentence about a text called `name` with fewer than MIN_TEXT_CHARACTERS."""
    return (
        f"{name} has {characters:,} characters: too short to train on. It needs at least {MIN_TEXT_CHARACTERS}, better "
        "10,000 or more."
    )


def threads_problem(threads: int) -> str | None:
    """A sentence if a run cannot use this number of threads, else None."""
    if 1 <= threads <= _MAX_THREADS:
        return None
    return f"threads is {threads}: it must be a whole number from 1 to {_MAX_THREADS}."


def problems(model: ModelConfig, train: TrainConfig, text_length: int | None = None) -> dict[str, str]:
    """What is wrong, as `{field: sentence}`; empty if a run can start. Sliders, flags, links and files all use it.

    `text_length` is the number of characters of the text, if known.
    """
    found = _value_problems(model) | _value_problems(train)
    if not {"n_embd", "n_head"} & found.keys():
        heads, is_rotary = valid_heads(model, near=model.n_head), model.position == "rotary"
        if not heads:
            found["n_embd"] = (
                f"n_embd is {model.n_embd}: rotary positions rotate pairs of numbers, so it must be even. "
                f"Try {model.n_embd - 1} or {model.n_embd + 1}."
            )
        elif model.n_head not in heads:
            found["n_head"] = (
                f"{model.n_head} heads cannot share {model.n_embd} numbers evenly: n_head must divide n_embd"
                f"{', into even parts for rotary positions' if is_rotary else ''}. Try {' or '.join(map(str, heads))}."
            )
    if not {"n_layer", "n_head", "silenced"} & found.keys() and (beyond := _silenced_beyond(model)):
        found["silenced"] = (
            f"silenced names {beyond}: this model has {model.n_layer} layers of {model.n_head} heads, so the last is "
            f"{model.n_layer}.{model.n_head}."
        )
    if text_length is not None and "block_size" not in found:
        longest = longest_block_size(text_length)
        if text_length < MIN_TEXT_CHARACTERS:
            found["text"] = too_short("The text", text_length)
        elif model.block_size > longest:
            found["block_size"] = (
                f"This text is too short: with {text_length:,} characters block_size can be at most {longest}, not "
                f"{model.block_size}. Use {longest}, or a longer text."
            )
    return found


def with_live_changes(model: ModelConfig, train: TrainConfig, changes: Mapping[str, float]) -> TrainConfig:
    """`train` with some live settings changed. Raises ValueError if one is not live or out of range."""
    if frozen := sorted(changes.keys() - set(LIVE)):
        raise ValueError(f"{', '.join(frozen)} cannot change during training; {' and '.join(LIVE)} can.")
    changed = replace(train, **changes)
    found = problems(model, changed)
    if wrong := [found[name] for name in changes if name in found]:
        raise ValueError(" ".join(wrong))
    return changed


def _value_problems(config: ModelConfig | TrainConfig) -> dict[str, str]:
    sentences = {f.name: _value_problem(f, getattr(config, f.name)) for f in fields(config)}
    return {name: sentence for name, sentence in sentences.items() if sentence}


def _silenced_beyond(model: ModelConfig) -> str:
    """The silenced heads that the model does not have."""
    beyond = [(i, j) for i, j in sorted(model.silenced_heads) if i >= model.n_layer or j >= model.n_head]
    return ", ".join(f"{layer + 1}.{head + 1}" for layer, head in beyond)


def _value_problem(knob: Field, value: Any) -> str | None:
    name, meta = knob.name, knob.metadata
    if name == "silenced":
        is_short = isinstance(value, str) and len(value) <= _MAX_SILENCED_CHARACTERS
        is_a_list = is_short and all(map(_HEAD_NAME.fullmatch, value.split()))
        return None if is_a_list else f"{name} is {_shown(value)}: write heads like 2.3, separated by spaces."
    if choices := meta["choices"]:
        is_one = type(value) is type(choices[0]) and value in choices  # so that 1 is not taken for True
        return None if is_one else f"{name} is {_shown(value)}: choose {' or '.join(map(str, choices))}."
    whole = knob.type == "int"
    low, high = meta["low"], meta["high"]
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if is_number and low <= value <= high:  # False for NaN
        return None
    span = f"a {'whole ' if whole else ''}number from {low:,} to {high:,}"
    return f"{name} is {_shown(value)}: it must be {span}."


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}…"


def valid_heads(model: ModelConfig, near: int) -> list[int]:
    """The nearest valid numbers of heads: one at or below `near` and one above, if they exist."""
    meta, size = knobs()["n_head"].metadata, 2 if model.position == "rotary" else 1
    valid = [n for n in range(meta["low"], meta["high"] + 1) if model.n_embd % (n * size) == 0]
    below = [n for n in valid if n <= near][-1:]
    above = [n for n in valid if n > near][:1]
    return below + above


def longest_block_size(text_length: int) -> int:
    """The longest context for which both parts of a text hold one window and the character after it."""
    from .corpus import split_at  # not above: it needs torch, and `--help` must not wait for that

    train = split_at(text_length)
    return min(train, text_length - train) - 1


def nearest_valid(name: str, model: ModelConfig, text_length: int | None = None) -> Any | None:
    """The valid value of n_head or block_size that is nearest to the chosen one; None if there is none."""
    value = getattr(model, name, None)
    if name not in ("n_head", "block_size") or not isinstance(value, int):
        return None
    meta = knobs()[name].metadata
    if name == "n_head":
        heads = [] if "n_embd" in _value_problems(model) else valid_heads(model, near=value)
        return min(heads, key=lambda n: abs(n - value), default=None)
    longest = meta["high"]
    if text_length is not None:
        longest = min(longest, longest_block_size(text_length) if text_length >= MIN_TEXT_CHARACTERS else 0)
    return max(meta["low"], min(value, longest)) if longest >= meta["low"] else None


def step_near(name: str, value: float) -> float:
    """A sensible step for a number field at `value`: where the range has several magnitudes, half the value's own.

    So 0.001 moves by 0.0005, 200 by 50 and 20,000 by 5,000.
    """
    if (step := knobs()[name].metadata["step"]) is not None:
        return step
    if knobs()[name].type == "int":
        return max(1, 10 ** (len(str(value)) - 1) // 2) if value else 10
    return float(f"{10.0 ** math.floor(math.log10(value)) / 2:g}")


def stream_seed(seed: int, place: int | str) -> int:
    """A 32-bit seed for one use of a run's seed: the initial weights, a step, a sample.

    It is a hash, because torch's CPU generator uses only the low 32 bits of a seed.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}/{place}".encode(), digest_size=4).digest(), "big")
