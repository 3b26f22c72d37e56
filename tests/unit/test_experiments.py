"""The experiments: every link sets valid knobs, and every check tells a true statement from one that is not."""

import math
from dataclasses import replace

import pytest
import torch
from making import TINY, new_run, train

from benchmarks import experiments as benchmark
from microllm.cost import Speed
from microllm.data import texts
from microllm.data.builtin import drawing_room, words_twice
from microllm.experiments.experiment import Check, Finding, Measured, Setup, check, is_over, measure
from microllm.experiments.measurements import WRITTEN_CHARACTERS
from microllm.experiments.measurements import real_words as measured_words
from microllm.experiments.registry import EXPERIMENTS
from microllm.insight.memorization import real_words
from microllm.jobs.samples import prompt_for, write_sample
from microllm.runs.archive import folder_zip
from microllm.runs.importing import import_run
from microllm.runs.info import ExperimentEntry, RunProblem
from microllm.runs.run import Run
from microllm.ui.state.experiments import link_of, read_predictions
from microllm.ui.state.link import read, written

LINES = {"uniform": 4.5, "table_1": 3.1, "table_2": 2.4, "table_3": 1.9, "table_5": 1.5}
SETUPS = [setup for experiment in EXPERIMENTS.values() for setup in experiment.setups]
HEAD = {"layer": 1.0, "head": 1.0, "chance": 0.25}
WORTH = {"worth": 0.4, "next worth": 0.2, "feed-forward worth": 0.5}


def of(last: float, train_loss: float | None = None, *, early: float = 3.2, **more: float) -> Measured:
    """A run that is at `early` until step 32 and ends at `last`."""
    losses = {0: 4.5, 8: early, 32: early, 300: last}
    return Measured(
        losses, last if train_loss is None else train_loss, LINES, {k.replace("_", " "): v for k, v in more.items()}
    )


def head(*shares: tuple[int, float], **worth: float) -> Measured:
    """The shipped run: its best head's share of attention at some steps; the loss passes the line of pairs at 500."""
    more = HEAD | {f"share {step}": share for step, share in shares} | (worth or WORTH)
    return Measured({0: 4.5, 500: 2.3, 1_000: 1.8}, 1.8, LINES, more)


HEART = Measured({0: 4.5, 16: 2.6, 300: 4.8}, 0.15, LINES, {"recited": 259})
UNLEARNED = Measured({0: 4.5, 16: 2.6, 300: 2.5}, 2.4, LINES, {"recited": 9})
TRUE = {
    "let-it-cheat": ("worse", [of(0.07, early=0.2, real_words=0.3), of(1.5, real_words=0.7)]),
    "one-character": ("on-the-line", [of(2.41), of(2.2)]),
    "shuffle-it": ("words", [of(1.55), of(1.67), of(3.1), of(1.55)]),
    "say-it-twice": ("two", [of(2.9, induction=0.19), of(1.8, induction=0.54, layer=2.0, chance=0.02)]),
    "learn-by-heart": ("blind", [HEART]),
    "too-slow-too-fast": ("middle", [of(3.8), of(2.6), of(1.8), of(3.15)]),
    "where-am-i": ("partly", [of(2.26), of(1.64), of(1.97), of(1.49)]),
    "a-head-is-born": ("pairs", [head((0, 0.25), (256, 0.33), (500, 0.6), (1_000, 0.98))]),
}
FALSE = {
    "let-it-cheat": ("better", [of(1.6, real_words=0.8), of(1.7, real_words=0.7)]),
    "one-character": ("below", [of(2.1), of(2.1)]),
    "shuffle-it": ("letters", [of(1.55), of(3.0), of(2.2), of(1.7)]),
    "say-it-twice": ("one", [of(2.9, induction=0.3), of(2.85, induction=0.02, layer=1.0, chance=0.02)]),
    "learn-by-heart": ("good", [UNLEARNED]),
    "too-slow-too-fast": ("largest", [of(2.0), of(2.1), of(1.8), of(1.5)]),
    "where-am-i": ("nothing", [of(1.65), of(1.64), of(1.66), of(1.6)]),
    "a-head-is-born": (
        "start",
        [head((0, 0.6), (500, 0.6), (1_000, 0.7), worth=0.1, **{"next worth": 0.2, "feed-forward worth": 0.05})],
    ),
}


def test_there_are_eight_and_the_made_up_results_cover_all():
    assert len(EXPERIMENTS) == 8 and EXPERIMENTS.keys() == TRUE.keys() == FALSE.keys()


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.label)
def test_its_link_is_read_without_a_complaint_and_sets_every_knob(setup):
    link = read(written(link_of(setup)))
    assert link.wrong == ()
    model, settings = setup.configs
    preset = Setup("", preset=setup.preset).configs
    changed = {**vars(model), **vars(settings)}.items() - {**vars(preset[0]), **vars(preset[1])}.items()
    assert link.values == dict(changed)
    assert (link.text, link.transform, link.first) == (setup.text, setup.how, setup.first)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_offers_two_to_four_predictions_and_can_be_stored(name):
    experiment = EXPERIMENTS[name]
    assert 2 <= len(experiment.predictions) <= 4
    assert experiment.question.endswith("?")
    assert bool(experiment.setups) != bool(experiment.shipped)
    for key in experiment.predictions:
        assert stored(ExperimentEntry(name, key)) == ExperimentEntry(name, key)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_statements_are_true_of_results_as_they_were_measured(name):
    came_true, runs = TRUE[name]
    found = EXPERIMENTS[name].check(runs)
    assert found.came_true == came_true and came_true in EXPERIMENTS[name].predictions
    assert found.findings and all(finding.is_true and finding.numbers for finding in found.findings)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_statements_are_not_true_of_other_results(name):
    came_true, runs = FALSE[name]
    found = EXPERIMENTS[name].check(runs)
    assert found.came_true == came_true and came_true in EXPERIMENTS[name].predictions
    assert not any(finding.is_true for finding in found.findings)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_that_diverged_or_could_not_be_measured_further_is_no_error(name):
    for place in range(len(EXPERIMENTS[name].setups)):
        runs = list(TRUE[name][1])
        runs[place] = replace(runs[place], train_loss=math.inf, more={})
        assert EXPERIMENTS[name].check(runs).findings


def test_the_birth_of_the_head_is_read_from_the_run_that_ships_without_its_text():
    found = check(EXPERIMENTS["a-head-is-born"], [Run.open("pride-article")])
    assert found.came_true == "pairs" and len(found.findings) == 2
    assert all(finding.is_true for finding in found.findings)


def test_an_experiment_takes_as_long_as_its_runs_one_after_another():
    speed = Speed(dict.fromkeys(("adamw", "muon"), (1e-3, 1e-12)))
    for experiment in EXPERIMENTS.values():
        assert experiment.seconds(speed) == pytest.approx(sum(setup.seconds(speed) for setup in experiment.setups))
    slower = Speed(dict.fromkeys(("adamw", "muon"), (2e-3, 2e-12)))
    twice = EXPERIMENTS["shuffle-it"]
    assert twice.seconds(slower) == pytest.approx(2 * twice.seconds(speed))


@pytest.mark.parametrize(
    "told",
    [None, "x", 7, {"a-head-is-born": "end"}, [["a-head-is-born"]], [["a-head-is-born", "moon"]], [[{}, "end"]],
     [["say-it-twice", "two"]], [["nothing", "end"]], ["x" * 10_000]],
)  # fmt: skip
def test_of_what_a_browser_says_only_predictions_about_a_run_that_ships_are_believed(told):
    assert read_predictions(told) == {}
    right = ["a-head-is-born", "end"]
    assert read_predictions([*(told if isinstance(told, list) else []), right]) == dict([right])


# ---- the benchmark


@pytest.mark.parametrize("is_true", [True, False])
def test_the_benchmark_fails_and_says_which_statement_is_no_longer_true(is_true, monkeypatch, capsys):
    def found(runs) -> Check:
        return Check("pairs", (Finding("The moon is green.", is_true, "550 nm"), Finding("Yes.", True, "1")))

    monkeypatch.setitem(EXPERIMENTS, "a-head-is-born", replace(EXPERIMENTS["a-head-is-born"], check=found))
    monkeypatch.setattr(benchmark, "the_book", lambda: None)
    monkeypatch.setattr(benchmark, "measure_speed", lambda: None)
    monkeypatch.setattr("sys.argv", ["experiments", "a-head-is-born"])
    assert benchmark.main() == (0 if is_true else 1)
    said = capsys.readouterr()
    assert "The moon is green." in said.out and "550 nm" in said.out
    assert ("The moon is green." in said.err) == (not is_true) and "Yes." not in said.err


# ---- on real runs

TWICE = Setup("tiny", "words-twice", first=2_000, values=TINY | {"max_steps": 20})


def tiny_run(**changes) -> Run:
    text = texts.prepare(words_twice(2_000), "Words said twice", source="words-twice")
    text = replace(text, first=2_000)
    return new_run(text, **{"max_steps": 20} | changes)


def test_only_a_run_with_its_text_and_settings_fits_a_setup():
    assert TWICE.fits(tiny_run().read_info())
    assert TWICE.fits(tiny_run(max_steps=40).read_info())  # trained longer
    assert not TWICE.fits(tiny_run(max_steps=10).read_info())
    assert not TWICE.fits(tiny_run(seed=1).read_info())
    assert not replace(TWICE, how="words").fits(tiny_run().read_info())


def test_a_run_is_measured_at_the_last_step_of_its_setup_also_when_it_was_trained_longer():
    run = tiny_run()
    assert not is_over(run, TWICE)
    assert train(run) == "finished" and is_over(run, TWICE)
    found = measure(run, TWICE, lambda run, model: {"vocabulary": float(model.vocab_size)})
    assert found.last == run.history.read().val_losses[-1][1] and max(found.val_losses) == 20
    assert found.more == {"vocabulary": run.tokenizer.vocab_size}
    run.extend(40)
    assert train(run) == "finished" and is_over(run, TWICE)
    assert measure(run, TWICE, lambda run, model: {}).val_losses == found.val_losses


def test_a_run_that_was_changed_while_it_trained_does_not_count():
    run = tiny_run()
    with run.writing() as writer:
        writer.event(3, {"learning_rate": 0.5})
    train(run)
    with pytest.raises(RunProblem, match="changed"):
        measure(run, TWICE, lambda run, model: {})


def test_real_words_are_counted_in_the_sample_of_the_train_page_continued():
    run = new_run(drawing_room(3_000), max_steps=20)
    train(run)
    model, train_text = run.model_at(20), run.tokenizer.decode(run.load_corpus().train)
    ids = torch.tensor([run.tokenizer.encode(prompt_for(run))])
    sample = run.tokenizer.decode(model.generate(ids, WRITTEN_CHARACTERS, temperature=0.8, seed=0)[0])
    assert sample.startswith(write_sample(run, 20, model).text)
    assert measured_words(run, model) == {"real words": real_words(sample, train_text)}


# ---- run.json


def stored(entry: ExperimentEntry) -> ExperimentEntry | None:
    run = new_run()
    run.update(experiment=entry)
    return Run.open(run.id).read_info().experiment


def test_a_run_keeps_its_experiment_and_prediction_also_in_a_zip():
    run, entry = new_run(), ExperimentEntry("say-it-twice", "two")
    assert run.read_info().experiment is None
    run.update(experiment=entry)
    assert import_run(folder_zip(run)).read_info().experiment == entry


def test_an_experiment_of_another_version_is_kept():
    assert stored(ExperimentEntry("of-the-future", "yes")) == ExperimentEntry("of-the-future", "yes")


@pytest.mark.parametrize("key", ["", "A", "a b", "é", "-a", "a\n", "x" * 41, None, 7])
def test_a_run_with_a_key_that_no_experiment_has_is_refused(key):
    for entry in (ExperimentEntry(key, "two"), ExperimentEntry("say-it-twice", key)):
        with pytest.raises(RunProblem):
            new_run().update(experiment=entry)
