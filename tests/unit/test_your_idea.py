"""The README's "Your idea in a minute": its lines, added to a copy of the program, are a choice everywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from driving import environment_in

ROOT = Path(__file__).parents[2]
ASKED = """
import torch
from streamlit.testing.v1 import AppTest

from microllm.__main__ import main
from microllm.config import configs_from
from microllm.insight import anatomy
from microllm.insight.stages import stages
from microllm.runs import all_runs
from microllm.ui import shell
from microllm.ui.state import link

read = link.read({"activation": "silu", "n_embd": "16"})
assert read.wrong == () and read.values["activation"] == "silu", read

shell.import_everything()
at = AppTest.from_file("app.py", default_timeout=60)
at.session_state["more"] = True  # its settings are open
at.session_state["storage"] = {"told": {"keys": [], "draft": None, "mine": False, "refused": False}}
at.query_params["activation"] = "silu"
at.switch_page("pages/train.py").run()
(control,) = (one for one in at.selectbox if one.key == "knob-activation")
assert "silu" in control.options and control.value == "silu" and "sigmoid" in control.help

sizes = "--block_size 8 --n_embd 16 --n_head 2 --n_layer 1 --max_steps 3 --text words-twice --first 20000"
assert main(["train", "--activation", "silu", *sizes.split()]) == 0
(run,) = all_runs()
model = run.model_at(3)
x = torch.linspace(-3, 3, 7)
assert torch.allclose(model.blocks[0].feed_forward.activate(x), torch.nn.functional.silu(x))
stage = stages(model.config, model.vocab_size)["mlp_post"]
assert "x * x.sigmoid()" in "".join(anatomy.source(*stage.code).lines)
"""


@pytest.mark.timeout(90)
def test_four_lines_in_one_file_are_a_choice_a_flag_and_a_link_value(tmp_path):
    lines = re.search(r"<!-- ci: idea -->\n```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    assert len(lines.splitlines()) == 4
    for name in ("microllm", "pages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", tmp_path)
    with (tmp_path / "microllm" / "activations.py").open("a") as file:
        file.write(f"\n\n{lines}")
    environment = environment_in(tmp_path / "home") | {"PYTHONPATH": ""}
    asked = [sys.executable, "-c", ASKED]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
