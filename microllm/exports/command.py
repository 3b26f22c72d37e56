"""The command `python -m microllm export`."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import textwrap
from pathlib import Path

from .. import console
from . import KINDS

_EXAMPLE = "example: python -m microllm export --run pride-quick --as script --out train.py"


def add_to(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add this command to the program."""
    kinds = "".join(
        textwrap.fill(f"{kind.sentence}", 100, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12) + "\n"
        for name, kind in KINDS.items()
    )
    parser = commands.add_parser(
        "export",
        help="export a run as a script, a notebook, a web page, a folder with the weights or a lab sheet",
        description="Export a run as a file or a folder. No export contains the text of the run.",
        epilog=f"kinds:\n{kinds}\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=export)
    parser.add_argument("--run", required=True, metavar="ID", help="the run's id, as `runs` lists it")
    parser.add_argument("--as", required=True, dest="kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="the file or folder to write; a new one"
    )
    parser.add_argument("--step", type=int, help="a snapshot's step (default: the newest)")
    return parser


def export(options: argparse.Namespace) -> int:
    """Write the export and print where it comes from. Raises ValueError and OSError for bad input."""
    from ..runs.run import Run
    from .origin import origin

    kind, path = KINDS[options.kind], options.out
    run = Run.open(options.run)
    step = run.snapshot_called(options.step)
    _check_is_new(path, f"train.{kind.ending}" if kind.ending else "model")
    made = kind.make(run, step)
    with contextlib.ExitStack() as undo:  # leaves no half-written export, for example when the disk is full
        if isinstance(made, str):
            with path.open("x", encoding="utf-8", newline="\n") as file:
                undo.callback(path.unlink)
                file.write(made)
        else:
            path.mkdir()
            undo.callback(shutil.rmtree, path)
            for name, data in made.items():
                (path / name).write_bytes(data)
        undo.pop_all()
    console.say(f"Wrote {path}. {origin(run, step).sentences()}")
    return 0


def _check_is_new(path: Path, name: str) -> None:
    """Raises ValueError if the export cannot be written to `path`. `name` is a better one inside an existing folder."""
    if path.is_dir():
        raise ValueError(f"{path} is an existing folder: choose a new name in it, such as {path / name}.")
    if path.exists() or path.is_symlink():
        raise ValueError(f"{path} exists: choose another name, or delete it first.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent}: create it, or choose another place for {path.name}.")
