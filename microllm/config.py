"""Every knob, once: its default, its range, its plain words, its check; and the presets.

Sliders, command-line flags, the values of a link and all checks are made from the metadata of these two dataclasses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any


def _knob(default, plain: str, help: str, *, low=None, high=None, step=None, choices=None, live=False) -> Any:
    """A dataclass field that also knows its range, its words and whether it may change while training ("live")."""
    metadata = {
        "plain": plain,
        "help": help,
        "low": low,
        "high": high,
        "step": step,
        "choices": choices,
        "live": live,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model. `problems` tells what is wrong with one; nothing is checked on construction."""

    block_size: int = _knob(
        32,
        "how far back it can see",
        "The number of characters the model looks at to guess the next one (the context).",
        low=1,
        high=256,
        step=1,
    )
    n_embd: int = _knob(
        64,
        "numbers that describe a character",
        "The width of the model: each character is carried through it as this many numbers (the embedding size).",
        low=8,
        high=384,
        step=8,
    )
    n_head: int = _knob(
        4,
        "places it can look at once",
        "Attention heads in each layer. They share the width, so n_head must divide n_embd.",
        low=1,
        high=16,
        step=1,
    )
    n_layer: int = _knob(
        3,
        "rounds of looking and thinking",
        "Transformer blocks, one after another. Each looks back (attention), then thinks (feed-forward).",
        low=1,
        high=12,
        step=1,
    )
    dropout: float = _knob(
        0.0,
        "share of signals silenced while training",
        "Random forgetting that keeps a model from learning by heart. 0 switches it off; small models need none.",
        low=0.0,
        high=0.9,
        step=0.05,
    )
    position: str = _knob(
        "rotary",
        "how it knows where a character stands",
        "none: it does not, beyond what the order of looking gives away. learned: a vector for each place is added "
        "(Vaswani et al. 2017), as in the article. rotary: queries and keys turn with their place, so that distance "
        "counts (Su et al. 2021).",
        choices=("none", "learned", "rotary"),
    )
    lookback: int = _knob(
        1,
        "earlier characters handed over with each",
        "The vectors of so many characters before it are added to each character's own (neighbours, as in Bengio et "
        "al. 2003). 0: none, as in the article; then the first layer has to find them by attention.",
        low=0,
        high=8,
        step=1,
    )
    causal: bool = _knob(
        True,
        "no looking at the answer",
        "Each character sees only those before it (the causal mask, Vaswani et al. 2017). Off is cheating: the next "
        "character, the very one to guess, is in sight.",
        choices=(True, False),
    )
    activation: str = _knob(
        "relu2",
        "what thinking does to a number",
        "relu: below zero becomes zero, as in the article. relu2: the same, then squared (So et al. 2021, Primer).",
        choices=("relu", "relu2"),
    )
    initialization: str = _knob(
        "zero",
        "how the weights start",
        "torch: PyTorch's defaults, as in the article. zero: what each layer adds, and the scores, begin at zero "
        "(Zhang et al. 2019, Fixup), so that the first loss is exactly that of blind guessing.",
        choices=("torch", "zero"),
    )

    @property
    def head_size(self) -> int:
        """The width of one head: n_embd / n_head."""
        return self.n_embd // self.n_head


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. `problems` tells what is wrong with one; nothing is checked on construction."""

    batch_size: int = _knob(
        32,
        "pieces of text a step",
        "Each step learns from this many windows of block_size characters, drawn at random.",
        low=1,
        high=512,
        step=1,
    )
    optimizer: str = _knob(
        "muon",
        "how corrections are made",
        "adamw: each number for itself, with torch's settings (Loshchilov & Hutter 2019), as in the article. muon: the "
        "matrices inside the layers are turned as a whole, every direction alike (Jordan et al. 2024); AdamW does the "
        "rest.",
        choices=("adamw", "muon"),
    )
    precision: str = _knob(
        "bfloat16",
        "digits of a product",
        "float32: seven decimal digits, as in the article. bfloat16: the products of large matrices are made with two "
        "or three (Kalamkar et al. 2019), which some processors do twice as fast; on all others this changes nothing.",
        choices=("float32", "bfloat16"),
    )
    learning_rate: float = _knob(
        0.02,
        "how big each correction is",
        "The size of a step downhill (the peak, when a schedule lowers it). Too small crawls, too large explodes. "
        "May be changed while the model trains.",
        low=1e-6,
        high=1.0,
        live=True,
    )
    max_steps: int = _knob(
        2_000,
        "steps in all",
        "Training ends after this many steps.",
        low=1,
        high=1_000_000,
        step=100,
    )
    schedule: str = _knob(
        "linear",
        "how the learning rate moves",
        "constant: the same to the end, as in the article. linear: down in a straight line to nothing.",
        choices=("constant", "linear"),
    )
    warmup_steps: int = _knob(
        0,
        "steps to get up to speed",
        "The learning rate grows from nothing to its peak during the first steps (warm-up).",
        low=0,
        high=10_000,
        step=10,
    )
    eval_interval: int = _knob(
        200,
        "steps between two val_losses",
        "Every so many steps (and more often at the start) the model is scored on text it never trains on.",
        low=1,
        high=10_000,
        step=10,
    )
    stop_at_loss: float = _knob(
        0.0,
        "stop at this validation loss",
        "Training ends at the first exam that reaches this loss, in nats a character. 0 means: do not stop early. "
        "May be changed while the model trains.",
        low=0.0,
        high=10.0,
        step=0.05,
        live=True,
    )
    seed: int = _knob(
        1337,
        "the dice",
        "Start weights and batches are drawn from this number: the same seed gives the same run.",
        low=0,
        high=2**31 - 1,
        step=1,
    )


@dataclass(frozen=True)
class Preset:
    """A named pair of configurations, with a sentence for the person who chooses."""

    title: str
    sentence: str
    model: ModelConfig
    train: TrainConfig


PRESETS = {
    "quick": Preset(
        "Quick",
        "About a minute on two cores: readable words on the real book.",
        ModelConfig(),
        TrainConfig(),
    ),
    "article": Preset(
        "Article",
        "Exactly the recipe of “Building a Micro-LLM from Scratch”: 10,000 steps from a loss of about 4.6 to 1.78.",
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
        "A few minutes: sees four times as far back, and ends at a loss of about 1.2 on the real book.",
        ModelConfig(block_size=128, n_embd=96, n_head=3, n_layer=3, lookback=3),
        TrainConfig(batch_size=12, max_steps=1_450),
    ),
}

SHORTEST_TEXT = 20
"""Characters that a text needs at least."""

LIVE = tuple(f.name for f in fields(TrainConfig) if f.metadata["live"])


def knobs() -> dict[str, Field]:
    """All fields of both configurations by name; their names do not overlap."""
    return {f.name: f for config in (ModelConfig, TrainConfig) for f in fields(config)}


def configs_from(values: Mapping[str, Any], preset: str = "quick") -> tuple[ModelConfig, TrainConfig]:
    """The preset's configurations with `values` (flat, by field name) on top; not yet checked.

    Raises ValueError for a name that is no knob and for an unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
    base = PRESETS[preset]
    merged = asdict(base.model) | asdict(base.train)
    for name in values:
        if name not in merged:
            raise ValueError(f"There is no setting {name!r}: the settings are {', '.join(merged)}.")
    merged.update(values)
    model = ModelConfig(**{f.name: merged[f.name] for f in fields(ModelConfig)})
    return model, TrainConfig(**{f.name: merged[f.name] for f in fields(TrainConfig)})


def flat(model: ModelConfig, train: TrainConfig) -> dict[str, Any]:
    """All settings by name: the inverse of `configs_from`."""
    return asdict(model) | asdict(train)


def problems(model: ModelConfig, train: TrainConfig, text_length: int | None = None) -> dict[str, str]:
    """What is wrong, `{field: sentence}`; empty when a run can start. The one validator of slider, flag, link and file.

    `text_length` is the number of characters of the text, when it is known.
    """
    found = _value_problems(model) | _value_problems(train)
    if not {"n_embd", "n_head"} & found.keys():
        heads, is_rotary = valid_heads(model, near=model.n_head), model.position == "rotary"
        if not heads:
            found["n_embd"] = (
                f"n_embd is {model.n_embd}: rotary positions turn pairs of numbers, so it must be even. "
                f"Try {model.n_embd - 1} or {model.n_embd + 1}."
            )
        elif model.n_head not in heads:
            found["n_head"] = (
                f"{model.n_head} heads cannot share {model.n_embd} numbers evenly: n_head must divide n_embd"
                f"{', into even parts for rotary positions' if is_rotary else ''}. Try {' or '.join(map(str, heads))}."
            )
    if text_length is not None and "block_size" not in found:
        longest = longest_block_size(text_length)
        if text_length < SHORTEST_TEXT:
            found["text"] = (
                f"The text has {text_length:,} characters: too short to learn from. It needs {SHORTEST_TEXT}, "
                "better 10,000 or more."
            )
        elif model.block_size > longest:
            found["block_size"] = (
                f"The text has {text_length:,} characters, and the tenth that is held out must be longer than "
                f"block_size: here at most {longest}, not {model.block_size}."
            )
    return found


def with_live_changes(model: ModelConfig, train: TrainConfig, changes: Mapping[str, float]) -> TrainConfig:
    """`train` with some of its live settings changed. Raises ValueError when one is not live or out of range."""
    if frozen := sorted(changes.keys() - set(LIVE)):
        raise ValueError(f"{', '.join(frozen)} cannot change while a model trains; {' and '.join(LIVE)} can.")
    changed = replace(train, **changes)
    found = problems(model, changed)
    if wrong := [found[name] for name in changes if name in found]:
        raise ValueError(" ".join(wrong))
    return changed


def _value_problems(config: ModelConfig | TrainConfig) -> dict[str, str]:
    sentences = {f.name: _value_problem(f, getattr(config, f.name)) for f in fields(config)}
    return {name: sentence for name, sentence in sentences.items() if sentence}


def _value_problem(knob: Field, value: Any) -> str | None:
    name, meta = knob.name, knob.metadata
    if choices := meta["choices"]:
        is_one = type(value) is type(choices[0]) and value in choices  # 1 is not True here
        return None if is_one else f"{name} is {_shown(value)}: choose {' or '.join(map(str, choices))}."
    whole = knob.type == "int"
    low, high = meta["low"], meta["high"]
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if is_number and low <= value <= high:  # NaN is not
        return None
    span = f"a {'whole ' if whole else ''}number from {low:,} to {high:,}"
    return f"{name} is {_shown(value)}: it must be {span}."


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python does not write out whole numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}…"


def valid_heads(model: ModelConfig, near: int) -> list[int]:
    """The nearest valid numbers of heads below and above `near`, in order (one, or none, when there are no others)."""
    meta, size = knobs()["n_head"].metadata, 2 if model.position == "rotary" else 1
    valid = [n for n in range(meta["low"], meta["high"] + 1) if model.n_embd % (n * size) == 0]
    below = [n for n in valid if n <= near][-1:]
    above = [n for n in valid if n > near][:1]
    return below + above


def longest_block_size(text_length: int) -> int:
    """The longest context for which both parts of a text (9 tenths, 1 tenth) hold one window and its next character."""
    held_out = text_length - int(0.9 * text_length)
    return min(held_out, text_length - held_out) - 1


def nearest_valid(name: str, model: ModelConfig, text_length: int | None = None) -> Any | None:
    """The value of n_head or block_size, nearest to the one chosen, that `problems` accepts; None without one."""
    value = getattr(model, name, None)
    if name not in ("n_head", "block_size") or not isinstance(value, int):
        return None
    meta = knobs()[name].metadata
    if name == "n_head":
        heads = [] if "n_embd" in _value_problems(model) else valid_heads(model, near=value)
        return min(heads, key=lambda n: abs(n - value), default=None)
    longest = meta["high"]
    if text_length is not None:
        longest = min(longest, longest_block_size(text_length) if text_length >= SHORTEST_TEXT else 0)
    return max(meta["low"], min(value, longest)) if longest >= meta["low"] else None


def stream_seed(seed: int, place: int | str) -> int:
    """A 32-bit seed for one use of a run's dice: the start weights, a step, a sample.

    Hashed, because torch's CPU generator looks at the low 32 bits of a seed only.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}/{place}".encode(), digest_size=4).digest(), "big")
