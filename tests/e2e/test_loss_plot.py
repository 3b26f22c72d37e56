"""The loss plot alone in a browser, without a server: where things are drawn, and what a pointer does."""

import json
import math
from itertools import combinations
from pathlib import Path

import pytest
from driving import mount, until

from microllm.plots import Mark, OtherRun, loss_data
from microllm.runs.history import AXES, History
from microllm.ui.components import loss_plot

STEPS = 400
SIDE = 10  # pixels at both ends of the x-axis
REFERENCES = {"uniform": 4.5, "table_1": 3.1, "table_2": 2.5, "table_3": 1.9, "table_5": 1.5, "floor": 0.9}
NARROW, WIDE = {"width": 360, "height": 700}, {"width": 940, "height": 700}


@pytest.fixture
def history(tmp_path):
    """400 steps of half a second each; the training loss at step t is 4 - ln(t) / 3, validated at every 50th."""
    return recorded(tmp_path / "metrics.jsonl", lambda t: 4 - math.log(max(1, t)) / 3)


def recorded(path: Path, loss) -> History:
    rows = ({"step": t, "seconds": t / 2, "train_loss": loss(t)} for t in range(STEPS + 1))
    rows = (row | ({"val_loss": row["train_loss"] + 0.1} if row["step"] % 50 == 0 else {}) for row in rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return History(path).read()


def draw(page, history, axis="log", references=REFERENCES, size=WIDE, **more) -> None:
    page.set_viewport_size(size)
    data = loss_data(history, references, axis, more.pop("marks", ()), STEPS, **more)
    mount(page, loss_plot, [data])
    until(page, lambda: page.locator("svg .tick").count(), "axes")


def labels(page) -> list[dict]:
    return page.locator("svg .label").evaluate_all(
        "labels => labels.map(label => ({text: label.textContent, ...label.getBoundingClientRect().toJSON()}))"
    )


def ticks(page) -> list[str]:
    return page.locator("svg .tick.step").all_text_contents()


def at(page, share: float, height: float = 0.5) -> tuple[float, float]:
    """A place inside the axes, from 0 (first step, top) to 1."""
    inside = page.locator("svg clipPath rect")
    box = page.locator("svg").bounding_box()
    x, y, width, high = (float(inside.get_attribute(name)) for name in ("x", "y", "width", "height"))
    return box["x"] + x + SIDE + share * (width - 2 * SIDE), box["y"] + y + height * high


def told(page) -> list:
    return page.evaluate("window.told")


@pytest.mark.parametrize("axis", AXES)
def test_the_curve_is_drawn_where_its_numbers_say(axis, page, history):
    draw(page, history, axis, references={})
    drawn = page.locator("svg").evaluate(
        """svg => ({
            dots: [...svg.querySelectorAll('.dot.validation')].map(dot => [Number(dot.getAttribute('cx')), Number(dot.getAttribute('cy'))]),
            left: Number(svg.querySelector('clipPath rect').getAttribute('x')),
            width: Number(svg.querySelector('clipPath rect').getAttribute('width')),
            losses: [...svg.querySelectorAll('.tick[text-anchor=end]')].map(tick => [Number(tick.textContent), Number(tick.getAttribute('y')) - 4]),
        })"""  # noqa: E501
    )
    checks = [(step, loss) for step, loss in history.val_losses if step or axis != "log"]
    assert len(drawn["dots"]) == len(checks)
    (a, y_a), (b, y_b) = drawn["losses"][0], drawn["losses"][-1]
    for (step, loss), (x, y) in zip(checks, drawn["dots"], strict=True):
        share = math.log(step) / math.log(STEPS) if axis == "log" else step / STEPS
        assert x == pytest.approx(drawn["left"] + SIDE + share * (drawn["width"] - 2 * SIDE), abs=0.5)
        assert y == pytest.approx(y_a + (loss - a) / (b - a) * (y_b - y_a), abs=0.5)


def test_the_marks_at_both_ends_are_drawn_whole(page, history):
    for axis in ("log", "step"):
        draw(page, history, axis, marks=[Mark("passed", step, "beaten", 3.0) for step in (1, STEPS)])
        ends = page.locator("svg").evaluate(
            """svg => [svg.querySelector('clipPath rect'), ...svg.querySelectorAll('.mark, .dot')].map(one => {
                const {x, width} = one.getBBox()
                return [x, x + width]
            })"""
        )
        assert all(ends[0][0] <= left and right <= ends[0][1] for left, right in ends[1:])


CHANGES = [Mark("change", 10 * i, f"learning_rate 0.0{i}") for i in range(1, 30)]
CROWDED = [
    {"references": {"uniform": 1.3863, "table_1": 1.3701, "table_2": 1.3702, "table_3": 1.3699, "table_5": 1.37}},
    {"marks": [*CHANGES, Mark("moment", 64, "step 64: shown")]},
    {"marks": [Mark("guess", STEPS, "your guess: 1.500", 1.5), Mark("change", 300, "stop_at_loss 1.2")]},
]


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("crowded", CROWDED, ids=["lines", "changes", "guess"])
def test_no_two_labels_overlap_and_none_sticks_out(crowded, size, page, history, tmp_path):
    histories = [recorded(tmp_path / f"{i}.jsonl", lambda t, i=i: 3 - i / 1000) for i in range(4)]
    others = [OtherRun(f"{i}" * 16, "astonished-lydia", "n_layer 2", history) for i, history in enumerate(histories)]
    draw(page, history, size=size, others=others, **crowded)
    found = labels(page)
    assert len(found) >= len(others) + 1
    for one, other in combinations(found, 2):
        apart = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert apart or one["bottom"] <= other["top"] + 2 or other["bottom"] <= one["top"] + 2, (one, other)
    for one in found:
        assert 0 <= one["left"] <= one["right"] <= size["width"], one


def test_pointing_anywhere_shows_the_numbers_of_the_nearest_step(page, history):
    draw(page, history, "step")
    tip = page.locator(".tip")
    for share in (0.1, 0.5, 0.9):
        for height in (0.05, 0.95):
            page.mouse.move(*at(page, share, height))
            step = int(tip.inner_text().split("step ")[1].split("\n")[0].replace(",", ""))
            assert step == pytest.approx(share * STEPS, abs=2)
            row = history.row_of(step)
            assert f"{row['smoothed']:.3f}" in tip.inner_text()
    page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_a_dragged_range_fills_the_plot_until_the_zoom_is_reset(page, history):
    draw(page, history, "step")
    whole, reset = ticks(page), page.get_by_role("button", name="Reset zoom")
    assert reset.is_hidden()
    for undo in (reset.click, lambda: page.locator("svg").dblclick()):
        page.mouse.move(*at(page, 0.5))
        page.mouse.down()
        page.mouse.move(*at(page, 0.25), steps=3)
        assert page.locator(".range").count() == 1
        page.mouse.up()
        numbers = [int(tick) for tick in ticks(page)]
        assert 100 <= min(numbers) < max(numbers) <= 200
        page.evaluate("window.draw()")  # new data
        assert [int(tick) for tick in ticks(page)] == numbers
        assert reset.is_visible()
        undo()
        assert ticks(page) == whole and reset.is_hidden()


WHEEL = """
(svg, ctrlKey) => {
    const box = svg.getBoundingClientRect()
    const event = new WheelEvent('wheel', {
        deltaY: -300, ctrlKey, cancelable: true, bubbles: true,
        clientX: box.x + box.width / 2, clientY: box.y + box.height / 2,
    })
    svg.dispatchEvent(event)
    return event.defaultPrevented
}
"""


def test_the_wheel_belongs_to_the_page_and_with_ctrl_to_the_plot(page, history):
    draw(page, history, "step")
    whole, svg = ticks(page), page.locator("svg")
    assert svg.evaluate(WHEEL, False) is False
    assert ticks(page) == whole
    assert svg.evaluate(WHEEL, True) is True
    assert ticks(page) != whole


FINGERS = """
(svg, moves) => {
    const box = svg.getBoundingClientRect()
    for (const [kind, pointerId, x] of moves)
        svg.dispatchEvent(new PointerEvent(kind, {
            pointerId, pointerType: 'touch', bubbles: true, cancelable: true,
            clientX: box.x + x * box.width, clientY: box.y + box.height / 2,
        }))
}
"""


def test_a_swipe_leaves_the_curve_alone_and_a_pinch_zooms(page, history):
    draw(page, history, "step")
    whole, svg = ticks(page), page.locator("svg")
    svg.evaluate(FINGERS, [["pointerdown", 1, 0.3], ["pointermove", 1, 0.7], ["pointerup", 1, 0.7]])
    assert ticks(page) == whole
    assert svg.evaluate("svg => getComputedStyle(svg).touchAction") == "pan-y"
    pinch = [["pointerdown", 1, 0.45], ["pointerdown", 2, 0.55], ["pointermove", 1, 0.25], ["pointermove", 2, 0.75]]
    svg.evaluate(FINGERS, [*pinch, ["pointerup", 1, 0.25], ["pointerup", 2, 0.75]])
    numbers = [int(tick) for tick in ticks(page)]
    assert max(numbers) - min(numbers) <= STEPS / 5
    assert page.get_by_role("button", name="Reset zoom").is_visible()


def test_a_click_places_a_guess_only_where_one_can_be_made(page, history, tmp_path):
    draw(page, History(tmp_path / "none"), can_guess=True)
    for height in (0.3, 0.6):
        page.mouse.click(*at(page, 0.5, height))
    high, low = told(page)
    assert 0 < low < high < 5
    draw(page, history)
    page.mouse.click(*at(page, 0.5))
    assert told(page) == []


def test_a_tap_shows_the_numbers_and_a_guess_or_another_run_takes_a_tap_on_its_button(new_page, history, tmp_path):
    page = new_page(viewport=NARROW, has_touch=True)
    other = OtherRun("a" * 16, "quiet-jane", "", recorded(tmp_path / "other.jsonl", lambda t: 3.0))
    draw(page, history, "step", size=NARROW, can_guess=True, others=[other])
    box, tip = page.locator(".hit").bounding_box(), page.locator(".tip")
    for place in (at(page, 0.7, 0.4), (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)):
        page.touchscreen.tap(*place)
        assert tip.is_visible() and told(page) == []
        page.touchscreen.tap(10, NARROW["height"] - 10)
        assert tip.is_hidden()
    page.touchscreen.tap(*at(page, 0.7, 0.4))
    tip.get_by_role("button").tap()
    assert tip.is_hidden() and told(page) == [pytest.approx(3, abs=2)]
    page.get_by_role("button", name="quiet-jane").tap()
    assert told(page)[1:] == [other.id]


def test_another_run_is_opened_by_its_label_its_curve_and_the_keyboard(page, history, tmp_path):
    other = OtherRun("a" * 16, "quiet-jane", "n_layer 2", recorded(tmp_path / "other.jsonl", lambda t: 3.0))
    draw(page, history, "step", others=[other], references={})
    label = page.get_by_role("button", name="quiet-jane")
    assert "n_layer 2" in label.text_content() and "3.100" in label.text_content()
    label.click()
    label.press("Enter")
    box = page.locator(".hit").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    assert told(page) == [other.id] * 3


def test_the_curve_of_a_parent_begins_where_the_fork_does(page, history, tmp_path):
    parent = OtherRun("a" * 16, "quiet-jane", "", recorded(tmp_path / "p.jsonl", lambda t: 3.0), first_step=200)
    data = loss_data(history, {}, "step", max_steps=STEPS, others=[parent])
    assert data["others"][0]["x"] == [200, 250, 300, 350, 400]
