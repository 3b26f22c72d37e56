"""What experiments and challenges measure on a run besides its losses."""

from __future__ import annotations

import contextlib

from ..corpus import Corpus
from ..data.decode import TextProblem
from ..insight.heads import HeadScore
from ..insight.knockout import MEAN_CHARACTERS, Part, change, knock_out, mean_outputs, parts_of, window_losses
from ..insight.memorization import longest_copy, parts
from ..jobs.head_scores import measure as score_heads
from ..jobs.head_scores import over_snapshots
from ..jobs.samples import prompt_for, share_of_real_words, write
from ..model import MicroLLM
from ..runs.run import Run

WRITTEN_CHARACTERS = 600
"""The length of the text that is measured: the sample on the Train page, continued."""

_FAITHFUL_TEMPERATURE = 0.5
"""The temperature for reciting: the model nearly always writes the most likely character."""


def real_words(run: Run, model: MicroLLM) -> dict[str, float]:
    """The share (0 to 1) of real words, as on the Train page, but in a sample five times as long: the 20 words there
    are too few to tell two models apart.
    """
    prompt = prompt_for(run)
    share = share_of_real_words(run, prompt + write(run, model, prompt, WRITTEN_CHARACTERS))
    return {} if share is None else {"real words": share}


def longest_recitation(run: Run, model: MicroLLM) -> dict[str, float]:
    """The length of the longest passage of the model's output that occurs word for word in its training text.

    The prompt does not count.
    """
    train_text, _ = parts(run.read_info().text.sha256)
    written = write(run, model, prompt_for(run), WRITTEN_CHARACTERS, _FAITHFUL_TEMPERATURE)
    return {"recited": longest_copy(written, train_text)[1]}


def induction(run: Run, model: MicroLLM) -> dict[str, float]:
    """The best induction head: its attention to what followed this character last time, and its layer (from 1)."""
    score = _score(score_heads(run, model), "induction")
    layer, _ = _best(score)
    return {"induction": score.shares.max().item(), "layer": layer + 1, "chance": score.chance}


def birth_of_a_head(run: Run, model: MicroLLM) -> dict[str, float]:
    """The head that ends with the largest share on the previous character: where it is, its share at each snapshot, and
    what it is worth.

    The scores come with the runs of the gallery. The worth of a head and of the first feed-forward network, in nats per
    character, is measured on the text of the run, and missing without it.
    """
    steps = run.list_snapshots()
    scores = {step: _score(found, "previous_token") for step, found in over_snapshots(run).want(steps).items()}
    score = scores[steps[-1]]
    layer, head = _best(score)
    found = {"layer": layer + 1, "head": head + 1, "chance": score.chance}
    found |= {f"share {step}": scores[step].of(layer, head) for step in steps}
    with contextlib.suppress(TextProblem):
        corpus = run.load_corpus()
        heads = [part for part in parts_of(model.config) if part.head is not None]
        worth = _worth(model, corpus, [*heads, Part(0, None)])
        found |= {"feed-forward worth": worth.pop(Part(0, None)), "worth": worth.pop(Part(layer, head))}
        found |= {"next worth": max(worth.values())}
    return found


def head_of_the_previous_character(run: Run) -> tuple[int, int]:
    """The (layer, head), from 0, that attends most to the previous character at the last snapshot of a gallery run."""
    steps = run.list_snapshots()
    return _best(_score(over_snapshots(run).want(steps)[steps[-1]], "previous_token"))


def _score(scores: list[HeadScore], name: str) -> HeadScore:
    return next(score for score in scores if score.name == name)


def _best(score: HeadScore) -> tuple[int, int]:
    """The (layer, head) with the largest share."""
    layer, head = divmod(int(score.shares.argmax()), score.shares.shape[1])
    return layer, head


def _worth(model: MicroLLM, corpus: Corpus, some: list[Part]) -> dict[Part, float]:
    """How much the validation loss rises when a part always gives its mean output, in nats per character."""
    size = model.config.block_size
    inputs, targets = corpus.validation_windows(size)
    means = mean_outputs(model, corpus.validation_windows(size, MEAN_CHARACTERS)[0])
    whole = window_losses(model, inputs, targets)
    return {part: change(whole, window_losses(knock_out(model, [part], means), inputs, targets)).nats for part in some}
