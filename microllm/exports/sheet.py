"""A run as a lab sheet: one HTML file with question, prediction, settings, curve, samples and result, to print."""

from __future__ import annotations

import contextlib

from ..config import PRESETS, REFERENCE_NAMES, flat, knobs
from ..experiments.registry import EXPERIMENTS
from ..jobs.samples import snapshot_text
from ..model import parameter_count
from ..runs.export import caveats, command_line
from ..runs.info import RunInfo
from ..runs.run import Run
from ..ui.words import choices
from .document import CHEATS, colophon, document, escaped, figure


def sheet(run: Run, step: int) -> str:
    """The lab sheet of a run at a snapshot. Where there is no question or prediction it has space to write one.

    Raises weights.WeightsProblem, and RunProblem.
    """
    info = run.read_info()
    names_parent = not info.has_private_parent
    count = parameter_count(info.model, run.tokenizer.vocab_size)
    question, prediction = _asked(info)
    return document(
        "sheet",
        f"Lab sheet: {info.name}",
        {"script": "sheet.js"},
        name=escaped(info.name),
        key=escaped(f"{info.created} {step}"),
        step=f"{step:,}",
        question=_said_or_room("question", question),
        prediction=_said_or_room("prediction", prediction),
        changed=f"{count:,} parameters. Preset: {PRESETS[info.preset].title}. Settings that differ from it are bold.",
        settings=_settings(run),
        curve=figure(run, step),
        sampling="At temperature 0.8, always from the same prompt and with the same random seed.",
        samples="".join(_sample(run, at) for at in _moments(run, step)),
        result=_result(run, step),
        command=escaped(command_line(run, names_parent=names_parent)),
        caveats="".join(
            f'<p class="help">{escaped(sentence)}</p>' for sentence in caveats(run, names_parent=names_parent)
        ),
        origin=colophon(run, step),
    )


def _asked(info: RunInfo) -> tuple[str | None, str | None]:
    """(question, prediction) of the experiment to which a run belongs; for any other run, the person's guess."""
    experiment = EXPERIMENTS.get(info.experiment.name) if info.experiment else None
    if experiment:
        return experiment.question, experiment.predictions.get(info.experiment.prediction)
    if info.guess is None:
        return None, None
    return None, f"The final validation loss will be {info.guess:.3f} nats per character."


def _said_or_room(title: str, words: str | None) -> str:
    """What was said; without it, space to write, labeled by the heading with the id `title`."""
    if words:
        return f'<p class="said" dir="auto">{escaped(words)}</p>'
    field = 'class="own some" contenteditable="plaintext-only" role="textbox" aria-multiline="true"'
    return f'<div {field} aria-labelledby="{title}"></div>'


def _settings(run: Run) -> str:
    info = run.read_info()
    preset = PRESETS[info.preset]
    usual, rows = flat(preset.model, preset.train), []
    for name, value in flat(info.model, info.train).items():
        kind = "" if value == usual[name] else ' class="changed"'
        label = f"{name} · {knobs()[name].metadata['plain']}"
        rows.append(f"<div{kind}><span>{escaped(label)}</span><span>{escaped(_shown(value))}</span></div>")
    return "".join(rows)


def _shown(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value) if value != "" else "none"


def _moments(run: Run, step: int) -> list[int]:
    """The first snapshot, one in the middle and that of `step`; fewer if there are not that many."""
    steps = [at for at in run.list_snapshots() if at < step]
    return sorted({*steps[:1], *steps[(len(steps) + 1) // 2 :][:1], step})


def _sample(run: Run, step: int) -> str:
    text = escaped(snapshot_text(run, step))
    return f'<div class="sample"><h3>Step {step:,}</h3><p dir="auto">{text}</p></div>'


def _result(run: Run, step: int) -> str:
    """The losses at `step`, and when the run beat each counting table, as two tables."""
    info, checks = run.read_info(), run.history.val_losses_until(step)
    losses = []
    with contextlib.suppress(KeyError):  # its row was lost
        losses.append((f"training, smoothed, at step {step:,}", run.history.row_of(step)["smoothed"]))
    losses += [(f"validation, at step {at:,}", loss) for at, loss in checks[-1:]]
    if info.full_val_loss is not None and step == run.newest_snapshot():
        losses.append(("validation, on all of the held-out text", info.full_val_loss))
    rows = [(name, f"{loss:.3f}", choices(loss)) for name, loss in losses if loss is not None]
    head = ("Loss", "nats per character", "as unsure as")
    tables = _table(head, rows) if rows else "<p>No loss was measured by this step.</p>"
    if info.state == "failed":
        last = run.history.read().last
        when = f"after step {last['step']:,}" if last else "before its first step"
        tables = f"<p>Training failed {when}.</p>{tables}"
    if not info.model.causal:
        return f"<p>{CHEATS}</p>{tables}"
    beaten = []
    for key, loss in sorted(info.references.items(), key=lambda reference: -reference[1]):
        first = next((f"at step {at:,}" for at, val_loss in checks if at and val_loss < loss), "not yet")
        beaten.append((REFERENCE_NAMES[key], f"{loss:.3f}", "cannot be beaten" if key == "floor" else first))
    return tables + _table(("To beat", "nats per character", "beaten"), beaten) if beaten else tables


def _table(head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> str:
    """Rows (words, number, words)."""

    def cells(row: tuple[str, str, str], tag: str) -> str:
        first, number, last = map(escaped, row)
        return f'<tr><{tag}>{first}</{tag}><{tag} class="number">{number}</{tag}><{tag}>{last}</{tag}></tr>'

    return (
        f"<table><thead>{cells(head, 'th')}</thead><tbody>{''.join(cells(row, 'td') for row in rows)}</tbody></table>"
    )
