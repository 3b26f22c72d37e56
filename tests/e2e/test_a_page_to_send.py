"""The exported page in a browser without a network: the model in JavaScript is the model in torch."""

import random
from pathlib import Path

import pytest
import torch
from making import draw_biases, new_run
from patience import patience

from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.exports.page import page as export
from microllm.exports.sheet import sheet
from microllm.inference import next_logits, prefill_or_decode
from microllm.insight.trace import trace
from microllm.model import Cache, MicroLLM
from microllm.runs import gallery
from microllm.runs.run import Run

ODD = """"'`</script><!--\\\u2028\u2029\x00\x07 \n\r\t$é🙂👩‍🚀न‮"""
RECIPES = [
    {"position": "none"},
    {"position": "learned", "activation": "relu", "block_size": 1},
    {"position": "rotary", "lookback": 3, "n_layer": 2},
    {"position": "relative", "n_head": 4, "silenced": "1.1 1.3 2.4", "n_layer": 2},
    {"position": "relative", "causal": False, "lookback": 1},
    {"position": "rotary", "causal": False, "activation": "relu", "n_layer": 2},
    {"position": "learned", "lookback": 8, "block_size": 5},
]


def untrained_run(**settings) -> Run:
    """A run with random weights at step 0, whose characters are odd and whose names are markup."""
    hostile = "</script><img src=x onerror=alert(1)>"
    run = new_run(texts.prepare(drawing_room(500) + ODD, hostile), **settings | {"initialization": "torch"})
    run.update(name=hostile)
    rng = torch.Generator().manual_seed(1)
    run.save_snapshot(
        0, draw_biases(MicroLLM(run.read_info().model, run.tokenizer.vocab_size, generator=rng)).state_dict()
    )
    return run


@pytest.fixture
def opened(new_page, tmp_path):
    """Open a file without a network: `opened(html)`, or with other options of the window."""

    def open_file(html: str, **options):
        page = new_page(viewport={"width": 390, "height": 844}, **options)
        page.context.set_offline(True)
        page.asked_for = []
        page.on("request", lambda request: page.asked_for.append(request.url))
        file = tmp_path / "page.html"
        file.write_bytes(html.encode())
        page.goto(file.as_uri())
        return page

    return open_file


def some_text(run: Run, length: int, rng: random.Random) -> str:
    return "".join(rng.choices(run.tokenizer.vocab, k=length))


def largest_difference(page, run: Run, model: MicroLLM, contexts: list[str]) -> float:
    """Between the logits of the page and those of torch, over some contexts."""
    found = torch.tensor(page.evaluate("texts => texts.map(microllm.logits)", contexts))
    right = torch.cat([next_logits(model, torch.tensor([run.tokenizer.encode(text)])) for text in contexts])
    return (found - right).abs().max().item()


def test_the_logits_of_the_shipped_run_are_those_of_torch_in_200_contexts(opened):
    run, rng = Run.open(gallery.FIRST), random.Random(0)
    page = opened(export(run, 2000))
    assert page.evaluate("microllm.vocab.join('')") == run.tokenizer.vocab
    contexts = [some_text(run, 1 + i % 40, rng) for i in range(100)]  # of up to 40 characters, more than it sees
    written = page.evaluate("microllm.generate('I', 240)")
    contexts += [written[at : at + 40] for at in range(1, 201, 2)]
    assert largest_difference(page, run, run.model_at(2000), contexts) < 1e-3
    page.evaluate("stop()")
    took = page.evaluate("const began = performance.now(); microllm.generate('I', 200); performance.now() - began")
    assert took < patience(4) * 1000  # milliseconds: 50 characters per second


def test_every_kind_of_model_has_the_logits_and_the_attention_of_torch(opened):
    rng, page = random.Random(0), None
    for recipe in RECIPES:
        run = untrained_run(**recipe)
        model, html = run.model_at(0), export(run, 0)
        if page is None:
            page = opened(html)
        else:
            Path(page.url.removeprefix("file://")).write_bytes(html.encode())
            page.reload()
        assert page.evaluate("microllm.vocab") == [*run.tokenizer.vocab]
        assert largest_difference(page, run, model, [some_text(run, n, rng) for n in (1, 2, 5, 8, 12)]) < 1e-4, recipe

        text = some_text(run, run.read_info().model.block_size, rng)
        forward = "text => microllm.model.forward(microllm.model.encode(text))[1]"
        seen = page.evaluate(f"{forward}.map(heads => heads.map(rows => rows.map(row => [...row])))", text)
        pattern = trace(model, torch.tensor(run.tokenizer.encode(text))).pattern
        for layer, heads in enumerate(seen):
            for head, rows in enumerate(heads):
                for query, row in enumerate(rows):
                    assert row == pytest.approx(pattern[layer, head, query, : len(row)].tolist(), abs=1e-5)

        # one character after another, until the context was full more than once
        ids, cache = run.tokenizer.encode(some_text(run, 30, rng)), Cache(model, 1)
        right = torch.cat([prefill_or_decode(model, cache, torch.tensor([[i]])) for i in ids])
        read = "ids => { const context = new Context(microllm.model); return ids.map(id => [...context.read([id])]) }"
        assert (torch.tensor(page.evaluate(read, ids)) - right).abs().max() < 1e-4, recipe
    assert page.errors == [] and page.locator("img").count() == 0
    assert {*page.asked_for} == {page.url}


def test_a_friend_opens_it_on_a_phone(opened):
    page = opened(export(Run.open(gallery.FIRST), 2000), color_scheme="dark", has_touch=True)
    written = page.locator("#written")
    page.wait_for_function("document.getElementById('written').textContent.length > 20")
    page.locator("#write").tap()  # stop
    stopped = written.text_content()
    page.locator("#bars button").nth(1).tap()
    assert written.text_content()[:-1] == stopped
    page.locator("#temperature").fill("0")
    assert page.locator("#bars .share").nth(0).text_content().startswith("100")
    page.locator("#continue").tap()
    page.wait_for_function(
        "length => document.getElementById('written').textContent.length > length", arg=len(stopped) + 30
    )
    page.locator("#write").tap()

    page.locator("#prompt").fill("Ωhe cat 🙂")
    message = page.locator("#prompt-message").text_content()
    assert "Ω" in message and "🙂" in message and page.locator("#prompt").input_value() == "Ωhe cat 🙂"
    assert page.locator("#begun").text_content() == "he cat "
    page.locator("#prompt").fill("")
    assert page.locator("#write").is_disabled() and page.locator("#prompt-message").text_content()

    page.locator("#sentence").fill("a cat and a dog, a cat and a dog, a cat")
    page.locator("#maps button").nth(5).tap()
    assert page.locator("#maps [aria-pressed=true]").text_content() == "2.2"
    page.locator("#looking").fill("9")
    assert "(9)" in page.locator("#reading").text_content()

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    controls = page.locator("button, input, textarea")
    assert min(control.bounding_box()["height"] for control in controls.all()) >= 44
    assert page.errors == [] and {*page.asked_for} == {page.url}


def test_a_lab_sheet_keeps_what_a_person_writes_also_in_a_saved_copy(opened, tmp_path):
    page = opened(sheet(Run.open(gallery.FIRST), 2000))
    words = page.locator(".own.large")
    words.fill("It <b>learned</b> words\nbefore sentences.")
    page.reload()
    assert words.inner_text() == "It <b>learned</b> words\nbefore sentences."
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(tmp_path / "copy.html")
    page.goto((tmp_path / "copy.html").as_uri())
    assert words.inner_text() == "It <b>learned</b> words\nbefore sentences."
    assert page.evaluate("document.getElementById('save').onclick !== null")  # its scripts are allowed to run, too
    assert page.evaluate("document.documentElement.scrollWidth") == 390 and page.errors == []
