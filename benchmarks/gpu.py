"""On a GPU: time until nanoGPT's character-level shape reaches a fixed loss, against the common fused style.

    python -m benchmarks.gpu --text tiny_shakespeare.txt

n_embd 384, n_head 6, n_layer 6, block_size 256, batch_size 64, dropout 0.2, to a validation loss of 1.47. Both are
compiled and multiply in bfloat16; the fused style uses AdamW at 1e-3. The seconds include compilation.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import torch

from microllm import Corpus, Trainer, configs_from

from .plain import PlainTraining
from .race import validation_loss
from .report import corpus, parser, save, table
from .step import operations

SHAPE = {"block_size": 256, "n_embd": 384, "n_head": 6, "n_layer": 6, "batch_size": 64, "dropout": 0.2}


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that the GPU takes for `work`."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def peak(size: int = 8_192, rounds: int = 20) -> float:
    """Operations per second of a product of two square bfloat16 matrices."""
    a, b = torch.randn(2, size, size, device="cuda", dtype=torch.bfloat16)
    return 2 * size**3 / min(seconds_of(lambda: a @ b) for _ in range(rounds))


def fused_training(settings, model, text: Corpus) -> tuple[Callable[[], None], torch.nn.Module]:
    """A step of the fused style, and its model."""
    plain = PlainTraining(model, settings.batch_size, text.train, text.vocab_size, "fused")
    compiled = torch.compile(plain.model)

    def step() -> None:
        x, y = plain.batch()
        with torch.autocast("cuda", torch.bfloat16):
            _, loss = compiled(x, y)
        plain.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        plain.optimizer.step()

    return step, plain.model


def main() -> None:
    """Print steps, seconds, characters per second and the share of the peak for both."""
    flags = parser(__doc__)
    flags.add_argument("--text", default="book")
    flags.add_argument("--goal", type=float, default=1.47)
    flags.add_argument("--learning_rate", type=float, default=0.005)
    flags.add_argument("--max_steps", type=int, default=3_000)
    options = flags.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA GPU; this machine has none.")
    text = corpus(options.text).to(torch.device("cuda"))
    settings = {"learning_rate": options.learning_rate, "max_steps": options.max_steps, "eval_interval": 10_000}
    model, train = configs_from(SHAPE | settings | {"position": "rotary", "lookback": 1, "warmup_steps": 100})
    trainer = Trainer(model, train, text)
    trainer.evaluate = lambda *_: None
    contestants = {"MicroLLM": (iter(trainer).__next__, trainer.model), "fused": fused_training(train, model, text)}
    best, work = peak(), operations(model, train.batch_size, text.vocab_size)
    rows, numbers = [], {"peak": best}
    for name, (step, net) in contestants.items():
        times = []
        for made in itertools.count(1):
            times.append(seconds_of(step))
            if made % 50 == 0 or made == options.max_steps:
                loss = validation_loss(net, text, model.block_size)
                if loss <= options.goal or made == options.max_steps:
                    break
        usual = statistics.median(times)
        rate, share = train.batch_size * model.block_size / usual, work / usual / best
        numbers[name] = {
            "steps": made,
            "loss": loss,
            "seconds": sum(times),
            "characters a second": rate,
            "share": share,
        }
        rows.append([name, f"{made:,}", f"{loss:.4f}", f"{sum(times):.1f}", f"{rate:,.0f}", f"{share:.0%}"])
    table(["", "steps", "loss", "seconds", "characters per second", "share of the peak"], rows)
    save(options.json, {"gpu": numbers})


if __name__ == "__main__":
    main()
