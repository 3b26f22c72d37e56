"""A run as one Python file, which trains the same model again."""

from __future__ import annotations

from ..runs.export import DIFFERS
from ..runs.run import Run
from .program import Section, comment, training_program

_ABOUT = (
    "A whole language model in one file: tokenizer, data, model, optimizer, training and generation, from the source "
    "of MicroLLM. (Comments may mention names that are only there.)"
)
_HOW_TO_RUN = (
    "Run this file with Python: `--help` lists its options. It needs torch {torch}, and requests only to download a "
    "text. {promise}"
)
_REPEATS = "With the same text and on the same machine it repeats the losses of the run digit for digit."
_HOW_TO_BEGIN = (
    "The run began with the weights of another run. Write them with `{command}`, then run this file with `--weights "
    "model/model.safetensors`."
)


def script(run: Run, step: int) -> str:
    """The source of the file, which may have any name. Raises RunProblem as `course` does."""
    beginning, sections, command = training_program(run, step, ["main"])
    info = run.read_info()
    promise = _REPEATS if info.is_repeatable else DIFFERS
    about = [_ABOUT, _HOW_TO_RUN.format(torch=info.torch.partition("+")[0], promise=promise)]
    if command:
        about.append(_HOW_TO_BEGIN.format(command=command))
    return as_file(about, beginning, sections)


def as_file(about: list[str], beginning: str, sections: list[Section]) -> str:
    """A program as one file: what it is, where it comes from, and each section under a heading, with `main` last."""
    start = "\n#\n".join([*map(comment, about), beginning])
    parts = [
        f"# {'-' * 118}\n# {number}. {section.title}\n#\n{comment(section.about)}\n\n\n{section.code}\n\n\n"
        for number, section in enumerate(sections, 1)
    ]
    return f'{start}\n\n{"".join(parts)}if __name__ == "__main__":\n    main()\n'
