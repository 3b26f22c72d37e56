"""The last section of `generate.py`: load the model from the files beside it, and write text."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from ...config import ModelConfig
from ...inference import stream
from ...model import MicroLLM
from ...sample import Sampling
from ...tokenizer import CharTokenizer

FOLDER = Path(__file__).parent


def load_tokenizer() -> CharTokenizer:
    """The tokenizer: the characters in the order of their ids."""
    return CharTokenizer(json.loads((FOLDER / "vocab.json").read_text("utf-8")))


def load_model() -> MicroLLM:
    """The model with the exported weights, ready to write."""
    config = json.loads((FOLDER / "config.json").read_text("utf-8"))
    model = MicroLLM(ModelConfig(**config["model"]), config["vocab_size"], device="meta")
    model.load_state_dict(load_file(FOLDER / "model.safetensors"), assign=True)
    return model.eval()


def main() -> None:
    """The command line of this file."""
    tokenizer = load_tokenizer()
    letter = next(filter(str.isalpha, tokenizer.vocab), tokenizer.vocab[0])
    parser = argparse.ArgumentParser(description="Write text with the model in this folder.")
    parser.add_argument("--prompt", default=letter, help="the text to continue (default: a letter)")
    parser.add_argument("--length", type=int, default=400, help="the number of characters to write")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top_k", type=int, default=0)
    parser.add_argument("--top_p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if sys.stdout:  # it may be closed
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack some characters
    torch.set_num_threads(1)  # more threads only pay off for large models
    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    try:
        idx = torch.tensor([tokenizer.encode(options.prompt)], dtype=torch.long)
        written = stream(load_model(), idx, options.length, sampling, options.seed)
        print(options.prompt, end="")
        for chosen in written:
            print(tokenizer.decode(chosen), end="", flush=True)
        print(flush=True)
    except BrokenPipeError:  # the reader of the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
