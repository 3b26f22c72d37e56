"""Numbers as text, for our components: an array would go through pandas to Arrow."""

from __future__ import annotations

import base64

import torch


def in_base64(numbers: torch.Tensor, dtype: torch.dtype) -> str:
    """The bytes of some numbers, each as a `dtype`."""
    return base64.b64encode(numbers.to(dtype).contiguous().numpy()).decode()
