"""How a run and its twin differ, measured in the background."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..corpus import EVAL_CHARACTERS
from ..data import edits
from ..data.edits import Change, Edit
from ..data.store import load_text
from ..inference import next_logits
from ..insight.memorization import after_a_cut_word
from ..insight.surprisal import token_surprisals
from ..model import MicroLLM
from ..runs.info import RunProblem
from ..runs.run import Run
from ..runs.twin import COMPARED_STEPS, first_difference, shared_windows
from ..tokenizer import CharTokenizer, known_ids
from ..train import validation_loss
from .background import Background
from .samples import prompt_for, write

SAMPLE_CHARACTERS = 160

_BARS = 8
_MAX_SPANS, _MAX_SPAN_CHARACTERS = 40, 4_000  # of the changes, evenly chosen: enough to measure a loss
_BEFORE, _AFTER = 100, 240  # characters of a passage around the start of a change
_PROMPT_CHARACTERS = 24
_REST_FACTOR = 1.0


@dataclass(frozen=True)
class Passage:
    """A piece of a text, and the surprisal (N,) of its characters to the original and to the twin, in nats."""

    text: str
    nats: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Losses:
    """The losses of the original, the twin and the run with another seed (if there is one), in nats per character.

    They are measured on `characters` of the `of` characters that there are.
    """

    characters: int
    of: int
    original: float
    twin: float
    other: float | None = None

    @property
    def change(self) -> float:
        """What the edit changes."""
        return self.twin - self.original

    @property
    def noise(self) -> float | None:
        """What another seed changes."""
        return None if self.other is None else self.other - self.original


@dataclass(frozen=True)
class Comparison:
    """How a run and its twin differ, at the newest `step` for which all have weights.

    `samples` continue `prompt` with the same seed; `following` are the most likely next characters: (character, its
    probability in the original, and in the twin). `before` and `after` are the text around one change: the one whose
    first character the original expected most. `taken_out` and `put_in` are the losses on the changed characters, each
    in its own text. `shared` and `differ_from` are as in `shared_windows`, over `steps` steps, and `losses_differ_from`
    is the first step at which the training losses differ. `are_repeatable` is True if both are (see RunInfo).
    """

    step: int
    prompt: str
    following: list[tuple[str, float, float]]
    samples: tuple[str, str]
    before: Passage
    after: Passage
    taken_out: Losses
    put_in: Losses
    held_out: Losses
    steps: int
    shared: float
    differ_from: int | None
    losses_differ_from: int | None
    are_repeatable: bool


def compare(original: Run, twin: Run, other: Run | None, work: Background) -> Comparison:
    """Compare a run with its `twin`, and with a run of another seed. Takes some seconds.

    Raises RunProblem if they have no weights of a common step, TextProblem, and weights.WeightsProblem.
    """
    runs = [original, twin, *([other] if other else [])]
    step = max(set.intersection(*(set(run.list_snapshots()) for run in runs)), default=None)
    if step is None:
        raise RunProblem(f"{original.read_info().name} and {twin.read_info().name} have no weights of the same step.")
    original.load_corpus()
    edit, tokenizer = twin.read_info().edit, original.tokenizer
    text = load_text(original.read_info().text.sha256)
    changes = edits.changes(text, edit)
    new = edits.changed(text, changes)
    models = [run.model_at(step) for run in runs]

    some, changed = _some(changes), sum(change.end - change.begin for change in changes)

    def losses_on(text: str) -> Losses:
        found = [_nats_of(model, text, some, tokenizer, work) for model in models]
        return Losses(len(found[0]), changed, *(nats.mean().item() for nats in found))

    first = [_nats(models[0], text, change.begin, change.begin + 1, tokenizer, work).item() for change in some]
    at = min(zip(first, some, strict=True), key=lambda pair: (pair[0] != pair[0], pair[0]))[1].begin
    prompt = _prompt(original, edit, text[:at])
    ids = known_ids(tokenizer, prompt)
    both = models[:2]
    samples = tuple(write(run, model, prompt, SAMPLE_CHARACTERS) for run, model in zip(runs, both, strict=False))
    work.rest(_REST_FACTOR)
    val_characters = len(original.load_corpus().val)
    held_out = [validation_loss(model, original.load_corpus(), before_each=lambda: work.rest(0)) for model in models]
    shared, differ_from = shared_windows(original, twin)
    return Comparison(
        step,
        prompt,
        _following(*both, ids, tokenizer),
        samples,
        *(_passage(both, its, at, tokenizer, work) for its in (text, new)),
        losses_on(text),
        losses_on(new),
        Losses(min(EVAL_CHARACTERS, val_characters), val_characters, *held_out),
        min(COMPARED_STEPS, original.read_info().train.max_steps),
        shared,
        differ_from,
        first_difference(original, twin),
        original.read_info().is_repeatable and twin.read_info().is_repeatable,
    )


def _some(changes: list[Change]) -> list[Change]:
    """At most _MAX_SPANS of the changes, evenly chosen."""
    return changes[:: -(-len(changes) // _MAX_SPANS)]


def _prompt(original: Run, edit: Edit, before: str) -> str:
    """A prompt after which the difference should show: what comes `before` a renamed word, or half a sentence."""
    if edit.kind == "rename":
        words = before[-_PROMPT_CHARACTERS:]
        return words[after_a_cut_word(words) :] or words
    if edit.kind == "leave-out":
        return prompt_for(original)
    sentence = edit.words[0]
    half = sentence[: -(-len(sentence) // 2)]
    return half[: half.rfind(" ") + 1] or half


def _following(
    original: MicroLLM, twin: MicroLLM, ids: torch.Tensor, tokenizer: CharTokenizer
) -> list[tuple[str, float, float]]:
    """The most likely characters after ids (N,) in either model: (character, both probabilities)."""
    before, after = (next_logits(model, ids[None])[0].softmax(dim=-1) for model in (original, twin))
    best = torch.maximum(before, after).topk(min(_BARS, len(before))).indices.tolist()
    best.sort(key=lambda i: -before[i].item())
    return [(tokenizer.vocab[i], before[i].item(), after[i].item()) for i in best]


def _passage(models: list[MicroLLM], text: str, at: int, tokenizer: CharTokenizer, work: Background) -> Passage:
    begin, end = max(0, at - _BEFORE), at + _AFTER
    begin += after_a_cut_word(text[begin:end]) if begin else 0
    original, twin = (_nats(model, text, begin, end, tokenizer, work) for model in models)
    return Passage(text[begin:end], (original, twin))


def _nats_of(
    model: MicroLLM, text: str, changes: list[Change], tokenizer: CharTokenizer, work: Background
) -> torch.Tensor:
    """The surprisals of the changed characters."""
    spans = [(change.begin, min(change.end, change.begin + _MAX_SPAN_CHARACTERS)) for change in changes]
    nats = torch.cat([_nats(model, text, *span, tokenizer, work) for span in spans])
    return nats[~nats.isnan()]  # nothing predicts the first character of a text


def _nats(model: MicroLLM, text: str, begin: int, end: int, tokenizer: CharTokenizer, work: Background) -> torch.Tensor:
    """The surprisals of the characters `begin` to `end`, each predicted from those before it in the text."""
    work.rest(_REST_FACTOR)
    first = max(0, begin - model.config.block_size)
    stride = max(1, model.config.block_size // 8)
    ids = tokenizer.encode_tensor(text[first:end])
    return token_surprisals(model, ids, guesses=1, stride=stride).nats[begin - first :]
