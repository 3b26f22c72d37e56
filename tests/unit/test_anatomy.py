"""The numbers of every stage are what plain Python computes one by one, and its source is what is in the file."""

import math
from pathlib import Path

import pytest
import torch
from making import draw_biases

from microllm.config import ModelConfig
from microllm.insight import anatomy
from microllm.insight.stages import HEAD_STAGES, STOPS, stages
from microllm.insight.trace import trace
from microllm.model import RELATIVE_SCALE, Head, MicroLLM

ROOT = Path(__file__).parents[2]
VOCABULARY, LENGTH = 7, 5
RECIPES = [
    {"position": "learned", "lookback": 0, "activation": "relu"},
    {"position": "rotary", "lookback": 2},
    {"position": "relative", "lookback": 1},
    {"position": "relative", "lookback": 0, "causal": False},
    {"position": "none", "lookback": 0},
]


@pytest.fixture(params=RECIPES, ids=str)
def model(request) -> MicroLLM:
    config = ModelConfig(block_size=6, n_embd=8, n_head=2, n_layer=2, initialization="torch", **request.param)
    made = draw_biases(MicroLLM(config, VOCABULARY, generator=torch.Generator().manual_seed(1)).eval())
    for name, parameter in made.named_parameters():
        if "ln" in name:  # a new layer norm changes nothing after it has normalized
            torch.nn.init.normal_(parameter, mean=1, std=0.2, generator=torch.Generator().manual_seed(2))
    return made


def context() -> torch.Tensor:
    return torch.randint(VOCABULARY, (LENGTH,), generator=torch.Generator().manual_seed(4))


def linear(rows: list, weight: list, bias: list | None = None) -> list:
    bias = bias or [0.0] * len(weight)
    return [[dot(row, w) + b for w, b in zip(weight, bias, strict=True)] for row in rows]


def dot(a: list, b: list) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def weights_of(module: torch.nn.Linear) -> tuple[list, list]:
    return module.weight.tolist(), module.bias.tolist()


def normalized(rows: list, norm: torch.nn.LayerNorm) -> list:
    found = []
    for row in rows:
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        weights = zip(row, norm.weight.tolist(), norm.bias.tolist(), strict=True)
        found.append([(x - mean) / math.sqrt(variance + norm.eps) * weight + bias for x, weight, bias in weights])
    return found


def rotated(rows: list) -> list:
    found = []
    for place, row in enumerate(rows):
        new = []
        for pair in range(len(row) // 2):
            angle, (x, y) = place * 10_000 ** (-2 * pair / len(row)), row[2 * pair : 2 * pair + 2]
            new += [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)]
        found.append(new)
    return found


def softmax(rows: list) -> list:
    found = []
    for row in rows:
        powers = [math.exp(x) for x in row]
        found.append([power / sum(powers) for power in powers])
    return found


def added(*matrices: list) -> list:
    return [[sum(values) for values in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def by_hand(model: MicroLLM, ids: list[int]) -> dict:
    """Every stage as lists of numbers, by (name, layer, head); None where a stage has no layer or head."""
    config, C, D = model.config, model.config.n_embd, model.config.head_size
    found = {("characters", None, None): [[i] for i in ids]}
    terms = {"token_embed": [model.token_embedding.weight[i].tolist() for i in ids]}
    if config.lookback:
        table, rows = model.lookback_embedding.weight.tolist(), []
        for place in range(len(ids)):
            vectors = []
            for back in range(1, config.lookback + 1):
                previous = ids[place - back] if place >= back else VOCABULARY  # "before the beginning"
                vectors.append(table[(config.lookback - back) * (VOCABULARY + 1) + previous])
            rows.append([sum(values) for values in zip(*vectors, strict=True)])
        terms["previous_embed"] = rows
    if config.position == "learned":
        terms["position_embed"] = model.position_embedding.weight[: len(ids)].tolist()
    found |= {(name, None, None): rows for name, rows in terms.items()}
    x = found["embedding", None, None] = added(*terms.values())
    for layer, block in enumerate(model.blocks):
        attention, mlp = block.attention, block.feed_forward
        ln1 = found["ln1", layer, None] = normalized(x, block.ln1)
        mixes = []
        for h in range(config.n_head):
            weights = attention.qkv.weight.view(3, config.n_head, D, C)[:, h]
            q, k, v = (linear(ln1, weight.tolist()) for weight in weights)
            if config.position == "rotary":
                q, k = rotated(q), rotated(k)
            match = linear(q, k)
            scores = [[value / math.sqrt(D) for value in row] for row in match]
            for i, row in enumerate(scores):
                for j in range(len(row)):
                    if config.position == "relative":
                        row[j] += RELATIVE_SCALE * attention.relative_bias[h, i - j].item()
                    if config.causal and j > i:
                        row[j] = -math.inf
            pattern = softmax(scores)
            z = linear(pattern, [list(column) for column in zip(*v, strict=True)])
            mixes.append(z)
            steps = zip(HEAD_STAGES, (q, k, match, scores, pattern, v, z), strict=True)
            found |= {(name, layer, h): values for name, values in steps}
        together = [[value for row in rows for value in row] for rows in zip(*mixes, strict=True)]
        out = found["attn_out", layer, None] = linear(together, *weights_of(attention.proj))
        x = found["resid_mid", layer, None] = added(x, out)
        ln2 = found["ln2", layer, None] = normalized(x, block.ln2)
        pre = found["mlp_pre", layer, None] = linear(ln2, *weights_of(mlp.expand))
        power = 2 if config.activation == "relu2" else 1
        post = found["mlp_post", layer, None] = [[max(0.0, value) ** power for value in row] for row in pre]
        out = found["mlp_out", layer, None] = linear(post, *weights_of(mlp.proj))
        x = found["resid_post", layer, None] = added(x, out)
    ln_f = found["ln_f", None, None] = normalized(x, model.ln_f)
    logits = found["logits", None, None] = linear(ln_f, *weights_of(model.lm_head))
    found["probabilities", None, None] = softmax(logits)
    return found


def test_the_numbers_of_every_stage_are_those_of_plain_python(model):
    ids = context()
    traced, expected = trace(model, ids), by_hand(model, ids.tolist())
    known = stages(model.config, VOCABULARY)
    assert {name for name, _, _ in expected} == set(known)
    for (name, layer, head), rows in expected.items():
        found = anatomy.numbers(name, model, traced, ids, layer or 0, head or 0)
        torch.testing.assert_close(found, torch.tensor(rows, dtype=torch.float32), rtol=1e-4, atol=1e-5, msg=name)


def test_the_factors_of_a_stage_multiply_to_its_numbers(model):
    ids = context()
    traced, summed = trace(model, ids), set()
    for name in stages(model.config, VOCABULARY):
        for layer, head in ((0, 0), (1, 1)):
            if (factors := anatomy.factors(name, model, traced, layer, head)) is None:
                continue
            a, b, bias = factors
            found = [[dot(x, y) for y in b.tolist()] for x in a.tolist()]
            expected = anatomy.numbers(name, model, traced, ids, layer, head) - (0 if bias is None else bias)
            torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5, msg=name)
            summed.add(name)
    rotated_later = {"q", "k"} if model.config.position == "rotary" else set()
    assert summed == {"q", "k", "match", "v", "z", "attn_out", "mlp_pre", "mlp_out", "logits"} - rotated_later


def test_the_shape_that_a_stage_names_is_that_of_its_numbers(model):
    ids, config = context(), model.config
    sizes = {"N": LENGTH, "C": config.n_embd, "4C": 4 * config.n_embd, "D": config.head_size, "V": VOCABULARY}
    traced = trace(model, ids)
    for name, stage in stages(config, VOCABULARY).items():
        shape = [sizes[symbol] for symbol in stage.symbols.strip("(,)").split(", ")]
        found = list(anatomy.numbers(name, model, traced, ids, 1, 1).shape)
        assert found == (shape if len(shape) == 2 else [*shape, 1]), name


def test_the_inputs_of_a_stage_come_before_it_and_every_stage_leads_to_the_prediction(model):
    known = stages(model.config, VOCABULARY)
    order, used = list(known), set()
    for name, stage in known.items():
        for layer in (0, 1):
            for other, of_layer in anatomy.inputs(stage, layer, 2):
                assert (of_layer, order.index(other)) < (layer, order.index(name)) or stage.group == "output"
                used.add(other)
    assert used == set(known) - {"probabilities"}


def test_the_walk_has_twelve_stops_at_most_in_the_order_of_computation(model):
    order = list(stages(model.config, VOCABULARY))
    assert len(STOPS) <= 12
    assert (STOPS[0], STOPS[-1]) == (order[0], order[-1])
    places = [order.index(stop) for stop in STOPS]
    assert places == sorted(places)


def test_the_source_of_every_stage_is_in_its_file_and_some_lines_of_it_are_marked(model):
    for stage in stages(model.config, VOCABULARY).values():
        found = anatomy.source(*stage.code)
        lines = (ROOT / found.file).read_text("utf-8").splitlines()[found.first - 1 :][: len(found.lines)]
        assert [line.strip() for line in lines] == [line.strip() for line in found.lines]
        assert found.marked, stage.name


def test_the_marked_lines_are_those_that_assign_or_use_a_name():
    found = anatomy.source(Head.__call__, ("v",))
    assert [found.lines[i].partition("#")[0].strip() for i in found.marked] == ["v = x @ self.value.T"]
    found = anatomy.source(Head.__call__, ("return",))
    assert [found.lines[i].strip() for i in found.marked] == ["return weights @ v, weights"]


def test_a_context_that_is_too_long_is_refused(model):
    ids = torch.zeros(model.config.block_size + 1, dtype=torch.long)
    with pytest.raises(ValueError, match="7 characters"):
        anatomy.numbers("q", model, trace(model, ids), ids, 0, 0)
