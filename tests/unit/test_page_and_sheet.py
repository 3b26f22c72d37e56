"""The page and the lab sheet that a person takes home, as files; the page in a browser: e2e/test_a_page_to_send.py."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from making import new_run, train

from microllm import __version__
from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.experiments.registry import EXPERIMENTS
from microllm.exports.document import CHEATS, data
from microllm.exports.page import page
from microllm.exports.sheet import sheet
from microllm.plots.loss_svg import HEIGHT, loss_svg
from microllm.runs import gallery
from microllm.runs.fork import fork
from microllm.runs.info import ExperimentEntry
from microllm.runs.run import Run

HOSTILE = """</script></title><img src=x onerror="alert('1')">&amp;$name"""
EXPORTS = pytest.mark.parametrize("export", [page, sheet])


class Elements(HTMLParser):
    """The tags, attributes and visible words of a file."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, words):
        self.words += words


def trained(**named) -> Run:
    run = new_run(drawing_room(3_000), text_name="made", **named)
    assert train(run) == "finished"
    return run


@pytest.fixture(scope="module")
def shipped() -> Run:
    return Run.open(gallery.FIRST)


@EXPORTS
def test_it_loads_nothing_and_allows_nothing_to_be_loaded(export, shipped):
    found = Elements(export(shipped, 2000)).found
    assert not [attributes for _, attributes in found if {"src", "href", "action"} & attributes.keys()]
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in found}
    policy = next(a["content"] for _, a in found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "http" not in policy and "script-src 'sha256-" in policy


@EXPORTS
def test_it_says_what_it_came_from(export, shipped):
    words, info = Elements(export(shipped, 800)).words, shipped.read_info()
    for fact in (info.name, "step 800", info.text.name, info.text.sha256, f"MicroLLM {__version__}"):
        assert fact in words


@EXPORTS
def test_it_does_not_contain_the_text_that_the_run_learned(export):
    html = export(trained(), 20)
    text = drawing_room(3_000)
    assert not [at for at in range(0, len(text) - 60, 20) if text[at : at + 40] in html]


def test_the_same_run_and_step_give_the_same_file_however_long_the_run_goes_on():
    run = trained(max_steps=16, eval_interval=4)
    first, first_sheet = page(run, 8), sheet(run, 8)
    assert sheet(Run.open(run.id), 8) == first_sheet
    run.extend(40)  # the sheet says so
    assert train(Run.open(run.id)) == "finished"
    assert page(Run.open(run.id), 8) == first


@EXPORTS
def test_names_and_words_of_people_are_no_markup(export):
    run = new_run(texts.prepare(HOSTILE * 20 + "\u2028\u2029\x00\x1b\U0001f642‮ab", HOSTILE))
    train(run)
    run.update(name=HOSTILE)
    usual = trained()
    html = export(run, 20)
    assert Elements(html).words.count(HOSTILE) >= 3
    assert [tag for tag, _ in Elements(html).found if tag in ("img", "script")] == [
        tag for tag, _ in Elements(export(usual, 20)).found if tag == "script"
    ]


def test_data_in_a_script_survives_whatever_a_vocabulary_has():
    vocab = ["<", "</script>", "<!--", "\u2028", "\x00", "\ud83d", "\ude42", "\U0001f642", '"', "\\"]
    assert json.loads(data(vocab)) == vocab
    assert "<" not in data(vocab) and data(vocab).isascii()


def test_the_page_of_quick_is_smaller_than_a_megabyte(shipped):
    assert shipped.read_info().preset == "quick"
    assert len(page(shipped, 2000).encode()) < 1_000_000


def test_the_sheet_has_what_was_asked_and_predicted_or_room_for_it():
    run = trained()
    empty = sheet(run, 20)
    run.update(guess=1.25)
    assert "1.250" in Elements(sheet(run, 20)).words
    key, experiment = next(iter(EXPERIMENTS.items()))
    chosen, prediction = list(experiment.predictions.items())[-1]
    run.update(experiment=ExperimentEntry(key, chosen))
    asked = sheet(run, 20)
    assert experiment.question in Elements(asked).words and prediction in Elements(asked).words
    rooms = [len([a for _, a in Elements(html).found if "contenteditable" in a]) for html in (empty, asked)]
    assert rooms[0] == rooms[1] + 2
    run.update(experiment=ExperimentEntry("of-another-version", "unknown"))
    assert "1.250" in Elements(sheet(run, 20)).words


def test_the_sheet_has_samples_at_three_moments_the_result_and_the_command(shipped):
    words, stored = Elements(sheet(shipped, 2000)).words, gallery.samples(shipped.folder)
    assert [step for step in stored if stored[step].text in words] == [0, 128, 2000]
    loss = shipped.history.read().val_losses[-1][1]
    assert f"{loss:.3f}" in words and f"{shipped.read_info().references['table_5']:.3f}" in words
    assert "python -m microllm train --preset quick --text book" in words
    early = Elements(sheet(shipped, 8)).words
    assert [step for step in stored if stored[step].text in early] == [0, 8]


def test_the_curve_has_axes_with_units_and_ends_at_the_step(shipped):
    history, references = shipped.history.read(), shipped.read_info().references
    svg = loss_svg(history, references, 128)
    words = " ".join(re.findall(r"<text[^>]*>([^<]*)", svg))
    assert "nats per character" in words and "step" in words
    assert "Training loss at step 128:" in svg and "Validation loss at step 128:" in svg
    ends = [float(path.split()[-1].split(",")[0]) for path in re.findall(r' d="M([^"]*)"/>', svg)[1:]]
    assert len(ends) == 3 and max(ends) - min(ends) < 0.2  # training, smoothed, validation
    assert svg.count("<circle") == len([at for at, _ in history.val_losses_until(128) if at])


def test_the_labels_of_the_lines_stand_beside_the_plot_and_not_on_each_other(shipped):
    references = {"table_1": 2.0, "table_2": 1.99, "table_3": 1.98, "table_5": 1.0, "floor": 0.99}
    for known, step in ((shipped.read_info().references, 2000), (references, 0)):
        svg = loss_svg(shipped.history.read(), known, step)
        quiet = re.findall(r'<text class="quiet" x="([\d.]+)" y="([\d.]+)"', svg)
        drawn = [float(x) for path in re.findall(r' d="M([^"]*)"', svg)[1:] for x in re.findall(r"([\d.]+),", path)]
        lines = [float(points.split(",")[0].split()[-1]) for points in re.findall(r'points="([^"]*)"', svg)]
        heights = sorted(float(y) for _, y in quiet)
        assert len(quiet) == 2 * len(lines) > 0  # a name and a number each
        assert min(float(x) for x, _ in quiet) > max([*drawn, *lines])
        assert all(below - above >= 14 for above, below in pairwise(heights))
        assert heights[-1] < HEIGHT


@EXPORTS
def test_the_losses_of_a_model_that_sees_the_answer_are_compared_with_nothing(export):
    html, usual = (export(trained(causal=causal), 20) for causal in (False, True))
    assert CHEATS in Elements(html).words and CHEATS not in Elements(usual).words
    for tag in ["polyline"] + ["table"] * (export is sheet):
        counts = [sum(found == tag for found, _ in Elements(each).found) for each in (html, usual)]
        assert counts[0] < counts[1]


def test_a_page_before_the_first_step_does_not_say_that_it_learned():
    run = trained()
    words = [Elements(page(each, 0)).words for each in (run, fork(run, 20, texts.choose("words-twice"), max_steps=9))]
    assert "random" in words[0] and "another run" in words[1]
    assert not any("It learned" in each for each in words)


@EXPORTS
def test_every_kind_of_run_has_a_page_and_a_sheet(export):
    silenced = trained(silenced="1.1 1.2")
    diverged = new_run(optimizer="adamw", learning_rate=1.0, initialization="torch", max_steps=40, eval_interval=4)
    train(diverged)
    diverged.update(state="failed")
    words = [Elements(export(run, run.newest_snapshot())).words for run in (silenced, diverged)]
    assert ("silenced" in words[0]) and all(words)
    assert (export is page) or "failed" in words[1]


def test_a_run_that_failed_before_its_first_step_has_a_sheet():
    run = fork(trained(), 20, texts.choose("words-twice"), max_steps=9)
    run.update(state="failed")
    assert "before its first step" in sheet(run, run.newest_snapshot())


def test_a_run_without_a_curve_has_axes_all_the_same():
    run = new_run()
    assert "nats per character" in loss_svg(run.history.read(), {}, 0)
