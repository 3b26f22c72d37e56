"""Each situation is recognized by its numbers and by nothing else; each suggestion could be started."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microllm.config import PRESETS, ModelConfig, TrainConfig, configs_from, problems
from microllm.data.texts import Text
from microllm.runs.advice import all_changes, differences, next_steps, overfits_since, what_changes
from microllm.runs.history import History
from microllm.runs.info import RunInfo

TEXT = Text("made", "0" * 64, 700_000)
REFERENCES = {"uniform": 4.5, "table_1": 3.13, "table_2": 2.45, "table_3": 1.9, "table_5": 1.47}


def info(model=None, train=None, **more) -> RunInfo:
    facts = {"state": "finished", "preset": "quick", "references": REFERENCES, "text": TEXT, "message": ""}
    facts |= {"id": "0" * 16, "name": "calm-darcy", "created": 0.0, "threads": 1, "torch": "2"} | more
    return RunInfo(model=model or ModelConfig(), train=train or TrainConfig(), **facts)


@pytest.fixture
def history(tmp_path):
    """Write a curve: a function of the step for training, and one for validation at every tenth of the run."""

    def write(training, validation=None, steps: int = 1_000) -> History:
        rows = []
        for step in range(0, steps + 1, max(1, steps // 200)):
            row = {"step": step, "seconds": step / 100, "train_loss": training(step / steps)}
            if step % (steps // 10) == 0:
                row["val_loss"] = (validation or training)(step / steps)
            rows.append(row)
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return History(tmp_path / "metrics.jsonl").read()

    return write


def falling(start: float, end: float, quickly: float = 8):
    """From one loss to another, most of it early; flat at the end unless `quickly` is small."""
    return lambda x: end + (start - end) * 2.718 ** (-quickly * x)


def situations(suggestions) -> list[str]:
    return [suggestion.situation for suggestion in suggestions]


# ---- the situations


def test_a_curve_that_still_falls_asks_for_more_steps(history):
    (suggestion,) = next_steps(info(), history(falling(4.5, 1.2, quickly=3), steps=2_000))
    assert suggestion.situation == "still falling"
    assert suggestion.changes == {"max_steps": 4_000}
    curve = falling(4.5, 1.2, quickly=3)
    drop = (curve(0.7) + curve(0.8)) / 2 - curve(1)  # between two validation checks there is a straight line
    assert f"{drop:.3f} nats" in suggestion.measured


def test_a_curve_that_has_settled_asks_for_nothing(history):
    assert next_steps(info(), history(falling(4.5, 1.3, quickly=12))) == []


def test_a_run_that_was_stopped_early_is_to_go_on_to_its_end(history):
    curve = history(falling(4.5, 1.2, quickly=3))
    with curve.path.open("a") as metrics:
        metrics.write(
            json.dumps({"step": 1_007, "seconds": 10.07, "train_loss": 1.2}) + "\n"
        )  # a few steps after its last validation check
    (suggestion,) = next_steps(info(state="stopped"), curve.read())
    assert suggestion.changes == {}
    assert "step 1,007" in suggestion.advice and "2,000" in suggestion.advice


def test_a_run_that_stopped_at_its_loss_is_to_go_beyond_it(history):
    stopped = info(train=TrainConfig(stop_at_loss=1.5))
    (suggestion,) = next_steps(stopped, history(falling(4.5, 1.2, quickly=3)))
    assert suggestion.changes == {"stop_at_loss": 0.0}


def test_overfitting_is_named_with_the_step_at_which_it_began(history):
    curve = history(falling(4.5, 0.3), lambda x: 2.0 + 2 * abs(x - 0.3))
    assert overfits_since(curve) == 300
    suggestions = next_steps(info(train=TrainConfig(max_steps=1_000)), curve)
    assert set(situations(suggestions)) == {"overfitting"}
    assert [suggestion.changes for suggestion in suggestions] == [{"dropout": 0.2}, {"n_embd": 32}, {"max_steps": 300}]
    assert all(number in suggestions[0].measured for number in ("step 300", "2.000", "3.400"))


def test_validation_that_rises_while_training_rises_too_is_not_overfitting(history):
    assert overfits_since(history(lambda x: 2.0 + 2 * abs(x - 0.3))) is None


def test_one_bad_validation_check_is_not_overfitting(history):
    curve = history(falling(4.5, 1.0), lambda x: 2.5 if x == 1 else 2.0 - 0.1 * x)
    assert overfits_since(curve) is None


def test_validation_that_fluctuates_is_not_overfitting(history):
    assert overfits_since(history(falling(4.5, 1.0), lambda x: 2.0 + 0.02 * (round(10 * x) % 2))) is None


def test_overfitting_is_seen_two_validation_checks_after_it_began(history):
    curve = history(falling(4.5, 0.3), lambda x: 2.0 + 2 * abs(x - 0.3))
    val_losses, seen = curve.val_losses, []
    for count in range(len(val_losses) + 1):
        curve.val_losses = val_losses[:count]
        seen.append(overfits_since(curve))
    assert seen == [None] * 6 + [300] * 6


def test_a_gap_that_grows_asks_for_dropout_or_a_smaller_model(history):
    suggestions = next_steps(info(), history(lambda x: falling(4.5, 2.0)(x) - 0.6 * x, falling(4.5, 2.0)))
    assert situations(suggestions) == ["gap", "gap"]
    assert [suggestion.changes for suggestion in suggestions] == [{"dropout": 0.2}, {"n_embd": 32}]


def test_a_gap_that_was_there_from_the_start_says_nothing(history):
    held_out_is_harder = falling(4.5, 2.0)
    assert next_steps(info(), history(lambda x: held_out_is_harder(x) - 0.4, held_out_is_harder)) == []


def test_a_loss_at_that_of_pairs_asks_for_a_longer_context_and_more_layers(history):
    model = ModelConfig(block_size=4, n_layer=1)
    suggestions = next_steps(info(model), history(falling(4.5, 2.44, quickly=20)))
    assert situations(suggestions) == ["pairs", "pairs"]
    assert [suggestion.changes for suggestion in suggestions] == [{"block_size": 16}, {"n_layer": 2}]
    assert "2.440" in suggestions[0].measured and "2.450" in suggestions[0].measured


def test_where_three_characters_predict_no_better_than_two_a_loss_at_that_of_pairs_suggests_nothing(history):
    no_more = REFERENCES | {"table_3": 2.44}
    suggestions = next_steps(info(ModelConfig(block_size=4), references=no_more), history(falling(4.5, 2.44, 20)))
    assert suggestions == []


@pytest.mark.parametrize(
    ("optimizer", "rate", "expected"),
    [("adamw", 1e-6, 1e-3), ("adamw", 4e-4, 1e-3), ("muon", 1e-3, 0.02), ("muon", 0.9, 0.02), ("adamw", 1.0, 1e-3)],
)
def test_stuck_at_letter_frequencies_asks_for_the_usual_learning_rate(optimizer, rate, expected, history):
    train = TrainConfig(optimizer=optimizer, learning_rate=rate)
    (suggestion,) = next_steps(info(train=train), history(falling(4.5, 3.12, quickly=2)))
    assert suggestion.situation == "stuck"
    assert suggestion.changes == {"learning_rate": pytest.approx(expected)}


def test_letters_in_no_order_leave_nothing_better_than_their_frequencies(history):
    shuffled = REFERENCES | {"table_2": 3.13, "table_3": 3.2}
    assert next_steps(info(references=shuffled), history(falling(4.5, 3.13, quickly=20))) == []


def test_a_run_that_diverged_asks_for_a_tenth_of_the_learning_rate(history):
    curve = history(lambda x: None if x > 0.5 else 4.5, lambda x: 4.5 if x <= 0.5 else None)
    failed = info(state="failed", train=TrainConfig(learning_rate=0.5))
    (suggestion,) = next_steps(failed, curve)
    assert (suggestion.situation, suggestion.changes) == ("diverged", {"learning_rate": 0.05})


def test_a_loss_that_rose_far_above_its_beginning_counts_as_diverged(history):
    (suggestion,) = next_steps(info(), history(lambda x: 4.5 + 20 * x))
    assert (suggestion.situation, suggestion.changes) == ("diverged", {"learning_rate": 0.002})


def test_nothing_is_suggested_before_there_is_anything_to_go_by(history, tmp_path):
    assert next_steps(info(), History(tmp_path / "none")) == []
    assert overfits_since(History(tmp_path / "none")) is None
    two_checks = history(falling(4.5, 1.0))
    two_checks.val_losses = two_checks.val_losses[:2]
    assert next_steps(info(), two_checks) == []


def test_the_losses_of_a_run_that_cheats_suggest_nothing(history):
    assert next_steps(info(ModelConfig(causal=False)), history(falling(4.5, 0.1, quickly=3))) == []


losses = st.lists(st.floats(0, 20) | st.none(), min_size=1, max_size=30)
models = st.builds(
    ModelConfig,
    block_size=st.sampled_from([1, 2, 9, 256]),
    n_embd=st.sampled_from([8, 16, 64, 384]),
    n_head=st.sampled_from([1, 2, 4]),
    n_layer=st.integers(1, 12),
    dropout=st.sampled_from([0.0, 0.5, 0.9]),
)
trains = st.builds(
    TrainConfig, learning_rate=st.floats(1e-6, 1), max_steps=st.sampled_from([1, 500, 1_000_000]),
    optimizer=st.sampled_from(["adamw", "muon"]),
)  # fmt: skip


@given(losses, losses, models, trains, st.sampled_from(["finished", "stopped", "failed"]), st.integers(20, 900))
def test_whatever_the_curve_at_most_three_valid_suggestions_with_sentences(
    tmp_path_factory, training, validation, model, train, state, characters
):
    text = replace(TEXT, characters=characters)
    if problems(model, train, characters):
        return
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    rows = [
        {"step": step, "seconds": step / 100, "train_loss": a, "val_loss": b}
        for step, (a, b) in enumerate(zip(training, validation, strict=False))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suggestions = next_steps(info(model, train, state=state, text=text), History(path))
    assert len(suggestions) <= 3
    for suggestion in suggestions:
        assert suggestion.measured and suggestion.advice
        changed = configs_from(asdict(model) | asdict(train) | suggestion.changes)
        assert not problems(*changed, characters)


# ---- what is different


def test_the_button_says_what_changes():
    before = info()

    def said(model=None, train=None, preset="quick", text=TEXT):
        return what_changes(before, model or ModelConfig(), train or TrainConfig(), preset, text)

    assert said(ModelConfig(block_size=64)) == "block_size 32 → 64"
    assert said(ModelConfig(block_size=64, n_layer=4)) == "block_size 32 → 64, n_layer 3 → 4"
    assert said(ModelConfig(block_size=64, n_layer=4, dropout=0.1)) == "3 changes"
    assert said(train=TrainConfig(max_steps=4_000)) == "max_steps 2,000 → 4,000"
    assert said(train=TrainConfig(learning_rate=1e-3)) == "learning_rate 0.02 → 0.001"
    assert said(train=TrainConfig(seed=7)) == "same settings, other seed"
    assert said() == said(text=None) == "same settings, same seed"
    assert said(text=replace(TEXT, sha256="1" * 64)) == "other text"
    assert said(PRESETS["article"].model, PRESETS["article"].train, "article") == "preset Article"
    assert said(ModelConfig(causal=False)) == "causal true → false"


@given(models, trains, st.sampled_from(list(PRESETS)))
def test_what_changes_fits_on_a_button(model, train, preset):
    said = what_changes(info(), model, train, preset, replace(TEXT, sha256="1" * 64))
    assert 0 < len(said) <= 40


def test_only_what_is_given_is_compared():
    assert differences({"a": 1, "b": 2}, {"b": 3}) == ["b 2 → 3"]


def test_all_changes_are_listed_however_many():
    model, train = replace(ModelConfig(), n_layer=2, n_embd=32, block_size=64), replace(TrainConfig(), max_steps=7)
    listed = all_changes(info(), model, train, replace(TEXT, sha256="1" * 64))
    assert listed == ["block_size 32 → 64", "n_embd 64 → 32", "n_layer 3 → 2", "max_steps 2,000 → 7", "other text"]
