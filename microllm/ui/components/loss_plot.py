"""The plot of the loss, drawn while a run trains.

It is our own because no chart of Streamlit lets the wheel and a swipe scroll the page, zooms to a range, shows the
values under the pointer, and keeps all that while its data grow twice a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..browser_input import number
from . import declare, reported

HTML = """
<div class="plot">
  <div class="legend">
    <span style="--color: var(--training)">training</span>
    <span style="--color: var(--validation)">validation</span>
    <span class="old" style="--color: var(--past)" hidden>old text</span>
    <em></em>
    <button class="reset" type="button" hidden>Reset zoom</button>
  </div>
  <div class="box">
    <svg role="img"></svg>
    <div class="tip" hidden></div>
  </div>
</div>
"""
SHARED = ("scales", "plot")
_loss_plot = declare("loss_plot", HTML, SHARED)


def loss_plot(
    data: dict[str, Any],
    *,
    max_guess: float,
    guess: Callable[[float], None],
    open_run: Callable[[str], None],
) -> None:
    """Show what `plots.loss_data` returns.

    `guess` is called with the loss (0 to `max_guess`) at a click, if the data allow a guess (on a touch screen, a click
    on the button that a tap shows); `open_run` with the id of another run whose curve or label was clicked.
    """

    def guessed() -> None:
        loss = reported("loss", "guessed", lambda value: data["can_guess"])
        if loss is not None and (loss := number(loss, 0, max_guess)) is not None:
            guess(loss)

    def opened() -> None:
        offered = {other["id"] for other in data["others"]}
        run_id = reported("loss", "opened", lambda value: isinstance(value, str) and value in offered)
        if run_id is not None:
            open_run(run_id)

    # in a list: in a dictionary Streamlit looks for tables and imports pandas, but a fresh server shows this plot first
    _loss_plot(key="loss", data=[data], on_guessed_change=guessed, on_opened_change=opened)
