"""What the heads of a run attend to at its snapshots: measured once, in the background, and drawn over training."""

import json
import threading
import time

import pytest
import torch
from making import new_run, train, wait_until
from patience import patience

import microllm.jobs.background
import microllm.jobs.head_scores
from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.data.decode import TextProblem
from microllm.environment import texts_dir
from microllm.insight.heads import HeadScore, passage_scores
from microllm.jobs.background import running
from microllm.jobs.head_scores import as_numbers, measure, over_snapshots, passage_length
from microllm.jobs.snapshots import OverSnapshots
from microllm.plots.head_scores import head_scores_data
from microllm.runs.history import History
from microllm.runs.run import Run


@pytest.fixture
def run() -> Run:
    run = new_run(n_layer=2)
    assert train(run) == "finished"
    return run


def all_of(scores: OverSnapshots, steps: list[int]) -> dict[int, list[HeadScore]]:
    """The scores at all these steps, as soon as they are there."""
    return wait_until(lambda: len(found := scores.want(steps)) == len(steps) and found)


def numbers(scores: list[HeadScore]) -> dict:
    return {score.name: (score.chance, score.shares.tolist()) for score in scores}


def test_each_snapshot_is_scored_on_the_first_2000_held_out_characters():
    run = new_run(drawing_room(21_000), n_layer=2)
    assert train(run) == "finished"
    corpus, steps = run.load_corpus(), run.list_snapshots()
    windows = corpus.val[:2_000].unfold(0, 8, 8)[:249]  # 249 windows of 8, each with a next character
    found = all_of(over_snapshots(run), steps)
    assert list(found) == steps
    assert passage_length(run.read_info()) == windows.numel()
    for step in steps:
        expected = passage_scores(run.model_at(step), windows, run.tokenizer.encode(" ")[0])
        assert numbers(found[step]) == numbers(expected)
        assert len(expected) == 9


def test_a_short_text_has_a_shorter_passage_and_one_without_a_space_no_score_for_it():
    run = new_run("abcab" * 40, block_size=6)
    assert train(run) == "finished"
    assert passage_length(run.read_info()) == 3 * 6  # of 20 characters
    scores = measure(run, run.model_at(20))
    assert {score.name for score in scores}.isdisjoint({"last_space", "next_token"})
    assert [score.name for score in scores][-1] == "spread"


def test_a_snapshot_is_measured_once_the_first_of_the_list_first_and_new_ones_follow(run, monkeypatch):
    measured, going_on, real = [], threading.Event(), passage_scores

    def slowly(model, *others):
        measured.append(model.token_embedding.weight)
        assert going_on.wait(patience())
        return real(model, *others)

    monkeypatch.setattr(microllm.jobs.head_scores, "passage_scores", slowly)
    scores = over_snapshots(run)
    assert scores.want([16, 8]) == {} == scores.want([16, 8])
    going_on.set()
    first = all_of(scores, [16, 8])[16]
    assert list(all_of(scores, [0, 8, 16, 20])) == [0, 8, 16, 20]
    assert scores.want([16])[16] is first
    for step, weights in zip([16, 8, 0, 20], measured, strict=True):
        torch.testing.assert_close(weights, run.model_at(step).token_embedding.weight)


def test_runs_are_measured_one_at_a_time(run, monkeypatch):
    other, lock, together = new_run(), threading.Lock(), []
    assert train(other) == "finished"

    def alone(*others):
        together.append(lock.acquire(blocking=False))
        time.sleep(0.02)
        lock.release()
        return []

    monkeypatch.setattr(microllm.jobs.head_scores, "passage_scores", alone)
    both = [over_snapshots(each) for each in (run, other)]
    wait_until(lambda: [len(scores.want([0, 8, 16])) for scores in both] == [3, 3])
    assert together == [True] * 6


def test_it_rests_four_times_as_long_as_it_computes(run, monkeypatch):
    monkeypatch.setattr(microllm.jobs.background, "_MAX_REST_SECONDS", 60.0)
    computed = []

    def four_batches(model, windows, space, before_each):
        began = time.thread_time()
        for _ in range(4):
            before_each()
            while time.thread_time() - began < 0.02 * (len(computed) + 1):
                pass
            computed.append(0.02)
        return []

    monkeypatch.setattr(microllm.jobs.head_scores, "passage_scores", four_batches)
    began = time.monotonic()
    assert len(over_snapshots(run).want([8], wait=patience())) == 1
    assert time.monotonic() - began >= 4 * 0.02 + 3 * 4 * 0.02


def test_without_its_text_a_run_has_no_scores_until_the_text_is_back(run):
    path = texts_dir() / f"{run.read_info().text.sha256}.txt"
    text, scores = path.read_bytes(), over_snapshots(run)
    path.unlink()
    texts.load_corpus.cache_clear()
    with pytest.raises(TextProblem):
        scores.want([8], wait=patience())
    for _ in range(3):
        with pytest.raises(TextProblem):
            scores.want([8])
        assert not running("snapshots")  # it is not looked for at every tick
    path.write_bytes(text)
    scores._retry_at = 0.0
    assert scores.want([8], wait=patience())[8]


def test_damaged_weights_have_no_scores_and_the_other_snapshots_have(run):
    (run.folder / "snapshots" / "step-8.safetensors").write_bytes(b"nothing")
    scores = over_snapshots(run)
    wait_until(lambda: scores.want([8, 16]) and scores.is_complete([8, 16]))
    assert scores.unreadable == {8} and len(scores.want([8, 16])[16]) == 9


def test_scores_of_the_gallery_come_from_its_files_without_a_text():
    run = Run.open("pride-quick")
    found = over_snapshots(run).want(run.list_snapshots())  # at once
    assert list(found) == run.list_snapshots() == list(run.stored_head_scores)
    assert as_numbers(found[2000]) == run.stored_head_scores[2000]
    assert found[2000][0].shares.shape == (3, 4)


# ---- drawn


def history(tmp_path, losses: dict[int, float]) -> History:
    rows = [{"step": step, "seconds": step, "train_loss": 2.0, "val_loss": loss} for step, loss in losses.items()]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return History(tmp_path / "metrics.jsonl").read()


def test_the_plot_has_a_line_for_each_head_on_the_steps_of_the_loss(tmp_path):
    shares = {16: [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], 0: [[0.3, 0.3, 0.3], [0.3, 0.3, 0.25]]}
    over_time = {
        step: [HeadScore("self", torch.zeros(2, 3), 0.9), HeadScore("induction", torch.tensor(share), 0.125)]
        for step, share in shares.items()
    }
    losses = history(tmp_path, {0: 4.5, 10: 3.0, 20: 2.5})
    data = head_scores_data(over_time, losses, "induction", "of it", (1, 2), since=16, moment=0, max_steps=50)
    assert data["steps"] == [0, 16] and data["first"] == 8 and data["last"] == 50
    assert data["names"] == ["1.1", "1.2", "1.3", "2.1", "2.2", "2.3"] and data["chosen"] == 5
    for i, name in enumerate(data["names"]):
        layer, head = (int(part) - 1 for part in name.split("."))
        assert data["curves"][i] == pytest.approx([shares[0][layer][head], shares[16][layer][head]])
    assert data["clear"] == [5, 4, 3, 2]  # the highest first; 0.2 is less than 0.25, twice chance
    assert (data["chance"], data["since"], data["moment"], data["is_share"]) == (0.125, 16, 0, True)
    assert data["validation"] == {"step": [0, 10, 20], "loss": [4.5, 3.0, 2.5]}
    assert "0.60" in data["alt"] and "2.500" in data["alt"]
    json.dumps(data, allow_nan=False)


def test_a_fork_is_drawn_from_its_first_snapshot_on_and_no_snapshot_draws_nothing(tmp_path):
    losses = history(tmp_path, {0: 4.5, 100: 3.0, 600: 2.0})
    over_time = {step: [HeadScore("spread", torch.full((1, 2), 3.0), 9.0)] for step in (512, 640)}
    data = head_scores_data(over_time, losses, "spread", "of it", (0, 1), max_steps=600)
    assert (data["first"], data["last"], data["is_share"]) == (512, 640, False)
    assert data["validation"]["step"] == [600]
    empty = head_scores_data({}, losses, "self", "of it", (0, 0))
    assert empty["steps"] == empty["curves"] == empty["names"] == []
