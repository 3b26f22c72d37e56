"""The attention page: the sentence, all heads, and the heatmap of the chosen one."""

import base64
import json
from types import SimpleNamespace

import numpy
import pytest
import torch
from making import wait_until
from play import go_to, new_run, open_app, said, step_of, trained_run
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.insight.heads import bias_shares, head_scores, passage_scores, strongest
from microllm.insight.trace import trace
from microllm.runs.run import Run
from microllm.tokenizer import visible
from microllm.ui import server
from microllm.ui.parts import attention
from microllm.ui.state.view import SENTENCE


def sent(at, name: str) -> SimpleNamespace:
    """The data of one of our components, with its bytes as an array."""
    proto = next(e.proto for e in at.get("bidi_component") if e.proto.component_name == f"microllm.{name}")
    data = json.loads(proto.json)
    return SimpleNamespace(**data | {"shares": numpy.frombuffer(base64.b64decode(data["shares"]), numpy.uint8)})


def heatmap(at) -> dict:
    return json.loads(at.get("plotly_chart")[0].proto.spec)


def trained(**settings):
    text = settings.pop("text", None)
    return trained_run(text, **{"max_steps": 3, "initialization": "torch"} | settings)


def pattern_of(run, text: str, step: int | None = None) -> torch.Tensor:
    model = run.model_at(run.list_snapshots()[-1] if step is None else step)
    return trace(model, torch.tensor(run.tokenizer.encode(text))).pattern


def write(at, text: str):
    at.text_area(key="sentence").set_value(text).run()
    assert not at.exception
    return at


def choose(at, layer: int, head: int):
    """The effect of a click on a small picture."""
    at.session_state["session"].head = layer, head
    at.run()
    assert not at.exception
    return at


@pytest.mark.parametrize("text", ["a", "ab", "abba ab", "abcab cabca bcab ca"])  # block_size is 8
def test_the_sentence_and_the_heads_are_sent_what_the_model_computes(text):
    run = trained(text="abc ab cab " * 60)
    at = choose(write(open_app("attention", run=run.id), text), 1, 1)
    pattern, n = pattern_of(run, text), len(text)

    sentence = sent(at, "sentence")
    assert sentence.text == [visible(c) for c in text]
    assert len(sentence.shares) == n * (n + 1) // 2
    for q in range(n):
        for k in range(q + 1):
            share = 255 * pattern[1, 1, q, k].item()
            assert abs(int(sentence.shares[q * (q + 1) // 2 + k]) - share) <= 0.51

    heads = sent(at, "heads")
    assert (heads.layers, heads.heads, heads.size, heads.chosen) == (2, 2, n, 3)
    third = heads.shares.reshape(4, -1)[3]
    numpy.testing.assert_array_equal(third, sentence.shares)


def test_all_rows_of_a_model_without_a_causal_mask_are_sent():
    run = trained(text="abc ab cab " * 60, causal=False)
    at = write(open_app("attention", run=run.id), "abc ca")
    pattern = pattern_of(run, "abc ca")
    sentence, heads = sent(at, "sentence"), sent(at, "heads")
    assert not sentence.causal
    assert not heads.causal
    assert numpy.abs(sentence.shares.reshape(6, 6) / 255 - pattern[0, 0].numpy()).max() < 0.002
    assert len(heads.shares) == 4 * 36
    wait_until(lambda: said(at.run()).count("(chance ") == 9)  # the last score is the next character's


def distances(at) -> list[dict]:
    """The rows of the bars by distance; none if there are no bars."""
    charts = [chart.proto for chart in at.get("vega_lite_chart")]
    datas = [chart.data.data or chart.datasets[0].data.data for chart in charts]
    return convert_arrow_bytes_to_pandas_df(datas[0]).to_dict("records") if datas else []


def test_what_the_chosen_head_learned_about_distances_is_drawn_and_the_nearest_of_every_head():
    run = trained(position="relative", block_size=20, n_head=2, n_layer=2, max_steps=6)
    at = open_app("attention", run=run.id)
    shares = bias_shares(run.model_at(6))
    assert not torch.allclose(shares, torch.full_like(shares, 1 / 20))  # it has learned something
    heads = sent(at, "heads")
    assert heads.nearest == 16
    nearest = numpy.frombuffer(base64.b64decode(heads.byDistance), numpy.uint8).reshape(2, 2, 16)
    numpy.testing.assert_allclose(nearest, 255 * shares[..., :16].numpy(), atol=0.51)
    for layer, head in ((0, 0), (1, 1)):
        rows = distances(choose(at, layer, head))
        assert [row["back"] for row in rows] == list(range(20))
        assert [row["share"] for row in rows] == pytest.approx(shares[layer, head].tolist())


def test_a_model_without_relative_positions_has_no_bars_by_distance():
    at = open_app("attention", run=trained(position="learned").id)
    assert sent(at, "heads").nearest == 0 and distances(at) == []


def test_characters_that_the_model_does_not_know_are_named_and_left_out():
    run = trained(text="abc ab cab " * 60)
    at = write(open_app("attention", run=run.id), "a☕b")
    assert "☕" in said(at)
    assert sent(at, "sentence").text == ["a", "b"]


def test_one_character_alone_is_shown_and_where_nothing_else_is_here_nothing_is_claimed_about_its_heads():
    run = trained(text="abc ab cab " * 60)
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    at = write(open_app("attention", run=run.id), "a")
    assert sent(at, "sentence").shares.tolist() == [255]
    assert not any("%" in note for note in sent(at, "heads").notes)
    assert sent(at, "heads").labels == [""] * 4
    assert "(chance " not in said(at)


# ---- what the heads do


def measured(run) -> list:
    """The scores of the run's last snapshot on its held-out text."""
    windows, _ = run.load_corpus().validation_windows(run.read_info().model.block_size, 2_000)
    return passage_scores(run.model_at(run.list_snapshots()[-1]), windows, run.tokenizer.vocab.find(" "))


def drawn(at) -> dict:
    """The data of the plot over training; {} if it is not shown."""
    plots = [e.proto for e in at.get("bidi_component") if e.proto.component_name == "microllm.head_scores"]
    return json.loads(plots[0].json)[0] if plots else {}


def until_measured(at):
    """Draw the page again, as its ticks do, until every snapshot is measured."""

    def is_done() -> bool:
        at.run()
        assert not at.exception
        return len(drawn(at).get("steps", ())) == len(Run.open(at.query_params["run"]).list_snapshots())

    at.button_group(key="attention-shown").set_value("Over training")
    wait_until(is_done)
    return at


def test_the_scores_and_the_labels_are_those_of_the_held_out_text_whatever_the_sentence_is():
    run = trained(position="relative", n_head=2, n_layer=2, max_steps=30, block_size=16)
    at = until_measured(open_app("attention", run=run.id))
    scores, shown = measured(run), sent(at, "heads")
    for place, (label, note) in enumerate(zip(shown.labels, shown.notes, strict=True)):
        best = strongest(scores, *divmod(place, 2))
        assert bool(label) == bool(best)
        assert (f"{100 * best.of(*divmod(place, 2)):.0f}\u00a0%" in note) if best else "%" not in note
    assert any(shown.labels) and shown.order is None
    words = said(at)
    for score in scores[:-1]:
        assert f"{100 * score.of(0, 0):.0f}\u00a0% (chance {100 * score.chance:.0f}\u00a0%)" in words
    assert f"{scores[-1].of(0, 0):.1f} of {scores[-1].chance:.1f}" in words
    assert sent(write(at, "another"), "heads").labels == shown.labels


def test_the_heads_are_shown_in_the_order_of_a_score_from_the_highest_or_the_narrowest_on():
    run = trained(n_head=4, n_layer=3, max_steps=12)
    at = until_measured(open_app("attention", run=run.id))
    for name in ("previous_token", "spread"):
        at.selectbox(key="heads-order").set_value(name).run()
        shown, (score,) = sent(at, "heads"), (score for score in measured(run) if score.name == name)
        numbers = score.shares.flatten().tolist()
        assert sorted(shown.order) == list(range(12))
        in_order = [numbers[i] for i in shown.order]
        assert in_order == sorted(numbers, reverse=name != "spread")
        unit = 1 if name == "spread" else 100
        assert [float(label.partition("\u00a0")[0]) for label in shown.labels] == pytest.approx(
            [unit * number for number in numbers], abs=0.51 if unit == 100 else 0.051
        )
        assert drawn(at)["chance"] == pytest.approx(score.chance, abs=1e-4)
        assert [curve[-1] for curve in drawn(at)["curves"]] == pytest.approx(numbers, abs=1e-4)
    at.selectbox(key="heads-order").set_value("layer").run()
    assert sent(at, "heads").order is None


def test_over_the_training_every_snapshot_has_its_scores_and_the_displayed_moment_is_marked():
    run = trained(max_steps=40)
    at = until_measured(open_app("attention", run=run.id))
    plot = drawn(at)
    assert plot["steps"] == run.list_snapshots() and plot["moment"] == -1
    assert plot["validation"]["step"] == [step for step, _ in run.history.read().val_losses]
    assert not at.get("plotly_chart")
    at.session_state["session"].moment = plot["steps"][2]  # the effect of a click in the plot
    at.run()
    assert not at.exception
    assert drawn(at)["moment"] == plot["steps"][2] and drawn(at)["steps"] == plot["steps"]


def test_without_its_text_the_scores_are_those_of_the_sentence_and_the_page_says_what_is_missing():
    run = trained(text="abc ab cab " * 60)
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    at = write(open_app("attention", run=run.id), "abc ab ca")
    scores = head_scores(pattern_of(run, "abc ab ca"), "abc ab ca", 8)
    words = said(at)
    for score in scores[:-1]:
        assert f"{100 * score.of(0, 0):.0f}\u00a0% (chance {100 * score.chance:.0f}\u00a0%)" in words
    assert "made here" in words  # the name of the text that is missing
    at.button_group(key="attention-shown").set_value("Over training").run()
    assert at.info and not drawn(at)


def test_a_run_of_the_gallery_shows_its_heads_over_the_training_without_the_book(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path / "no such folder"))
    at = open_app("attention", run="pride-quick")
    assert sent(at, "heads").labels[0] and not at.info
    at.button_group(key="attention-shown").set_value("Over training").run()
    assert drawn(at)["steps"] == Run.open("pride-quick").list_snapshots()


def test_while_a_run_trains_the_newest_snapshot_that_has_been_measured_is_shown(live_run):
    at = open_app("attention", run=live_run.id)
    at.button_group(key="attention-shown").set_value("Over training").run()
    wait_until(lambda: at.run() and drawn(at).get("steps") == live_run.list_snapshots())
    assert sent(at, "heads").labels is not None
    assert f"step {live_run.list_snapshots()[-1]}" in said(at)


def test_the_longest_sentence_on_many_heads_stays_a_small_message():
    run = trained(text="abc ab cab " * 60, n_head=8, n_layer=5, block_size=16)
    at = write(open_app("attention", run=run.id), "abcc" * 32)
    heads = sent(at, "heads")
    assert heads.size <= 32
    assert len(heads.shares) == 40 * heads.size * (heads.size + 1) // 2
    assert len(sent(at, "sentence").shares) == 128 * 129 // 2


def test_only_the_beginning_of_a_sentence_that_is_too_long_is_used_and_the_page_says_so():
    run = trained(text="abc ab cab " * 60)
    at = write(open_app("attention", run=run.id), "abca" * 32 + "☕" + "b" * 1_000)
    assert sent(at, "sentence").text == list("abca" * 32)
    assert "128 of 1,129" in said(at)
    assert "☕" not in said(at)  # it is beyond the limit, so it is not named as unknown
    assert at.text_area(key="sentence").value.endswith("bbb")  # nothing that was typed is lost
    assert "128 of" not in said(write(at, "abca" * 32))


def test_a_choice_of_a_head_survives_other_pages_and_a_run_with_fewer_heads():
    many, few = trained(n_head=4, n_layer=3), trained(n_head=2, n_layer=1)
    at = choose(open_app("attention", run=many.id), 2, 3)
    go_to(at, "generate")
    go_to(at, "attention")
    assert sent(at, "heads").chosen == 2 * 4 + 3
    assert "layer 3, head 4" in said(at).lower()

    at.query_params["run"] = few.id
    at.run()
    assert not at.exception
    assert sent(at, "heads").chosen == 1
    assert "layer 1, head 2" in said(at).lower()

    at.query_params["run"] = many.id
    at.run()
    assert sent(at, "heads").chosen == 2 * 4 + 3


def test_a_sentence_of_markup_is_drawn_as_it_is_written():
    run = trained(text='<b onload="x">&amp;</b> $x$ ![i](u) ' * 60)
    at = write(open_app("attention", run=run.id), "<b>&amp;")
    names = ["&lt;", "b", "&gt;", "&amp;", "a", "m", "p", ";"]
    figure = heatmap(at)
    assert figure["layout"]["xaxis"]["labelalias"] == {str(i + 1): name for i, name in enumerate(names)}
    assert figure["layout"]["yaxis"]["labelalias"] == figure["layout"]["xaxis"]["labelalias"]
    assert sent(at, "sentence").text == list("<b>&amp;")  # drawn with textContent


def test_a_moment_of_the_past_is_shown_with_its_own_weights():
    run = trained(max_steps=20)
    at = open_app("attention", run=run.id)
    text = "".join(c for c in at.text_area(key="sentence").value if c not in run.tokenizer.unknown(c))
    before = sent(at, "sentence").shares
    at.session_state["session"].moment = run.list_snapshots()[0]
    at.run()
    assert not at.exception
    assert f"step {run.list_snapshots()[0]}" in said(at)
    expected = pattern_of(run, text, run.list_snapshots()[0])[0, 0]
    assert sent(at, "sentence").shares[-1] == round(255 * expected[-1, -1].item())
    assert (sent(at, "sentence").shares != before).any()


def test_before_its_first_weights_a_run_shows_no_heatmap_and_says_why():
    run = new_run()
    with run.writing():
        at = open_app("attention", run=run.id)
    assert "weights" in said(at)
    assert not at.get("plotly_chart")


def test_while_a_run_trains_the_heatmap_stays_until_it_is_outdated_or_refreshed(live_run):
    training = server.runner().job(live_run.id)
    at = open_app("attention", run=live_run.id)
    assert "attention-refresh" not in {button.key for button in at.button}  # paused: it is always of the last step

    training.resume()
    wait_until(lambda: training.state == "training")
    view = attention._Drawn()
    drawn = []

    def at_step(step: int, what: str = "this head", is_training: bool = True) -> int:
        return view.heatmap((what,), step, is_training, lambda: drawn.append(step))[0]

    assert [at_step(step) for step in (0, 1, 2, 3)] == [0, 1, 2, 3]
    assert [at_step(step) for step in (4, 5, 6, 8)] == [3, 5, 5, 8]
    assert at_step(9, what="another head") == 9
    view.forget_the_heatmap()
    assert at_step(10, what="another head") == 10
    assert at_step(11, what="another head", is_training=False) == 11
    assert at_step(3, what="another head") == 3  # resumed from an earlier step
    assert drawn == [0, 1, 2, 3, 5, 8, 9, 10, 11, 3]

    at.run()
    assert "attention-refresh" in {button.key for button in at.button}
    at.button(key="attention-refresh").click().run()
    assert not at.exception
    assert step_of(training) > 0


def test_choosing_a_head_does_not_compute_the_patterns_again(monkeypatch):
    run, traced = trained(), []

    def counted(*arguments):
        traced.append(arguments)
        return trace(*arguments)

    monkeypatch.setattr(attention, "trace", counted)
    at = open_app("attention", run=run.id)
    choose(at, 1, 0)
    choose(at, 1, 1)
    assert len(traced) == 1
    write(at, "another")
    assert len(traced) == 2


RUSSIAN = "мама мыла раму, а папа читал книгу. " * 60


def test_the_sentence_begins_with_words_that_the_model_knows_until_somebody_writes_one():
    english, russian = trained(text=f"{SENTENCE}, " * 60), trained(text=RUSSIAN)
    at = open_app("attention", run=russian.id)
    sentence = at.text_area(key="sentence").value
    assert len(sentence) > 20
    assert sentence in RUSSIAN
    assert "Left out" not in said(at)
    at = open_app("attention", run=english.id)
    assert at.text_area(key="sentence").value == SENTENCE
    at.query_params["run"] = russian.id
    at.run()
    assert at.text_area(key="sentence").value == sentence
    at.text_area(key="sentence").set_value("мама").run()
    at.query_params["run"] = english.id
    at.run()
    assert at.text_area(key="sentence").value == "мама"  # what was written stays, and its unknown characters are named


def test_a_sentence_of_several_lines_shows_its_line_ends_and_stays_in_the_address():
    run = trained(text="emma\nolivia\nava\nisabella\n" * 100)
    at = open_app("attention", run=run.id)
    assert "\n" in at.text_area(key="sentence").value
    at.text_area(key="sentence").set_value("ava\nemma\n").run()
    assert sent(at, "sentence").text == [*"ava⏎emma⏎"]
    assert at.query_params["sentence"] == "ava\nemma\n"
    assert open_app("attention", run=run.id, sentence="ava\nemma\n").text_area(key="sentence").value == "ava\nemma\n"
