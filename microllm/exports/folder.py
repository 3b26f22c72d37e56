"""The weights of one step as a folder of ordinary files, with a program that writes text with them."""

from __future__ import annotations

import json
from dataclasses import asdict

from ..runs.run import Run
from ..runs.weights import pack_tensors
from .origin import origin
from .program import writing_program
from .script import as_file

_ABOUT = (
    "Write text with the model in this folder: run `python generate.py --prompt ...` (all options: --help). It needs "
    "torch and safetensors. The code is from the source of MicroLLM. (Comments may mention names that are only there.)"
)


def folder(run: Run, step: int) -> dict[str, bytes]:
    """The files by name. Raises weights.WeightsProblem."""
    model, tokenizer = run.model_at(step), run.tokenizer
    config = {
        "model": asdict(model.config),
        "vocab_size": tokenizer.vocab_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "origin": asdict(origin(run, step)),
    }
    program = as_file([_ABOUT], *writing_program(run, step))
    return {
        "config.json": json.dumps(config, indent=1).encode(),
        "vocab.json": json.dumps(tokenizer.vocab).encode(),
        "model.safetensors": pack_tensors(model.state_dict()),
        "generate.py": program.encode("utf-8"),
    }
