"""A run as a Jupyter notebook, which trains the same model again and plots its loss."""

from __future__ import annotations

import json
from typing import Any

from ..runs.run import Run
from .program import training_program

_ABOUT = """# A language model from scratch

This notebook is a whole character-level Transformer: it reads a text, learns to predict the next character, and writes.
Run the cells from top to bottom; it needs `torch` and, for the plot, `matplotlib`."""

_CHOICES = """text_files = []  # such as ["book.txt"]; empty: the text of the run, if it can be made or downloaded
max_steps = last_step()  # a smaller number stops earlier; a larger one needs a larger TrainConfig.max_steps"""

_WEIGHTS = """
weights_file = "model/model.safetensors"  # written by: {command}"""

_START = "trainer = new_trainer(load_text(text_files))"
_START_WITH_WEIGHTS = "\nload_weights(trainer, weights_file)"

_TRAIN = """
steps, train_losses, val_steps, val_losses = [], [], [], []
for progress in trainer:
    steps.append(progress.step)
    train_losses.append(progress.train_loss)
    if progress.val_loss is not None:
        val_steps.append(progress.step)
        val_losses.append(progress.val_loss)
        print(f"step {progress.step:,}: validation loss {progress.val_loss:.3f} nats per character")
    if progress.step >= max_steps:
        break"""

_PLOT = """import matplotlib.pyplot as plt

plt.figure(figsize=(9, 4))
plt.plot(steps, train_losses, linewidth=0.6, label="training")
plt.plot(val_steps, val_losses, marker="o", markersize=3, label="validation (held-out text)")
plt.xlabel("step")
plt.ylabel("loss (nats per character)")
plt.legend()
plt.show()"""


def notebook(run: Run, step: int) -> str:
    """The notebook as JSON, format 4.5. Raises RunProblem as `course` does."""
    roots, choices, start = ["new_trainer", "load_text", "write_sample", "last_step"], _CHOICES, _START
    beginning, sections, command = training_program(run, step, roots)
    if command:
        choices += _WEIGHTS.format(command=command)
        start += _START_WITH_WEIGHTS
    cells = [("markdown", _ABOUT), ("code", beginning)]
    for number, section in enumerate(sections, 1):
        cells += [("markdown", f"## {number}. {section.title}\n\n{section.about}"), ("code", section.code)]
    cells += [
        ("code", choices),
        ("markdown", "## Training\n\nOne line per validation check. The loss should fall quickly, then slowly."),
        ("code", start + _TRAIN),
        ("markdown", "## A sample\n\nThe model writes character by character. It has seen only this one text."),
        ("code", "write_sample(trainer)"),
        (
            "markdown",
            "## The loss\n\nThe loss is the mean surprisal of the next character. Where the validation loss stops "
            "falling while the training loss keeps falling, the model memorizes (overfitting).",
        ),
        ("code", _PLOT),
    ]
    return json.dumps(
        {
            "cells": [_cell(number, *cell) for number, cell in enumerate(cells)],
            "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    code = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source} | code
