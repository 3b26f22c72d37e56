"""A run as one HTML file in which the model itself runs, in JavaScript (model.js), for sending to a friend."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict

import torch

from ..config import ModelConfig
from ..jobs.samples import default_prompt
from ..model import RELATIVE_SCALE, MicroLLM
from ..runs.info import RunInfo, RunProblem
from ..runs.run import Run
from ..tokenizer import CharTokenizer, visible_alone
from ..ui.words import choices
from .document import colophon, data, document, escaped, figure, named, terms

_ACTIVATIONS = ("relu", "relu2")  # those that model.js implements

SENTENCE = "the cat and the dog and the cat"
"""A sentence with repetitions for the heads to find. It is shown if the model knows its characters."""


def page(run: Run, step: int) -> str:
    """The page with the weights of a snapshot. The same run and step give the same page.

    Raises weights.WeightsProblem, and RunProblem.
    """
    info, model = run.read_info(), run.model_at(step)
    if info.model.activation not in _ACTIVATIONS:
        raise RunProblem(f"The web page does not support the activation {info.model.activation} (see model.js).")
    prompt, vocab = default_prompt(run), run.tokenizer.vocab
    tensors = {name: tensor.float().flatten() for name, tensor in model.state_dict().items()}
    about = {
        "config": _config(model),
        "vocab": list(vocab),  # not one string, in which two lone surrogates could become one character
        "shown": [visible_alone(character) for character in vocab],
        "prompt": prompt,
        "sentence": _sentence(run.tokenizer, prompt),
        "weights": [(name, len(tensor)) for name, tensor in tensors.items()],
    }
    return document(
        "page",
        f"{info.name}, a language model in one page",
        {"model": "model.js", "script": "page.js"},
        learned=_learned(info, step),
        looking=_looking(info.model),
        curve=figure(run, step),
        facts=terms(_facts(run, step, model)),
        future="The empty half is the future, which is hidden."
        if info.model.causal
        else "This model has no causal mask: it sees later characters too.",
        example=escaped(json.dumps(prompt, ensure_ascii=False)),
        origin=colophon(run, step),
        data=data(about),
        weights=base64.b64encode(torch.cat(list(tensors.values())).numpy().astype("<f4").tobytes()).decode(),
    )


def _learned(info: RunInfo, step: int) -> str:
    """A sentence about what the model learned by `step`."""
    text = f"<cite>{named(info.text.name)}</cite>"
    if step == 0:
        began = "its weights are those of another run" if info.parent else "its weights are random"
        return f"It has not yet been trained on {text}: {began}."
    if info.model.causal:
        return f"It learned from {text} to predict the next character."
    return f"It was trained on {text} without a causal mask, so it saw the character that it should predict."


def _looking(config: ModelConfig) -> str:
    """Sentences about what its attention heads do."""
    where = "back from each character to earlier ones" if config.causal else "from each character at all characters"
    silent = " Those whose names are crossed out are silenced: their output is always zero." if config.silenced else ""
    return f"Before it predicts, every head of every layer looks {where}.{silent}"


def _config(model: MicroLLM) -> dict:
    """What model.js needs to know: the settings, and two constants."""
    return asdict(model.config) | {"relative_scale": RELATIVE_SCALE, "layer_norm_eps": model.ln_f.eps}


def _sentence(tokenizer: CharTokenizer, prompt: str) -> str:
    return prompt if tokenizer.unknown(SENTENCE) else SENTENCE


def _facts(run: Run, step: int, model: MicroLLM) -> list[tuple[str, str]]:
    """Rows (term, HTML) about the model and its training."""
    info = run.read_info()
    config, count = info.model, sum(parameter.numel() for parameter in model.parameters())
    rows = [
        ("Run", named(info.name)),
        ("Text", f"{named(info.text.name)}, {info.text.characters:,} characters"),
        ("Parameters", f"{count:,}, all in this file"),
        ("Layers", f"{config.n_layer} of {config.n_head} attention heads"),
        ("Sees", f"{config.block_size} characters" + ("" if config.causal else ", including later ones")),
        ("Knows", f"{model.vocab_size:,} different characters"),
        ("Training", f"{step:,} steps of {info.train.batch_size * config.block_size:,} characters"),
    ]
    if checks := run.history.val_losses_until(step):
        at, loss = checks[-1]
        unsure = f": as unsure as {choices(loss)}" if config.causal else ""
        rows.append(("Validation loss", f"{loss:.3f} nats per character at step {at:,}{unsure}"))
    return rows
