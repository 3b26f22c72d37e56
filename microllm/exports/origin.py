"""Where an export comes from: which run at which step, by which version, and which text it learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .. import __version__
from ..runs.run import Run


@dataclass(frozen=True)
class Origin:
    """What every export says about itself. `name` and `text` may come from a stranger: quote them."""

    name: str
    id: str
    step: int
    microllm: str
    torch: str
    text: str
    text_sha256: str

    @property
    def sentence(self) -> str:
        """All of it in one sentence, names quoted as in Python, so that it has no line break or other control."""
        return (
            f"It comes from the MicroLLM run {self.name!r} ({self.id}) at step {self.step:,}, made with MicroLLM "
            f"{self.microllm} and torch {self.torch}, and learned the text {self.text!r} (SHA-256 {self.text_sha256})."
        )

    def as_dict(self) -> dict[str, str | int]:
        """All of it for a JSON file."""
        return asdict(self)


def origin(run: Run, step: int) -> Origin:
    """Where an export of `run` at `step` comes from."""
    info = run.read_info()
    return Origin(info.name, info.id, step, __version__, info.torch, info.text.name, info.text.sha256)
