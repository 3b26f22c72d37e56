"""The runs that stay on the loss plot beside the displayed one."""

import json

import pytest
from play import KEY, open_app, trained_run

from microllm.model import parameter_count
from microllm.runs.advice import distinction
from microllm.runs.info import Parent
from microllm.runs.run import Run

TEXT = "it rains and it rains. " * 90


def finished(text: str = TEXT, n_layer: int = 1) -> Run:
    """A run of twenty steps."""
    return trained_run(text, n_layer=n_layer, max_steps=20)


def plotted(at) -> dict:
    """What is drawn on the loss plot."""
    (plot,) = (e.proto for e in at.get("bidi_component") if e.proto.component_name == "microllm.loss_plot")
    return json.loads(plot.json)[0]


def others(at) -> list[str]:
    return [other["id"] for other in plotted(at)["others"]]


@pytest.fixture
def runs():
    """Four runs on one text, the oldest first."""
    made = [finished(n_layer=layers) for layers in (1, 2, 3, 1)]
    for age, run in enumerate(made):
        run.update(created=1_000.0 + age)
    return made


def opened(runs):
    return open_app("train", run=runs[0].id, stored={run.id: KEY for run in runs})


def test_the_newest_runs_on_the_same_text_are_on_the_plot_with_their_differences(runs):
    other_text = finished(TEXT.upper())
    at = open_app("train", run=runs[0].id, stored={run.id: KEY for run in [*runs, other_text]})
    assert others(at) == [run.id for run in reversed(runs[1:])]
    for other, run in zip(plotted(at)["others"], reversed(runs[1:]), strict=True):
        assert other["name"] == run.read_info().name
        assert other["note"] == distinction(runs[0].read_info(), run.read_info())
        assert other["loss"] == [round(loss, 4) for step, loss in run.history.read().val_losses if step]


def unfold(at, menu: str) -> None:
    at.session_state[menu] = True
    at.run()


def test_a_menu_says_how_good_each_is_and_chooses_which(runs):
    at = opened(runs)
    unfold(at, "compare")
    for run in runs[1:]:
        info, entry = run.read_info(), at.checkbox(key=f"compare-{run.id}").label
        parameters = parameter_count(info.model, run.tokenizer.vocab_size)
        for number in (f"{run.history.read().best:.3f}", f"{parameters:,}", distinction(runs[0].read_info(), info)):
            assert number in entry
    at.checkbox(key=f"compare-{runs[3].id}").uncheck().run()
    assert others(at) == [runs[2].id, runs[1].id]
    unfold(at, "compare")
    at.button(key=f"compare-open-{runs[2].id}").click().run()
    assert at.query_params["run"] == runs[2].id
    assert not at.exception


def test_a_run_keeps_its_color_as_long_as_it_is_on_the_plot(runs):
    def colors() -> dict[str, int]:
        return {other["id"]: other["color"] for other in plotted(at)["others"]}

    first, second, third, fourth = (run.id for run in runs)
    at = opened(runs)
    before = colors()
    assert sorted(before.values()) == [1, 2, 3]
    unfold(at, "compare")
    at.checkbox(key=f"compare-{fourth}").uncheck().run()
    assert colors() == {third: before[third], second: before[second]}
    unfold(at, "compare")
    at.button(key=f"compare-open-{third}").click().run()  # another run is on show, and this one is beside it no longer
    assert colors() == {second: before[second]}
    unfold(at, "compare")
    at.checkbox(key=f"compare-{first}").check().run()
    unfold(at, "compare")
    at.checkbox(key=f"compare-{fourth}").check().run()  # a newer one, so it is listed before the others
    assert others(at)[0] == fourth
    assert colors()[second] == before[second] and sorted(colors().values()) == [1, 2, 3]


def test_another_persons_run_on_their_own_text_is_not_compared(runs):
    at = open_app("train", run=runs[0].id, stored={runs[0].id: KEY, runs[1].id: KEY})
    assert others(at) == [runs[1].id]


def test_the_parent_of_a_fork_goes_on_beside_it_from_the_step_of_the_fork(runs):
    parent, child = runs[0], runs[3]
    name = parent.read_info().name
    child.update(parent=Parent(id=parent.id, name=name, step=10, goes_on=True, has_memory=True))
    at = open_app("train", run=child.id, stored={run.id: KEY for run in runs})
    first = plotted(at)["others"][0]
    assert first["id"] == parent.id
    assert first["x"] == [step for step, _ in parent.history.read().val_losses if step >= 10]
