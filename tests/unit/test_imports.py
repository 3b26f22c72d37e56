"""What an import brings with it: each in a Python of its own, for this one has everything already."""

import subprocess
import sys
from pathlib import Path

import pytest

import microllm

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    """The names of all modules that `code` has imported."""
    code += "\nimport sys\nprint(*sys.modules, file=sys.__stdout__)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split())


def test_the_frame_of_the_pages_is_there_before_torch():
    assert {"torch", "pandas", "safetensors"}.isdisjoint(modules_after("from microllm.ui import shell"))


def test_a_fresh_server_shows_a_curve_and_a_sample_before_torch_and_pandas():
    modules = modules_after("from microllm.ui import shell\nfrom microllm.ui.parts import first_paint")
    assert {"torch", "pandas", "pyarrow", "safetensors"}.isdisjoint(modules)
    script = "from microllm.ui.parts.first_paint import first_paint; first_paint()"
    code = f"from streamlit.testing.v1 import AppTest\nat = AppTest.from_string({script!r}).run()"
    code += "\nassert not at.exception and at.text[0].value and at.button(key='start').disabled"
    assert "torch" not in modules_after(code)


def test_help_needs_no_torch():
    code = "from microllm.__main__ import main\ntry:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass"
    assert {"torch", "streamlit", "requests"}.isdisjoint(modules_after(code))


def test_the_whole_engine_brings_torch_and_nothing_else_that_is_slow():
    modules = modules_after("from microllm import *")
    assert "torch" in modules
    others = {"streamlit", "pandas", "plotly", "requests", "safetensors"}
    assert others.isdisjoint(modules)
    assert "torch._dynamo" not in modules


def test_counting_parameters_does_not_import_a_compiler():
    code = "from microllm import ModelConfig, parameter_count\nassert parameter_count(ModelConfig(), 91) > 1_000"
    assert {"torch._dynamo", "sympy"}.isdisjoint(modules_after(code))


def test_every_public_name_is_there():
    for name in microllm.__all__:
        assert getattr(microllm, name) is not None
    assert set(microllm.__all__) <= set(dir(microllm))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = microllm.no_such_name
