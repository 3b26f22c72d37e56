import base64
import json

import numpy
import pytest
import torch

from microllm.plots.attention import attention_figure, coarse, distance_data, distance_spec, packed
from microllm.plots.palette import PALETTE


def rows_that_sum_to_one(*shape: int, causal: bool = True) -> torch.Tensor:
    scores = torch.rand(shape, generator=torch.Generator().manual_seed(5))
    if causal:
        scores = scores.tril()
    return scores / scores.sum(-1, keepdim=True)


def unpacked(shares: str) -> numpy.ndarray:
    return numpy.frombuffer(base64.b64decode(shares), numpy.uint8)


def test_packed_bytes_are_the_lower_triangles_one_after_another():
    pattern = rows_that_sum_to_one(2, 3, 7, 7)
    shares, at = unpacked(packed(pattern)), 0
    for layer in range(2):
        for head in range(3):
            for q in range(7):
                for k in range(q + 1):
                    assert abs(shares[at + q * (q + 1) // 2 + k] - 255 * pattern[layer, head, q, k].item()) <= 0.51
            at += 28
    assert at == len(shares)


def test_packed_bytes_of_a_model_without_a_causal_mask_are_all_rows():
    pattern = rows_that_sum_to_one(5, 5, causal=False)
    shares = unpacked(packed(pattern, causal=False)).reshape(5, 5)
    numpy.testing.assert_allclose(shares, 255 * pattern.numpy(), atol=0.51)


@pytest.mark.parametrize("size", [1, 5, 8])
def test_a_pattern_that_is_small_enough_stays_as_it_is(size):
    pattern = rows_that_sum_to_one(2, size, size)
    assert coarse(pattern, 8) is pattern


@pytest.mark.parametrize("size", [9, 16, 17, 31, 200])
def test_a_coarse_pattern_has_the_mean_of_some_rows_and_the_sum_of_some_columns(size):
    pattern, most = rows_that_sum_to_one(2, size, size), 8
    small, k = coarse(pattern, most), -(-size // most)
    assert small.shape[-1] == -(-size // k) <= most
    for i in range(small.shape[-1]):
        for j in range(small.shape[-1]):
            block = pattern[1, i * k : (i + 1) * k, j * k : (j + 1) * k]
            assert small[1, i, j].item() == pytest.approx(block.sum(-1).mean().item(), abs=1e-6)
    torch.testing.assert_close(small.sum(-1), torch.ones(small.shape[:-1]))
    assert (small.triu(1) == 0).all()  # no head is seen to look into the future


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_heatmap_shows_shares_from_none_to_all_and_nothing_of_the_future(mode):
    pattern = rows_that_sum_to_one(4, 4)
    trace = attention_figure(pattern, "a b\n", mode).data[0]
    shown = numpy.array(trace.z)
    numpy.testing.assert_allclose(shown[numpy.tril_indices(4)], pattern.numpy()[numpy.tril_indices(4)])
    assert numpy.isnan(shown[numpy.triu_indices(4, 1)]).all()
    assert (trace.zmin, trace.zmax) == (0, 1)
    places, colors = zip(*trace.colorscale, strict=True)
    assert (places[0], places[-1]) == (0, 1)
    for color, name in ((colors[0], "ground"), (colors[-1], "attention")):
        assert color == "rgb({}, {}, {})".format(*bytes.fromhex(PALETTE[mode][name][1:]))


def test_a_model_without_a_causal_mask_is_drawn_attending_ahead():
    pattern = rows_that_sum_to_one(4, 4, causal=False)
    shown = numpy.array(attention_figure(pattern, "abcd", "light", causal=False).data[0].z)
    numpy.testing.assert_allclose(shown, pattern.numpy())


def test_the_axes_name_places_by_their_characters_even_repeated_ones():
    layout = json.loads(attention_figure(rows_that_sum_to_one(4, 4), "a a\n", "light").to_json())["layout"]
    assert layout["xaxis"]["labelalias"] == {"1": "a", "2": "␠", "3": "a", "4": "⏎"}
    assert layout["xaxis"]["title"]["text"].endswith("(key)")
    assert layout["yaxis"]["title"]["text"].endswith("(query)")


def test_names_of_invisible_characters_are_upright():
    axes = {text: attention_figure(torch.eye(3), text, "light").layout.xaxis for text in ("abc", "a\u2028c")}
    assert axes["abc"].tickangle == 0
    assert axes["a\u2028c"].tickangle == -90
    assert axes["a\u2028c"].labelalias["2"] == "‹2028›"


@pytest.mark.parametrize("block_size", [1, 2, 5, 32, 128, 256])
def test_the_distances_with_a_label_are_among_those_drawn_and_not_too_many(block_size):
    rows = distance_data(torch.full((block_size,), 1 / block_size))
    assert rows.back.tolist() == list(range(block_size)) and rows.share.sum() == pytest.approx(1)
    labels = distance_spec(block_size, "light")["encoding"]["x"]["axis"]["values"]
    assert 0 in labels and set(labels) <= set(rows.back) and len(labels) <= 12
