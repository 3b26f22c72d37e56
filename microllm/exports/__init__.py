"""Exports of a run: each kind is a module here, with a function of the same name."""

from __future__ import annotations

import importlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch, for which --help need not wait
    from ..runs.run import Run


@dataclass(frozen=True)
class Kind:
    """A kind of export, such as a script. `ending` is that of its file; a kind with several files has none."""

    name: str
    ending: str
    label: str
    sentence: str

    def make(self, run: Run, step: int) -> str | dict[str, bytes]:
        """The file, or the files by name, of a run at the step of a snapshot.

        Raises RunProblem if this run has no such export, and weights.WeightsProblem.
        """
        return getattr(importlib.import_module(f".{self.name}", __name__), self.name)(run, step)

    def make_file(self, run: Run, step: int) -> bytes:
        """Like `make`, but several files become one zip."""
        made = self.make(run, step)
        if isinstance(made, str):
            return made.encode("utf-8")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name, data in made.items():
                archive.writestr(name, data)
        return packed.getvalue()


_KINDS = (
    Kind("script", "py", "Script", "One Python file that trains this model again, step by step, with torch only."),
    Kind(
        "notebook", "ipynb", "Notebook", "The same as a Jupyter notebook, section by section, and a plot of the loss."
    ),
    Kind("page", "html", "Web page", "One HTML file in which the model itself writes, offline, even on a phone."),
    Kind("folder", "", "Weights", "The model as safetensors and JSON, with a short program that writes text with it."),
    Kind("sheet", "html", "Lab sheet", "Question, settings, curve, samples and result, to fill in and print."),
)

KINDS = {kind.name: kind for kind in _KINDS}
"""All kinds by name, for the command line and the app."""
