"""A run as one HTML file in which the model itself runs, in JavaScript (model.js): to send to a friend."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict

import torch

from ..jobs.samples import default_prompt
from ..model import RELATIVE_SCALE, MicroLLM
from ..plots.loss_svg import loss_svg
from ..runs.info import RunProblem
from ..runs.run import Run
from ..tokenizer import CharTokenizer, visible_alone
from ..ui.words import choices
from .document import colophon, data, document, escaped, named, terms

_ACTIVATIONS = ("relu", "relu2")  # that model.js knows

SENTENCE = "the cat and the dog and the cat"
"""In it heads find repetitions. It is shown if the model knows its characters."""


def page(run: Run, step: int) -> str:
    """The page with the weights of a snapshot. The same run and step give the same page.

    Raises weights.WeightsProblem, and RunProblem.
    """
    info, model = run.read_info(), run.model_at(step)
    if info.model.activation not in _ACTIVATIONS:
        raise RunProblem(f"The web page does not know the activation {info.model.activation} (model.js).")
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
        {"model": "model.js", "script": "page.js"},
        name=escaped(info.name),
        text_name=escaped(info.text.name),
        curve=loss_svg(run.history.read(), info.references, step),
        facts=terms(_facts(run, step, model)),
        future="The empty half is the future, which is hidden."
        if info.model.causal
        else "This model has no causal mask: it sees later characters too.",
        example=escaped(json.dumps(prompt, ensure_ascii=False)),
        origin=colophon(run, step),
        data=data(about),
        weights=base64.b64encode(torch.cat(list(tensors.values())).numpy().astype("<f4").tobytes()).decode(),
    )


def _config(model: MicroLLM) -> dict:
    """What model.js has to know: the settings, and two constants."""
    return asdict(model.config) | {"relative_scale": RELATIVE_SCALE, "layer_norm_eps": model.ln_f.eps}


def _sentence(tokenizer: CharTokenizer, prompt: str) -> str:
    return prompt if tokenizer.unknown(SENTENCE) else SENTENCE


def _facts(run: Run, step: int, model: MicroLLM) -> list[tuple[str, str]]:
    """Rows (term, HTML) about the model and its training."""
    info = run.read_info()
    config, count = info.model, sum(parameter.numel() for parameter in model.parameters())
    rows = [
        ("Run", named(info.name)),
        ("Learned from", f"{named(info.text.name)}, {info.text.characters:,} characters"),
        ("Parameters", f"{count:,}, all in this file"),
        ("Layers", f"{config.n_layer} of {config.n_head} attention heads"),
        ("Sees", f"the previous {config.block_size} characters"),
        ("Knows", f"{model.vocab_size:,} different characters"),
        ("Training", f"{step:,} steps of {info.train.batch_size * config.block_size:,} characters"),
    ]
    if checks := run.history.val_losses_until(step):
        at, loss = checks[-1]
        rows.append(("Validation loss", f"{loss:.3f} nats per character at step {at:,}: as unsure as {choices(loss)}"))
    return rows
