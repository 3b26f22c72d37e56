"""A link says what the next run would be, and what it says is checked like everything that a stranger writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microllm.config import PRESETS, configs_from, knobs, problems
from microllm.data.builtin import TRANSFORMS
from microllm.data.published import PUBLIC_TEXTS
from microllm.ui.state.link import Link, read, written


def a_value(knob):
    meta = knob.metadata
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    if knob.type == "int":
        return st.integers(meta["low"], meta["high"])
    return st.floats(meta["low"], meta["high"], allow_nan=False)


settings = st.fixed_dictionaries({}, optional={name: a_value(knob) for name, knob in knobs().items()})


@given(st.sampled_from(list(PRESETS)), settings)
def test_what_is_written_is_read_back_to_the_same_configuration(preset, values):
    if problems(*configs_from(values, preset)):
        return
    link = read(written(Link(preset, values)))
    assert link.wrong == ()
    assert configs_from(link.values, link.preset) == configs_from(values, preset)


@pytest.mark.timeout(30)
@given(st.dictionaries(st.sampled_from([*knobs(), "preset", "text", "transform", "first", "sentence", "?"]), st.text()))
def test_whatever_a_link_says_the_settings_are_valid(says):
    link = read(says)
    assert not problems(*configs_from(link.values, link.preset or "quick"))
    assert link.preset is None or link.preset in PRESETS
    assert link.text in {None, *PUBLIC_TEXTS}
    assert link.transform in TRANSFORMS
    assert link.first is None or link.first >= 20
    assert link.sentence is None or 0 < len(link.sentence) <= 200


numbers = st.one_of(st.integers(-(10**30), 10**30), st.floats()).map(str)


@given(st.dictionaries(st.sampled_from(list(knobs())), numbers), st.sampled_from(list(PRESETS)))
def test_numbers_out_of_range_are_replaced_and_named(says, preset):
    link = read(says | {"preset": preset})
    assert not problems(*configs_from(link.values, preset))
    for name, value in says.items():
        taken = link.values.get(name)
        if taken is None or taken != float(value):
            assert any(name in sentence for sentence in link.wrong), name


def test_only_what_differs_from_the_preset_is_written():
    _, train = configs_from({}, "article")
    link = Link("article", {"block_size": 8, "n_embd": 48, "seed": train.seed}, "book")
    assert written(link) == {"preset": "article", "n_embd": "48", "text": "book"}


def test_a_text_is_written_with_what_is_done_to_it():
    link = Link("quick", text="words-twice", transform="reversed", first=5_000, sentence="a&b=c\n⏎")
    assert read(written(link)) == link


def test_a_value_out_of_range_is_replaced_by_the_nearest():
    link = read({"block_size": "900", "learning_rate": "-1", "n_layer": "0"})
    assert link.values == {"block_size": 256, "learning_rate": 1e-6, "n_layer": 1}
    assert len(link.wrong) == 3
    assert any(all(word in sentence for word in ("block_size", "900", "256")) for sentence in link.wrong)


def test_heads_that_cannot_share_the_width_are_replaced_by_the_nearest_that_can():
    link = read({"n_embd": "48", "n_head": "5"})
    assert link.values["n_head"] in (4, 6)
    assert any("n_head" in sentence and "n_embd" in sentence for sentence in link.wrong)


def test_an_odd_width_with_rotary_positions_is_made_even():
    link = read({"position": "rotary", "n_embd": "33", "n_head": "1"})
    assert link.values == {"position": "rotary", "n_embd": 32, "n_head": 1}


@pytest.mark.parametrize(
    ("says", "word"),
    [
        ({"block_size": "many"}, "block_size is 'many'"),
        ({"block_size": "9" * 5_000}, "block_size"),
        ({"learning_rate": "nan"}, "learning_rate is nan"),
        ({"causal": "perhaps"}, "causal is 'perhaps'"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'"),
        ({"preset": "../../etc/passwd"}, "preset is '../../etc/passwd'"),
        ({"text": "/etc/passwd"}, "text is '/etc/passwd'"),
        ({"transform": "upside down"}, "transform is 'upside down'"),
        ({"first": "some"}, "first is 'some'"),
    ],
)
def test_a_value_without_a_nearest_is_named_and_left_out(says, word):
    link = read(says)
    assert len(link.wrong) == 1
    assert word in link.wrong[0]
    assert link.ignored == {link.wrong[0]: next(iter(says))}
    assert len(link.wrong[0]) < 300
    assert (link.preset, link.values, link.text, link.first) == (None, {}, None, None)


def test_a_name_that_means_nothing_is_ignored():
    assert read({"utm_source": "x", "__class__": "y"}) == Link()
