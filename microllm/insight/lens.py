"""The logit lens: what a model would predict if it ended after each of its layers."""

from __future__ import annotations

import torch

from ..model import MicroLLM, evaluating
from ..sample import NotFinite
from .trace import Trace


def lens(model: MicroLLM, traced: Trace) -> torch.Tensor:
    """The log-probabilities of the next token after the embedding and after each layer: (L + 1, N, V).

    The final layer norm and `lm_head` read the residual stream of each layer as if it were that of the last
    (nostalgebraist 2020, "interpreting GPT: the logit lens"). The last row is the model's own prediction. Raises
    NotFinite if the model does not return numbers.
    """
    stream = torch.cat([traced.blocks.resid_pre[:1], traced.blocks.resid_post])
    with evaluating(model):
        logits = model.lm_head(model.ln_f(stream)).float()
    if not logits.isfinite().all():
        raise NotFinite
    return logits.log_softmax(-1)
