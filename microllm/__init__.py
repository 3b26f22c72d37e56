"""MicroLLM: a character-level Transformer, from scratch, to train and to look into.

>>> from microllm import Corpus, ModelConfig, TrainConfig, Trainer
>>> corpus = Corpus("the cat sat on the mat. " * 500)
>>> trainer = Trainer(ModelConfig(block_size=16, n_embd=32), TrainConfig(max_steps=100), corpus)
>>> losses = [progress.train_loss for progress in trainer]
>>> losses[-1] < losses[0]
True
"""

from .config import PRESETS, ModelConfig, Preset, TrainConfig, configs_from, problems
from .corpus import Corpus, CountingTables
from .model import Block, FeedForward, Head, MicroLLM, MultiHeadAttention, parameter_count
from .sample import Sampling, generate, probabilities, stream
from .tokenizer import CharTokenizer
from .trace import Trace, trace
from .train import Diverged, Progress, Trainer, validation_loss

__all__ = [
    "PRESETS",
    "Block",
    "CharTokenizer",
    "Corpus",
    "CountingTables",
    "Diverged",
    "FeedForward",
    "Head",
    "MicroLLM",
    "ModelConfig",
    "MultiHeadAttention",
    "Preset",
    "Progress",
    "Sampling",
    "Trace",
    "TrainConfig",
    "Trainer",
    "configs_from",
    "generate",
    "parameter_count",
    "probabilities",
    "problems",
    "stream",
    "trace",
    "validation_loss",
]
