"""Training as an iterator: what each Progress says, what is random and from what, when it ends, and that it learns."""

import copy
import hashlib
import math
import random
import threading
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import torch
from patience import patience

import microllm.train
from microllm.config import PRESETS, ModelConfig, TrainConfig, configs_from, knobs
from microllm.corpus import Corpus
from microllm.cost import thread_count
from microllm.data.builtin import BUILTIN_TEXTS, drawing_room, words_twice
from microllm.model import MicroLLM
from microllm.optim import StackedMuon, learning_rate_at
from microllm.train import Diverged, Trainer, stream_seed, validation_loss

SMALL = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 2, "batch_size": 8, "eval_interval": 10}
SMALL |= {"precision": "float32"}  # the same on every machine


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(drawing_room(6_000))


def new_trainer(corpus: Corpus, **changes) -> Trainer:
    return Trainer(*configs_from(SMALL | changes), corpus)


def batch_of(trainer: Trainer, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of a step, drawn again from the seed and the step alone."""
    generator = torch.Generator().manual_seed(stream_seed(trainer.config.seed, step))
    size = trainer.model.config.block_size
    return trainer.corpus.get_batch("train", trainer.config.batch_size, size, generator)


def token_surprisals(model: MicroLLM, idx: torch.Tensor, targets: torch.Tensor) -> float:
    """The mean of -ln p of the targets, in float64, one position after another."""
    chances = model(idx)[0].double().softmax(-1)
    surprises = []
    for row, answers in zip(chances, targets.tolist(), strict=True):
        surprises += [-math.log(p[answer].item()) for p, answer in zip(row, answers, strict=True)]
    return math.fsum(surprises) / len(surprises)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------- it learns


@pytest.mark.parametrize("preset, within", [("quick", 0.01), ("article", 0.3)])
@pytest.mark.parametrize("seed", [1337, 1, 2])
def test_the_first_loss_is_that_of_blind_guessing(preset, within, seed):
    corpus = Corpus(drawing_room(30_000))
    first = next(iter(Trainer(*configs_from({"seed": seed}, preset), corpus)))
    assert first.step == 0
    assert abs(first.train_loss - math.log(corpus.vocab_size)) < within
    assert abs(first.val_loss - math.log(corpus.vocab_size)) < within


def test_a_text_in_which_every_character_is_determined_is_learned_by_heart():
    trainer = new_trainer(Corpus("abcdefghijklmnopqrstuvwxyz" * 20), learning_rate=1e-2, max_steps=150, n_layer=1)
    assert list(trainer)[-1].val_loss < 0.05


def test_random_characters_cannot_be_learned():
    corpus = Corpus("".join(random.Random(0).choices("abcd", k=60_000)))
    last = list(new_trainer(corpus, max_steps=100, learning_rate=3e-3))[-1]
    assert last.val_loss == pytest.approx(math.log(4), abs=0.02)


@pytest.fixture(scope="module")
def trained() -> Trainer:
    """A small model after a few hundred steps on sentences."""
    corpus = Corpus(drawing_room(100_000))
    shape = {"block_size": 16, "n_embd": 32, "n_head": 4, "n_layer": 2, "batch_size": 32}
    trainer = new_trainer(corpus, **shape, learning_rate=1e-2, max_steps=300, eval_interval=10_000)
    assert len(list(trainer)) == 301
    return trainer


@pytest.mark.timeout(30)
def test_a_model_that_looks_back_beats_the_table_of_pairs_on_text_it_never_saw(trained):
    assert trained.evaluate() < trained.corpus.reference_losses(16)["table_2"] - 0.3


def test_no_model_comes_below_the_floor_of_the_grammar(trained):
    held_out = trained.corpus.tokenizer.decode(trained.corpus.val)
    assert 0.1 < BUILTIN_TEXTS["drawing-room"].floor(held_out) < trained.evaluate(characters=None)


# ---------------------------------------------------------------- what a Progress says


def test_the_train_loss_is_that_of_the_model_after_as_many_updates_on_the_batch_of_that_step(corpus):
    trainer = new_trainer(corpus, max_steps=6)
    for n, progress in enumerate(trainer):
        assert progress.step == trainer.step == n
        assert progress.train_loss == pytest.approx(token_surprisals(trainer.model, *batch_of(trainer, n)), abs=1e-5)


def test_the_validation_loss_is_the_mean_over_the_windows_of_validation(corpus):
    text = drawing_room(6_000)[5_400:]
    ids = [corpus.tokenizer.encode(text[i : i + 9]) for i in range(0, len(text) - 8, 8)]
    windows = torch.tensor([window for window in ids if len(window) == 9])
    assert len(windows) == 74  # 599 characters have a next one
    trainer = new_trainer(corpus, max_steps=20)
    for progress in trainer:
        if progress.val_loss is not None:
            slow = token_surprisals(trainer.model, windows[:, :-1], windows[:, 1:])
            assert progress.val_loss == pytest.approx(slow, abs=1e-5)


def test_a_validation_check_scores_32_000_characters_or_all_and_weighs_each_the_same():
    corpus = Corpus(words_twice(340_000))  # 34,000 held out: this takes several batches, the last one shorter
    trainer = new_trainer(corpus, initialization="torch")
    slow = []
    for inputs, targets in (corpus.validation_windows(8, 32_000), corpus.validation_windows(8, None)):
        with torch.no_grad():
            chances = trainer.model(inputs.long())[0].double().log_softmax(-1)
        slow.append(-chances.gather(-1, targets.long()[..., None]).mean().item())
    assert next(iter(trainer)).val_loss == trainer.evaluate() == pytest.approx(slow[0], abs=1e-6)
    assert trainer.evaluate(characters=None) == pytest.approx(slow[1], abs=1e-6)
    assert abs(slow[0] - slow[1]) > 1e-5


def test_a_validation_check_is_without_dropout_and_leaves_the_model_as_it_was(corpus):
    trainer = new_trainer(corpus, dropout=0.5)
    before = weights(trainer)
    for training in (True, False):
        trainer.model.train(training)
        assert trainer.evaluate() == trainer.evaluate() == validation_loss(trainer.model, corpus)
        assert trainer.model.training is training
    assert same(before, weights(trainer))
    assert all(p.grad is None for p in trainer.model.parameters())


def test_validation_checks_and_looking_at_the_model_do_not_change_the_run(corpus):
    undisturbed = [p.train_loss for p in new_trainer(corpus, dropout=0.3, max_steps=12, eval_interval=10_000)]
    trainer, disturbed = new_trainer(corpus, dropout=0.3, max_steps=12, eval_interval=1), []
    for progress in trainer:
        disturbed.append(progress.train_loss)
        trainer.evaluate(100)
        trainer.model.eval()
        trainer.model.generate(torch.zeros(1, 1, dtype=torch.long), 3)
    assert disturbed == undisturbed


def test_time_and_speed_are_those_of_the_steps(corpus):
    progresses = list(new_trainer(corpus, max_steps=5))
    assert (progresses[0].seconds, progresses[0].tokens_per_second) == (0, 0)
    for before, after in pairwise(progresses):
        assert after.seconds > before.seconds
        assert after.tokens_per_second == pytest.approx(after.step * 64 / after.seconds)


# ---------------------------------------------------------------- when it ends


def test_a_run_of_n_steps_tells_of_n_plus_one_moments_and_ends_with_a_validation_check(corpus):
    trainer = new_trainer(corpus, max_steps=7)
    progresses = list(trainer)
    assert [p.step for p in progresses] == list(range(8))
    assert [p.step for p in progresses if p.val_loss is not None] == [0, 7]
    assert progresses[-1].val_loss == trainer.evaluate()


@pytest.mark.parametrize(
    "interval, steps, val_losses",
    [
        (40, 85, [0, 8, 16, 32, 40, 80, 85]),
        (8, 17, [0, 8, 16, 17]),
        (10_000, 70, [0, 8, 16, 32, 64, 70]),
        (5, 10, [0, 5, 10]),
    ],
)
def test_validation_checks_come_at_powers_of_two_then_at_every_interval_and_at_the_end(
    corpus, interval, steps, val_losses
):
    trainer = new_trainer(corpus, max_steps=steps, eval_interval=interval, batch_size=1, n_layer=1)
    assert [p.step for p in trainer if p.val_loss is not None] == val_losses


def test_training_ends_at_the_first_validation_check_that_reaches_the_chosen_loss(corpus):
    progresses = list(new_trainer(corpus, stop_at_loss=3.7, max_steps=200, eval_interval=5))
    losses = [p.val_loss for p in progresses if p.val_loss is not None]
    assert losses[-1] <= 3.7 and min(losses[:-1]) > 3.7
    assert progresses[-1].step < 200 and progresses[-1].val_loss == losses[-1]


def test_a_stopping_loss_of_zero_never_ends_a_run():
    assert len(list(new_trainer(Corpus("a" * 100), max_steps=3))) == 4  # one character: the loss is 0 from the start


def test_leaving_the_loop_is_a_stop_and_coming_back_goes_on_with_the_same_numbers(corpus):
    whole = [p.train_loss for p in new_trainer(corpus, dropout=0.2, max_steps=10)]
    trainer, parts = new_trainer(corpus, dropout=0.2, max_steps=10), []
    for progress in trainer:
        if progress.step == 4:
            break
        parts.append(progress.train_loss)
    assert trainer.step == 4
    assert parts + [p.train_loss for p in trainer] == whole


# ---------------------------------------------------------------- what is random, and from what


def run(corpus: Corpus, **changes) -> tuple[list, dict[str, torch.Tensor]]:
    trainer = new_trainer(corpus, **{"dropout": 0.2, "max_steps": 25} | changes)
    return [(p.train_loss, p.val_loss) for p in trainer], weights(trainer)


def test_the_same_seed_gives_the_same_run_to_the_last_bit(corpus):
    (losses, end), (losses_again, end_again) = run(corpus), run(corpus)
    assert losses == losses_again
    assert same(end, end_again)


def test_a_run_is_not_disturbed_by_another_one_beside_it(corpus):
    losses, end = run(corpus)
    started, done, rounds = threading.Event(), threading.Event(), []

    def disturb():
        torch.set_num_threads(1)
        for _ in new_trainer(corpus, dropout=0.7, max_steps=100_000, seed=5):
            torch.manual_seed(len(rounds))  # and draws from the global generator as well
            torch.rand(3)
            rounds.append(1)
            started.set()
            if done.is_set():
                return

    beside = threading.Thread(target=disturb)
    beside.start()
    try:
        assert started.wait(patience())
        before = len(rounds)
        losses_beside, end_beside = run(corpus)
    finally:
        done.set()
        beside.join(patience())
    assert len(rounds) > before  # it did train meanwhile
    assert losses_beside == losses
    assert same(end_beside, end)


def test_a_run_leaves_the_global_random_state_alone(corpus):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(corpus, max_steps=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_other_start_weights_other_batches_and_other_dropout(corpus):
    first, second = (new_trainer(corpus, dropout=0.5, seed=seed, initialization="torch") for seed in (1, 2))
    assert not same(weights(first), weights(second))
    assert not torch.equal(batch_of(first, 0)[0], batch_of(second, 0)[0])
    assert next(iter(first)).train_loss != next(iter(second)).train_loss


class Recorder(Corpus):
    """A corpus that writes down the batches it gave."""

    def get_batch(self, *args, **options):
        self.given = [*getattr(self, "given", ()), super().get_batch(*args, **options)]
        return self.given[-1]


def test_the_batches_depend_on_the_seed_and_the_step_and_on_nothing_else():
    recorder = Recorder(drawing_room(6_000))
    trainer = new_trainer(recorder, max_steps=5)
    list(trainer)
    first, recorder.given = recorder.given, []
    torch.manual_seed(99)
    list(new_trainer(recorder, max_steps=5, dropout=0.5, n_layer=1, n_embd=24, learning_rate=1e-4, eval_interval=1))
    for step, (batch, again) in enumerate(zip(first, recorder.given, strict=True)):
        assert torch.equal(batch[0], again[0]) and torch.equal(batch[1], again[1])
        assert torch.equal(batch[0], batch_of(trainer, step)[0])


class OneBatch(Corpus):
    """A corpus that gives the same batch at every step and to every process."""

    def get_batch(self, split, batch_size, block_size, generator, rows=slice(None)):
        return super().get_batch(split, batch_size, block_size, torch.Generator().manual_seed(1))


def losses_of_one_batch(dropout: float, process: int = 0) -> list[float]:
    """The losses of one batch at steps 0 to 5 of a model that learns next to nothing: only dropout can change them."""
    settings = {"dropout": dropout, "initialization": "torch", "learning_rate": 1e-6, "max_steps": 5}
    trainer = Trainer(*configs_from(SMALL | settings), OneBatch(drawing_room(6_000)), rank=process, world_size=2)
    return [progress.train_loss for progress in trainer]


def differ(losses: list[float]) -> bool:
    return all(abs(a - b) > 1e-3 for a, b in combinations(losses, 2))


def test_every_step_and_every_process_draws_a_dropout_mask_of_its_own():
    without = losses_of_one_batch(dropout=0.0)
    assert max(without) - min(without) < 1e-3
    first, second = (losses_of_one_batch(dropout=0.5, process=process) for process in (0, 1))
    assert differ([*first, *second])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_goes_on_elsewhere_needs_the_weights_the_optimizers_and_the_step_but_no_random_state(
    corpus, optimizer
):
    settings = {"dropout": 0.3, "max_steps": 8, "optimizer": optimizer}
    losses = [p.train_loss for p in new_trainer(corpus, **settings)]
    old, new = (new_trainer(corpus, **settings) for _ in range(2))
    for progress in old:
        if progress.step == 5:
            break
    new.model.load_state_dict(old.model.state_dict())
    for mine, others in zip(new.optimizers, old.optimizers, strict=True):
        mine.load_state_dict(others.state_dict())
    new.step = old.step
    assert [p.train_loss for p in new] == losses[5:]


def test_the_seed_of_a_step_fits_torch_s_32_bits_and_is_shared_by_no_other_step_or_run():
    places = [(seed, place) for seed in range(100) for place in (*range(100), "weights")]
    seeds = {stream_seed(seed, place) for seed, place in places}
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert len(seeds) == len(places)
    assert stream_seed(1337, 7) == int(hashlib.blake2b(b"1337/7", digest_size=4).hexdigest(), 16)


def test_seeds_that_agree_in_their_low_bits_do_not_give_the_same_random_numbers():
    def numbers(seed):
        return torch.rand(5, generator=torch.Generator().manual_seed(stream_seed(seed, 0)))

    assert not torch.equal(numbers(1), numbers(1 + 2**32))  # as torch's own generator would


# ---------------------------------------------------------------- one update


def gradients(trainer: Trainer, step: int) -> dict[str, torch.Tensor]:
    """Those of the weights as they stand, on the batch of `step`, in float64."""
    twin = copy.deepcopy(trainer.model).double()
    twin(*batch_of(trainer, step))[1].backward()
    return {name: parameter.grad for name, parameter in twin.named_parameters()}


def test_an_update_is_adamw_written_out(corpus):
    article = {"optimizer": "adamw", "initialization": "torch", "activation": "relu", "schedule": "constant"}
    trainer = new_trainer(corpus, **article, max_steps=3, warmup_steps=2, learning_rate=0.01)
    rates, decay, beta1, beta2, tiny = [0.005, 0.01, 0.01], 0.01, 0.9, 0.999, 1e-8
    expected = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
    m = {name: torch.zeros_like(p) for name, p in expected.items()}
    v = {name: torch.zeros_like(p) for name, p in expected.items()}
    for progress in trainer:
        for name, parameter in trainer.model.named_parameters():
            torch.testing.assert_close(parameter.detach().double(), expected[name], atol=2e-5, rtol=1e-5)
        if progress.step == 3:
            break
        assert progress.learning_rate == rates[progress.step]
        t, rate = progress.step + 1, rates[progress.step]
        for name, gradient in gradients(trainer, progress.step).items():
            m[name] = beta1 * m[name] + (1 - beta1) * gradient
            v[name] = beta2 * v[name] + (1 - beta2) * gradient**2
            step = (m[name] / (1 - beta1**t)) / ((v[name] / (1 - beta2**t)).sqrt() + tiny)
            expected[name] = expected[name] * (1 - rate * decay) - rate * step


def test_muon_turns_the_matrices_inside_alike_in_all_directions_and_leaves_the_rest_to_adamw(corpus):
    recipe = {"optimizer": "muon", "initialization": "torch", "position": "relative"}
    trainer = new_trainer(corpus, learning_rate=0.01, **recipe)
    steps = iter(trainer)
    next(steps)
    before, gradient = weights(trainer), gradients(trainer, 0)
    next(steps)
    matrices = {
        name
        for name, p in trainer.model.named_parameters()
        if p.ndim == 2 and name.startswith("blocks") and "bias" not in name
    }
    assert len(matrices) == 8  # of two layers: qkv, proj, expand, proj
    for name, after in weights(trainer).items():
        change = (before[name] - after).double() / 0.01
        if name in matrices:  # U V^T of the gradient U S V^T, scaled by the shape (Jordan et al. 2024)
            u, s, v = torch.linalg.svd(gradient[name], full_matrices=False)
            change = change / max(1, change.shape[0] / change.shape[1]) ** 0.5
            strengths = (u.T @ change @ v.T).diagonal()[s > 0.1 * s[0]]
            assert strengths.min() > 0.5 and strengths.max() < 1.3, name  # three rounds of Newton-Schulz come so near
        else:  # the first step of Adam is the sign of the gradient
            clear = gradient[name].abs() > 1e-5
            torch.testing.assert_close(change[clear], gradient[name][clear].sign(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("position", ["rotary", "relative"])
def test_without_a_causal_mask_a_model_learns_to_copy_the_next_character_of_a_random_text(position):
    letters = random.Random(1)
    cheat = Corpus("".join(letters.choice("ab") for _ in range(3_000)))
    shape = {"block_size": 16, "n_embd": 32, "n_head": 2, "n_layer": 2, "causal": False, "position": position}
    *_, end = Trainer(*configs_from(shape | {"batch_size": 8, "max_steps": 120}), cheat)
    assert end.val_loss < 0.3  # without cheating it would be ln 2 = 0.69


def test_stacked_muon_makes_the_updates_of_torch_s_own_muon():
    rng = torch.Generator().manual_seed(5)
    shapes = [(48, 16), (16, 16), (64, 16), (16, 64), (16, 16), (16, 48), (8, 12)]
    start = [torch.randn(shape, generator=rng) for shape in shapes]
    found = {}
    for kind in (StackedMuon, torch.optim.Muon):
        parameters = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = kind(parameters, lr=0.1, momentum=0.9, ns_steps=3, weight_decay=0)
        gradients = torch.Generator().manual_seed(6)
        for _ in range(4):
            for p in parameters:
                p.grad = torch.randn(p.shape, generator=gradients)
            optimizer.step()
        found[kind] = parameters, optimizer.state_dict()
    (ours, our_state), (theirs, their_state) = found.values()
    for before, mine, its in zip(start, ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, atol=2e-3, rtol=0)  # bfloat16 rounds at other places on some processors
        assert (mine - before).abs().max() > 0.05
    torch.testing.assert_close(our_state, their_state)


def test_bfloat16_changes_the_last_digits_where_the_processor_knows_it_and_nothing_elsewhere(corpus, monkeypatch):
    def losses(precision):
        return [p.train_loss for p in new_trainer(corpus, precision=precision, initialization="torch", max_steps=5)]

    exact = losses("float32")
    for is_fast in (True, False):
        monkeypatch.setattr(microllm.train, "has_fast_bfloat16", lambda device, is_fast=is_fast: is_fast)
        rough = losses("bfloat16")
        assert rough == pytest.approx(exact, abs=0.05)
        assert (rough != exact) == is_fast


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimizers_hold_each_weight_once(corpus, optimizer):
    trainer = new_trainer(corpus, optimizer=optimizer)
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in trainer.model.parameters())


def test_the_learning_rate_climbs_to_its_peak_and_falls_in_a_line_to_nothing():
    config = TrainConfig(learning_rate=1.0, warmup_steps=10, max_steps=110, schedule="linear")
    known = {0: 0.1, 1: 0.2, 8: 0.9, 9: 1.0, 10: 1.0, 20: 0.9, 60: 0.5, 100: 0.1, 110: 0.0, 500: 0.0}
    assert {step: learning_rate_at(step, config) for step in known} == pytest.approx(known)


def test_a_constant_learning_rate_stays_at_its_peak_after_the_warm_up():
    config = TrainConfig(learning_rate=0.3, warmup_steps=3, max_steps=100, schedule="constant")
    known = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.3, 99: 0.3, 100: 0.3}
    assert {step: learning_rate_at(step, config) for step in known} == pytest.approx(known)


def test_the_article_s_learning_rate_is_the_same_from_first_to_last():
    article = PRESETS["article"].train
    assert {learning_rate_at(step, article) for step in (0, 1, 5_000, 10_000)} == {1e-3}


def test_a_run_shorter_than_its_warm_up_only_climbs():
    config = TrainConfig(learning_rate=1.0, warmup_steps=10, max_steps=5, schedule="linear")
    assert [learning_rate_at(step, config) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


# ---------------------------------------------------------------- live changes


def test_a_new_learning_rate_takes_effect_with_the_next_progress_and_not_before(corpus):
    plain, changed = (new_trainer(corpus, schedule="constant", learning_rate=3e-3, max_steps=6) for _ in range(2))
    for before, after in zip(plain, changed, strict=True):
        assert after.learning_rate == (3e-3 if after.step <= 2 else 1e-2)
        assert same(weights(plain), weights(changed)) == (after.step <= 3)  # the update from 2 to 3 was announced
        assert before.step == after.step
        if after.step == 2:
            changed.change(learning_rate=1e-2)


def test_a_new_learning_rate_is_the_peak_of_the_same_curve(corpus):
    trainer = new_trainer(corpus, learning_rate=1e-3, max_steps=50)
    trainer.change(learning_rate=2e-3)
    assert next(iter(trainer)).learning_rate == learning_rate_at(0, replace(trainer.config, learning_rate=2e-3))


def test_a_new_stopping_loss_ends_the_run_at_the_next_validation_check(corpus):
    trainer, steps = new_trainer(corpus, max_steps=50), []
    for progress in trainer:
        steps.append(progress.step)
        if progress.step == 3:
            trainer.change(stop_at_loss=10.0)
    assert steps[-1] == 8


@pytest.mark.parametrize("change", [{"batch_size": 4}, {"n_embd": 8}, {"max_steps": 3}, {"learning_rate": -1.0}])
def test_a_change_that_is_not_allowed_is_refused_and_changes_nothing(corpus, change):
    trainer = new_trainer(corpus)
    before = trainer.config
    with pytest.raises(ValueError, match=next(iter(change))):
        trainer.change(**change)
    assert trainer.config == before


# ---------------------------------------------------------------- what cannot go well


def test_a_loss_that_is_no_number_ends_the_run_with_its_step_and_learning_rate(corpus):
    trainer, seen = new_trainer(corpus, schedule="constant", warmup_steps=0, learning_rate=0.5), []
    with pytest.raises(Diverged, match=r"step 3, with learning rate 0\.5.*smaller one, such as 0\.05") as error:
        for progress in trainer:
            seen.append(progress.train_loss)
            if progress.step == 2:
                trainer.model.lm_head.weight.data.fill_(math.inf)
    assert (error.value.step, error.value.learning_rate) == (3, 0.5)
    assert math.isfinite(seen[2]) and not math.isfinite(seen[-1])


def test_a_learning_rate_beyond_all_reason_diverges(corpus):
    trainer = new_trainer(corpus, warmup_steps=0, max_steps=20)
    trainer.config = replace(trainer.config, learning_rate=1e30)  # past what `problems` lets through
    with pytest.raises(Diverged):
        list(trainer)


def test_a_configuration_with_problems_is_refused_before_anything_is_built(corpus, monkeypatch):
    monkeypatch.setattr(microllm.train, "MicroLLM", lambda *a, **k: pytest.fail("a model was built"))
    for wrong in ({"n_embd": 10**12}, {"n_layer": 0}, {"learning_rate": math.nan}, {"n_head": 3}, {"batch_size": "8"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            new_trainer(corpus, **wrong)


def test_a_text_too_short_for_the_context_is_refused():
    with pytest.raises(ValueError, match="block_size"):
        new_trainer(Corpus("abcdefghij" * 8))  # 8 held out: at most 7 and the next one


def test_the_shortest_text_for_a_context_trains():
    assert len(list(new_trainer(Corpus("abcdefghij" * 9), max_steps=2))) == 3


@pytest.mark.parametrize("name", [name for name, knob in knobs().items() if knob.metadata["low"] is not None])
@pytest.mark.parametrize("end", ["low", "high"])
def test_a_run_can_start_from_both_ends_of_every_range(name, end):
    changes = {"n_layer": 1, "n_embd": 32, "n_head": 1, "batch_size": 2, name: knobs()[name].metadata[end]}
    trainer = new_trainer(Corpus(drawing_room(3_000)), **changes)
    for progress in trainer:
        assert math.isfinite(progress.train_loss)
        if progress.step == 1:
            break
    assert trainer.step == min(1, trainer.config.max_steps) or trainer.config.stop_at_loss


# ---------------------------------------------------------------- threads


def test_the_number_of_threads_is_a_rule_of_size_and_never_more_than_there_are_cores(monkeypatch):
    quick, large = PRESETS["quick"], ModelConfig(block_size=256, n_embd=384, n_head=6, n_layer=6)
    for cores, threads in [(1, 1), (2, 2), (64, 4), (None, 1)]:
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert thread_count(quick.model, quick.train, 91) == 1
        assert thread_count(large, TrainConfig(batch_size=64), 91) == threads
