"""The glossary: thirty terms of the field, each with one sentence and the place where it can be seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term of the field."""

    name: str
    sentence: str
    page: str
    """The page where it can be seen, such as "inside"."""
    where: str
    """Where on that page."""

    @property
    def slug(self) -> str:
        """The term in an address: learn?term=attention-head."""
        return self.name.replace(" ", "-")


_TERMS = (
    Term(
        "activation",
        "The function between the two layers of a feed-forward network that makes it more than one matrix product.",
        "inside",
        "open a feed-forward part, then “activate”",
    ),
    Term(
        "attention head",
        "A part that gives each character a weighted average of what earlier characters hold; its weights add up to "
        "100 %.",
        "attention",
        "each small picture is one head",
    ),
    Term(
        "batch",
        "The passages of text that a step learns from at once; more of them make the gradient less noisy and the step "
        "slower.",
        "train",
        "batch_size, under More settings",
    ),
    Term(
        "causal mask",
        "What hides the future from each character: it attends only to itself and earlier ones, so it cannot see the "
        "answer.",
        "attention",
        "the empty half of the large map",
    ),
    Term(
        "checkpoint",
        "Everything that training needs to continue exactly where it stopped: weights, optimizer and step.",
        "train",
        "Resume continues from one",
    ),
    Term(
        "context",
        "The previous characters from which the next one is predicted, at most block_size of them.",
        "inside",
        "the characters at the top of the picture",
    ),
    Term(
        "embedding",
        "The vector of n_embd numbers that represents a character; characters that are used alike get similar vectors.",
        "inside",
        "Characters: a map of all embeddings",
    ),
    Term(
        "feed-forward network",
        "The part of a layer that processes each character on its own, after attention has gathered what is around it.",
        "inside",
        "“feed-forward” in the picture",
    ),
    Term(
        "fork",
        "A new run that starts from the weights of another one, with other settings or on another text (fine-tuning).",
        "train",
        "Fork, below the plot",
    ),
    Term(
        "gradient",
        "For each weight, how fast the loss would rise if that weight grew; a step moves each weight the other way.",
        "inside",
        "Training step: the gradient of each part",
    ),
    Term(
        "held-out text",
        "The last 10 % of a text, which the model never trains on, so that it can be tested on something new.",
        "generate",
        "Read: a held-out passage",
    ),
    Term(
        "induction head",
        "A head that looks for what followed the last time that this character occurred, and so copies repetitions.",
        "attention",
        "Over training, in the run words-twice",
    ),
    Term(
        "knock-out",
        "Switching off a part of a trained model to measure what it is worth (ablation).",
        "inside",
        "Knock-out",
    ),
    Term(
        "layer normalization",
        "Brings the numbers of each character to the same scale before a part reads them, which keeps training stable.",
        "inside",
        "“normalize” in an attention or feed-forward part",
    ),
    Term(
        "learning rate",
        "How far each step moves the weights: too low and nothing happens, too high and training diverges.",
        "train",
        "beside the plot while a run trains",
    ),
    Term(
        "logit",
        "The model's score for a possible next character; softmax turns the scores into probabilities.",
        "inside",
        "“logits” in the picture",
    ),
    Term(
        "logit lens",
        "What the model would write if it ended after an earlier layer.",
        "inside",
        "the gray lines between the layers",
    ),
    Term(
        "loss",
        "The average surprisal of the right next characters (cross-entropy): what training minimizes.",
        "train",
        "the curve",
    ),
    Term(
        "n-gram",
        "A table that predicts the next character from the last few by counting (here called an n-character table): "
        "what a model has to beat.",
        "train",
        "the dashed lines",
    ),
    Term(
        "nat",
        "The unit of loss and surprisal: a loss of x nats is as unsure as e to the power of x equally likely "
        "characters.",
        "train",
        "both axes of the plot",
    ),
    Term(
        "optimizer",
        "The rule that turns gradients into steps, here AdamW or Muon.",
        "train",
        "under More settings",
    ),
    Term(
        "overfitting",
        "Memorizing the training text instead of learning what all such texts share: the training loss falls while "
        "the validation loss rises.",
        "train",
        "a gap between the two curves",
    ),
    Term(
        "parameter",
        "A number that training changes, also called a weight.",
        "train",
        "counted below the sliders",
    ),
    Term(
        "residual stream",
        "Each character's vector on its way through the layers; every part reads it and adds to it.",
        "inside",
        "the line at the left of the picture",
    ),
    Term(
        "softmax",
        "Turns scores into positive shares that add up to 100 %; a difference of 1 in the scores is a factor of 2.7.",
        "inside",
        "“softmax” in a head, and “probabilities”",
    ),
    Term(
        "step",
        "One update of all weights: draw a batch, predict, compute the loss and its gradient, move the weights.",
        "train",
        "the horizontal axis of the plot",
    ),
    Term(
        "surprisal",
        "Minus the logarithm of the probability that the model gave to the actual next character: 0 if it was certain.",
        "generate",
        "the tint of a text",
    ),
    Term(
        "temperature",
        "Divides the logits before a character is drawn: below 1 the likely ones win more often, above 1 less often.",
        "generate",
        "the slider",
    ),
    Term(
        "token",
        "What a model reads and writes one at a time: here a character, in large models usually a piece of a word.",
        "inside",
        "“characters become ids”",
    ),
    Term(
        "validation loss",
        "The loss on the held-out text: how well the model predicts what it has not seen.",
        "train",
        "the dots on the plot",
    ),
)

TERMS = {term.slug: term for term in _TERMS}
"""By slug, in alphabetical order."""


def term(slug: str, shown: str | None = None) -> str:
    """A term as a Markdown link to the glossary, which opens in a new tab; pointing at it shows the sentence."""
    known = TERMS[slug]
    return f'[{shown or known.name}](learn?term={slug} "{known.sentence}")'


def link(slug: str) -> str:
    """The same as HTML, for a component."""
    known = TERMS[slug]
    return f'<a href="learn?term={slug}" target="_blank" title="{known.sentence}">{known.name}</a>'
