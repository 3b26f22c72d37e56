"""What a person takes home works without MicroLLM: the script and the notebook repeat the run, the weights write."""

import __future__

import ast
import csv
import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from functools import partial

import making
import nbclient
import nbformat
import pytest
import torch

from microllm import Trainer
from microllm.__main__ import main
from microllm.data import store, texts
from microllm.data.builtin import drawing_room, words_twice
from microllm.data.edits import Edit
from microllm.data.published import PUBLISHED_TEXTS
from microllm.exports import KINDS
from microllm.exports.folder import folder
from microllm.exports.notebook import notebook
from microllm.exports.script import script
from microllm.inference import generate
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs.archive import folder_zip
from microllm.runs.catalog import delete
from microllm.runs.export import DIFFERS, caveats
from microllm.runs.fork import fork
from microllm.runs.importing import import_run
from microllm.runs.info import RunProblem
from microllm.runs.twin import twin

own_text = partial(drawing_room, 3_000)
RUNS = {  # all settings that change the program; in float32 unless they say otherwise
    "the article": {"preset": "article"},
    "the default": {},
    "rotary": {"preset": "long", "dropout": 0.2},
    "no positions": {"position": "none", "silenced": "1.2 2.1", "n_layer": 2, "lookback": 2},
    "no mask": {"causal": False, "activation": "relu", "optimizer": "adamw", "warmup_steps": 5, "stop_at_loss": 3.3},
    "bfloat16": {"precision": "bfloat16", "initialization": "torch", "seed": 7},
}
EDITS = [
    Edit("rename", ("Major", "Minor")),
    Edit("leave-out", ("3",)),
    Edit("repeat", (own_text().split(". ")[3] + ".",), 2),
    Edit("plant", ("Miss Ashbury has a dragon.",), 2),
]
ALL_IN_ONE_PROCESS = """\
import json
import runpy
import sys

for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv = ["train.py", "--log", f"{name}.csv", *arguments]
    runpy.run_path(f"{name}.py", run_name="__main__")
assert not any(module.startswith(("microllm", "streamlit")) for module in sys.modules)
"""


def new_run(*args, **settings):
    return making.new_run(*args, **{"precision": "float32", "max_steps": 20} | settings)


@pytest.fixture
def run():
    """A run that has trained on a person's own text."""
    run = new_run(texts.prepare(own_text(), "my.txt"))
    assert making.train(run) == "finished"
    return run


def trained(run):
    assert making.train(run) == "finished"
    return run


def lines_of(run, column="train_loss"):
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row[column] for row in map(json.loads, lines)}


def python(*arguments, folder):
    """Run a program that cannot see MicroLLM, in a folder."""
    done = subprocess.run([sys.executable, "-I", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def definitions(source, tmp_path):
    """What a program defines, without running its `main`."""
    path = tmp_path / "program.py"
    path.write_text(source, "utf-8")
    return runpy.run_path(str(path))


# ---- the script


def test_every_script_repeats_the_losses_of_its_run_digit_for_digit_without_microllm(tmp_path):
    own = texts.prepare(own_text(), "my.txt")
    runs = {f"own {name}": new_run(own, **settings) for name, settings in RUNS.items()}
    runs["changed, then longer"] = changed = new_run(texts.choose("words-twice"), max_steps=10)
    (changed.folder / "events.jsonl").write_text('{"step": 4, "learning_rate": 0.05}\n')
    for run in runs.values():
        assert making.train(run) == "finished"
    changed.extend(20)
    assert making.train(changed) == "finished"

    with_text = {name: ["--text", "my.txt"] if "own" in name else [] for name in runs}
    check_losses(runs, with_text, 15, tmp_path)


def check_losses(runs, arguments, last, folder):
    """The script of each run, with these arguments, has the losses of the run up to the step `last`, and is tidy."""
    (folder / "my.txt").write_text(own_text(), "utf-8")
    for name, run in runs.items():
        (folder / f"{name}.py").write_text(script(run, run.newest_snapshot()), "utf-8")
    (folder / "all of them.py").write_text(ALL_IN_ONE_PROCESS)
    flags = {name: [*arguments[name], "--max_steps", str(last)] for name in runs}
    python("all of them.py", json.dumps(flags), folder=folder)
    for name, run in runs.items():
        with (folder / f"{name}.csv").open() as file:
            losses = {int(row["step"]): float(row["train_loss"]) for row in csv.DictReader(file)}
        assert losses == {step: loss for step, loss in lines_of(run).items() if min(losses) <= step <= last}, name
        assert len(losses) > 8, name
        names = [node.name for node in ast.parse(script(run, last)).body if hasattr(node, "name")]
        assert len(names) == len(set(names)), name
    subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", folder], check=True)
    formatted = ["format", "--check", "--line-length", "120"]
    subprocess.run([sys.executable, "-m", "ruff", *formatted, "--isolated", folder], check=True)


def test_a_run_that_nothing_repeats_exactly_has_a_script_that_does_not_promise_it(run):
    promise, more = script(run, 20), caveats(run)
    run.update(is_repeatable=False)
    imported = import_run(folder_zip(run))
    for one in (run, imported):
        assert not one.read_info().is_repeatable and DIFFERS in caveats(one) and DIFFERS not in more
        head = script(one, 20).split("import")[0].replace("\n# ", " ")
        assert DIFFERS in head and DIFFERS not in promise.replace("\n# ", " ")


def test_a_fork_is_repeatable_unless_its_script_repeats_the_steps_of_a_parent_that_is_not(run):
    run.update(is_repeatable=False)
    with_memory, from_weights = fork(run, 20, max_steps=40), fork(run, 8)
    assert with_memory.read_info().parent.has_memory and not with_memory.read_info().is_repeatable
    assert from_weights.read_info().is_repeatable
    assert not trained(fork(with_memory, 20, max_steps=30)).read_info().is_repeatable


def test_a_run_of_several_processes_is_not_repeatable():
    shared = new_run()
    job = TrainingJob(shared, Slots(1), make_trainer=lambda *parts: Trainer(*parts, rank=0, world_size=2))
    job.start()
    job.join()
    assert shared.read_info().state == "finished" and not shared.read_info().is_repeatable
    shared.extend(30)
    assert not trained(shared).read_info().is_repeatable


def test_a_script_carries_only_the_code_of_its_settings():
    article, quick = (new_run(preset=preset) for preset in ("article", "quick"))
    for word, run in {"class StackedMuon": quick, "position_embedding": article, "def by_distance": quick}.items():
        assert word in script(run, 0)
    assert "class StackedMuon" not in script(article, 0)
    assert "apply_rotary" not in script(article, 0) + script(quick, 0)
    assert "CountingTables(" not in script(quick, 0)


def test_the_settings_are_plain_values_and_those_without_other_code_are_called_fixed():
    lines = script(new_run(preset="article", n_layer=2, threads=3), 0).splitlines()
    assert "THREADS = 3" in lines
    (n_layer,) = (line for line in lines if line.startswith("    n_layer:"))
    (optimizer,) = (line for line in lines if line.startswith("    optimizer:"))
    assert n_layer.startswith("    n_layer: int = 2  # ") and "(fixed)" not in n_layer
    assert optimizer.startswith('    optimizer: str = "adamw"  # ') and "(fixed)" in optimizer


# ---- the script of a twin, and that of a fork


def test_the_script_of_a_twin_edits_the_text_of_its_original(run, tmp_path):
    twins = {edit.kind: trained(twin(run, edit)) for edit in EDITS}
    check_losses(twins, dict.fromkeys(twins, ("--text", "my.txt")), 20, tmp_path)
    functions = {"rename": "_renamed", "leave-out": "_left_out", "repeat": "_repeated", "plant": "_planted"}
    for kind, made in twins.items():
        source = script(made, 20)
        assert [name for name, function in functions.items() if function in source] == [kind]
        assert "import regex" not in source and lines_of(made) != lines_of(run)


def test_a_twin_keeps_a_character_that_only_its_original_has_and_takes_its_own_text_as_it_is(tmp_path, capsys):
    text = "Zz " + own_text()
    original = new_run(texts.prepare(text, texts.PASTED))
    made = twin(original, Edit("rename", ("Zz", "at")))
    program = definitions(script(made, 0), tmp_path)
    files = [tmp_path / "original.txt", tmp_path / "edited.txt"]
    for file, content in zip(files, (text, store.load_text(made.read_info().text.sha256)), strict=True):
        file.write_text(content, "utf-8")
        trainer = program["new_trainer"](program["load_text"]([str(file)]))
        assert trainer.corpus.tokenizer.vocab == original.tokenizer.vocab
        assert trainer.corpus.train.equal(made.load_corpus().train)
    assert capsys.readouterr().err == ""


def test_the_twin_of_a_built_in_text_needs_no_file(tmp_path):
    original = new_run(texts.choose("words-twice", how="words", first=4_000))
    made = twin(original, Edit("plant", ("no one says it",), 3))
    program = definitions(script(made, 0), tmp_path)
    assert program["load_text"]([]) == store.load_text(made.read_info().text.sha256)


def changed(run, **live):
    """A run that was changed in the middle, before it is trained."""
    first = run.read_info().parent.step if run.read_info().parent.goes_on else 0
    (run.folder / "events.jsonl").write_text(json.dumps({"step": first + 4} | live) + "\n")
    return run


def weights_for(run, folder, first_fork):
    """The file of weights that a script asks for, made with the command that it names; the script's flags."""
    (command,) = set(
        re.findall(
            r"python -m microllm (export --run .+? --out model)",
            script(run, run.newest_snapshot()).replace("\n# ", " "),
        )
    )
    out = folder / run.id
    command = command.replace("ID-OF-THE-FIRST-FORK", first_fork.id)  # of which others must not know
    assert main([*command.split()[:-1], str(out)]) == 0
    return ["--weights", str(out / "model.safetensors")]


@pytest.mark.timeout(150)  # it trains a dozen runs, and their scripts train them again
def test_the_script_of_a_fork_repeats_its_losses_from_its_first_step(tmp_path):
    parent = new_run(texts.prepare(own_text(), "my.txt"), dropout=0.1, n_layer=2)
    assert making.train(parent) == "finished"
    other = texts.prepare(words_twice(3_000) + "ß", "other.txt")
    (tmp_path / "other.txt").write_text(words_twice(3_000) + "ß")
    with_weights = {
        "weights": fork(parent, 8, max_steps=60, learning_rate=0.01),
        "other text": changed(fork(parent, 20, other, max_steps=60), learning_rate=0.004),
        "silenced": fork(parent, 12, silenced="1.2 2.1", max_steps=60),
        "twin": fork(trained(twin(parent, EDITS[0])), 8, max_steps=60),
    }
    for child in with_weights.values():
        assert not child.read_info().parent.has_memory
        making.train(child)
    from_scratch = {
        "memory": changed(fork(parent, 20, max_steps=55, eval_interval=7), learning_rate=0.03),
        "memory of a twin": fork(trained(twin(parent, EDITS[1])), 20, max_steps=60),
    }
    for child in from_scratch.values():
        making.train(child)
    from_scratch["twice"] = trained(fork(from_scratch["memory"], 55, max_steps=70))
    again = trained(fork(with_weights["other text"], 60, max_steps=80))
    silenced = trained(fork(parent, 20, silenced="1.2 2.1", max_steps=30, learning_rate=0.01))
    longer = trained(fork(silenced, 30, max_steps=60))
    assert all(one.read_info().parent.has_memory for one in (again, silenced, longer, *from_scratch.values()))
    with_weights |= {"again": again, "silenced with memory, then longer": longer}

    assert again.read_info().old_text and parent.id not in script(with_weights["weights"], 8)
    texts_of = {"other text": "other.txt", "again": "other.txt"}
    flags = {name: ["--text", texts_of.get(name, "my.txt")] for name in with_weights | from_scratch}
    for name, child in with_weights.items():
        flags[name] += weights_for(child, tmp_path, silenced if child is longer else with_weights["other text"])
    check_losses(with_weights | from_scratch, flags, 50, tmp_path)


def test_the_script_of_a_fork_says_what_makes_its_weights(run, tmp_path, capsys, monkeypatch):
    child = fork(run, 8, max_steps=40)
    source = script(child, 8)
    command = f"python -m microllm export --run {child.id} --as folder --step 8 --out model"
    head = source.split("import")[0].replace("\n# ", " ")
    assert command in head and ".py" not in head  # the file has another name in the app than on the command line
    (tmp_path / "my.txt").write_text(own_text())
    (tmp_path / "wrong").write_text("no weights")
    (tmp_path / "others").write_bytes(folder(run, 20)["model.safetensors"])
    program = definitions(source, tmp_path)
    monkeypatch.chdir(tmp_path)
    for weights in ([], ["--weights", "wrong"], ["--weights", "missing"]):
        monkeypatch.setattr("sys.argv", ["train.py", "--text", "my.txt", *weights])
        with pytest.raises(SystemExit) as end:
            program["main"]()
        said = capsys.readouterr().err
        assert end.value.code == 2 and "Traceback" not in said
        assert command in said or "missing" in said
    monkeypatch.setattr("sys.argv", ["train.py", "--text", "my.txt", "--weights", "others", "--max_steps", "9"])
    program["main"]()
    assert capsys.readouterr().err.count("\n") == 1  # they are of another step


def test_the_weights_of_a_fork_are_those_of_its_parent(run):
    assert folder(fork(run, 8), 8)["model.safetensors"] == folder(run, 8)["model.safetensors"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_fork_with_a_memory_that_cannot_be_made_again_has_no_script_but_its_fork_from_weights_has(is_gone, run):
    parent = run if is_gone else trained(fork(run, 8, max_steps=20))
    child = trained(fork(parent, 20, max_steps=140, silenced="1.2"))
    if is_gone:
        delete(run)
    with pytest.raises(RunProblem, match=child.read_info().name) as problem:
        script(child, 20)
    assert "optimizers" in str(problem.value)
    earlier = child.list_snapshots()[1]  # without a checkpoint
    assert "--weights" in script(fork(child, earlier), earlier)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_nothing_about_a_private_parent_is_in_an_export(kind, run):
    public = texts.choose("words-twice", first=3_000)
    child = trained(fork(run, 8, public, max_steps=20))
    its = trained(fork(child, 20, max_steps=40))
    made = kind.make(its, 40)
    whole = made if isinstance(made, str) else " ".join(data.decode("latin-1") for data in made.values())
    info, private = its.read_info(), run.read_info()
    assert info.has_private_parent and info.id in whole
    for secret in (private.id, private.name, private.text.sha256, private.text.name, child.id, child.read_info().name):
        assert secret not in whole


# ---- its text

BOOK = "Title\n*** START OF THE PROJECT GUTENBERG EBOOK ***\n\n{}\n\n*** END OF THE PROJECT GUTENBERG EBOOK ***\nRest"
PLAIN = "É una verità — così “universale” che l’uomo…\nla cerca ogni giorno. " * 8
FILES = {
    "utf-8 with a mark and Windows line ends": PLAIN.replace("\n", "\r\n").encode("utf-8-sig"),
    "western": PLAIN.encode("cp1252"),
    "utf-16": PLAIN.encode("utf-16"),
    "utf-16 without a mark": PLAIN.encode("utf-16-be"),
    "a damaged end": PLAIN.encode()[:-1] + b"\xe2\x80",
    "a book of Project Gutenberg": BOOK.format(PLAIN).encode(),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_same_file_is_the_same_text(data, tmp_path, capsys):
    (tmp_path / "my.txt").write_bytes(data)
    text = texts.choose(str(tmp_path / "my.txt"))
    program = definitions(script(new_run(text), 0), tmp_path)
    assert program["load_text"]([str(tmp_path / "my.txt")]) == store.load_text(text.sha256)
    assert capsys.readouterr().err == ""


def test_several_files_are_joined_and_an_encoding_that_was_chosen_is_kept(tmp_path):
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file in files:
        file.write_bytes(("Все счастливые семьи похожи. " * 20).encode("cp1251"))
    text = texts.choose(*map(str, files), encoding="windows-1251")
    program = definitions(script(new_run(text), 0), tmp_path)
    assert program["load_text"](list(map(str, files))) == store.load_text(text.sha256)


@pytest.mark.parametrize("how", ["none", "words"])
@pytest.mark.parametrize("source", ["drawing-room", "words-twice"])
def test_a_built_in_text_is_made_again(source, how, tmp_path):
    text = texts.choose(source, how=how, first=5_000)
    assert definitions(script(new_run(text), 0), tmp_path)["load_text"]([]) == store.load_text(text.sha256)


def test_a_pasted_text_is_the_file_that_its_owner_downloads(tmp_path):
    text = texts.prepare(own_text(), texts.PASTED, how="reversed", first=2_000)
    (tmp_path / texts.PASTED).write_text(store.load_text(text.sha256), "utf-8")
    program = definitions(script(new_run(text), 0), tmp_path)
    assert program["load_text"]([str(tmp_path / texts.PASTED)]) == store.load_text(text.sha256)


def test_the_book_is_downloaded_once_and_cleaned(tmp_path, monkeypatch):
    import requests

    asked = []

    def get(address, timeout):
        asked.append(address)
        if len(asked) == 1:
            raise requests.ConnectionError("no network")
        answer = requests.Response()
        answer.status_code, answer._content = 200, BOOK.format(PLAIN).encode()
        return answer

    book = texts.prepare(PLAIN.strip(), "Pride and Prejudice", source="book")
    program = definitions(script(new_run(book), 0), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requests, "get", get)
    for _ in range(2):
        assert program["load_text"]([]) == PLAIN.strip()
    assert tuple(asked) == PUBLISHED_TEXTS["book"].addresses[:2]


def test_another_text_is_trained_on_and_said_to_be_another(run, tmp_path, capsys):
    (tmp_path / "other.txt").write_text(words_twice(3_000))
    program = definitions(script(run, 20), tmp_path)
    assert program["load_text"]([str(tmp_path / "other.txt")]) == words_twice(3_000)
    assert "my.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--text", "missing.txt"], ["--text", "short.txt"], ["--text", "my.txt", "--max_steps", "21"]]
)
def test_a_script_says_in_one_sentence_what_is_wrong(arguments, run, tmp_path, monkeypatch, capsys):
    (tmp_path / "my.txt").write_text(own_text())
    (tmp_path / "short.txt").write_text("too short")
    program = definitions(script(run, 20), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as end:
        program["main"]()
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_script_trains_with_its_output_closed(run, tmp_path, monkeypatch):
    (tmp_path / "my.txt").write_text(own_text())
    program = definitions(script(run, 20), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py", "--text", "my.txt", "--max_steps", "9", "--log", "log.csv"])
    monkeypatch.setattr("sys.stdout", None)
    program["main"]()
    assert (tmp_path / "log.csv").read_text().count("\n") > 9


def test_a_program_ends_quietly_when_the_reader_of_its_output_has_ended(run, tmp_path):
    (tmp_path / "my.txt").write_text(own_text())
    (tmp_path / "train.py").write_text(script(run, 20), "utf-8")
    for name, data in folder(run, 20).items():
        (tmp_path / name).write_bytes(data)
    for arguments in (["train.py", "--text", "my.txt", "--max_steps", "9"], ["generate.py", "--length", "9"]):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-I", *arguments]
        done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")


# ---- the notebook


def test_the_notebook_trains_to_the_losses_of_the_run_and_plots_them(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it
    run = new_run(texts.choose("words-twice"))
    assert making.train(run) == "finished"
    book = nbformat.reads(notebook(run, 20), as_version=4)
    nbformat.validate(book)
    (choices,) = (cell for cell in book.cells if cell.source.startswith("text_files"))
    choices.source += "\nmax_steps = 12"
    book.cells.append(nbformat.v4.new_code_cell("print(train_losses)"))
    nbclient.NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    *_, plot, losses = book.cells
    assert json.loads(losses.outputs[0].text) == [loss for step, loss in lines_of(run).items() if step <= 12]
    assert any("image/png" in output.get("data", {}) for output in plot.outputs)


def test_the_notebook_of_a_fork_begins_with_its_weights(run, tmp_path, monkeypatch):
    child = trained(fork(run, 8, max_steps=24))
    (tmp_path / "my.txt").write_text(own_text())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(folder(child, 8)["model.safetensors"])
    monkeypatch.chdir(tmp_path)
    cells = [
        cell.source for cell in nbformat.reads(notebook(child, 24), as_version=4).cells if cell.cell_type == "code"
    ]
    known = {"__name__": "__main__"}
    for source in cells[:-1]:  # the last one plots
        source = source.replace("text_files = []", 'text_files = ["my.txt"]')
        exec(compile(source, "cell", "exec", __future__.annotations.compiler_flag), known)
    assert known["train_losses"] == [loss for step, loss in lines_of(child).items() if step >= 8]


# ---- the weights


@pytest.mark.parametrize("settings", [{}, {"preset": "article"}, {"position": "rotary", "silenced": "1.1"}])
def test_the_folder_computes_the_logits_of_the_run(settings, tmp_path):
    run = new_run(**settings)
    making.train(run)
    for name, data in folder(run, 20).items():
        (tmp_path / name).write_bytes(data)
    theirs, ours = runpy.run_path(str(tmp_path / "generate.py"))["load_model"](), run.model_at(20)
    idx = torch.randint(ours.vocab_size, (50, 8), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert theirs(idx)[0].equal(ours(idx)[0])


def test_the_folder_writes_the_text_of_the_run_in_a_process_of_its_own(run, tmp_path):
    assert main(["export", "--run", run.id, "--as", "folder", "--out", str(tmp_path / "model"), "--step", "8"]) == 0
    said = python("model/generate.py", "--prompt", "the ", "--length", "60", "--temperature", "0.5", folder=tmp_path)
    idx = torch.tensor([run.tokenizer.encode("the ")])
    assert said == run.tokenizer.decode(generate(run.model_at(8), idx, 60, temperature=0.5)[0]) + "\n"
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["origin"]["step"] == 8
    assert json.loads((tmp_path / "model" / "vocab.json").read_text()) == run.tokenizer.vocab


# ---- every kind


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_export_says_where_it_comes_from_and_does_not_contain_the_text(kind, run):
    made, info = kind.make(run, 20), run.read_info()
    whole = made if isinstance(made, str) else " ".join(data.decode("latin-1") for data in made.values())
    assert all(word in whole for word in (info.id, info.name, info.text.name, info.text.sha256))
    assert own_text()[:40] not in whole and own_text()[1_000:1_040] not in whole
    assert kind.make_file(run, 20)


@pytest.mark.parametrize("name", ['"""\nimport os\n"""', "'\\", "# \u202e\r\nx", "100 % {x} 🙂"])
def test_a_name_is_only_ever_a_name(name):
    run = new_run(texts.prepare(own_text(), name))
    run.update(name=name)
    tree = ast.parse(source := script(run, 0))
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(values["TEXT_NAME"]) == name
    assert "import os\n" + '"' not in source and "\u202e" not in source and "\r" not in source
    assert nbformat.reads(notebook(run, 0), as_version=4)


# ---- the command


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_writes_each_kind(kind, run, tmp_path, capsys):
    path = tmp_path / "out"
    assert main(["export", "--run", run.id, "--as", kind, "--out", str(path)]) == 0
    assert path.is_dir() if KINDS[kind].ending == "" else path.stat().st_size
    assert "step 20" in capsys.readouterr().out


BAD = {
    "an unknown run": ["--run", "0123456789abcdef"],
    "an unknown kind": ["--as", "poem"],
    "a step without weights": ["--step", "7"],
    "a file that exists": ["--out", "there.txt"],
    "a folder": ["--out", "."],
    "a folder that is missing": ["--out", "missing/train.py"],
    "a name that no file can have": ["--out", "x" * 300],
    "a file in a file": ["--out", "there.txt/train.py"],
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", ["script", "folder"])
def test_bad_input_is_one_sentence_and_writes_nothing(arguments, kind, run, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    (tmp_path / "empty" / "there.txt").write_text("mine")
    assert main(["export", "--run", run.id, "--as", kind, "--out", "new", *arguments]) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and output.out == ""
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["there.txt"]
    assert (tmp_path / "empty" / "there.txt").read_text() == "mine"


def test_a_run_without_weights_has_nothing_to_take_home(capsys, tmp_path):
    assert main(["export", "--run", new_run().id, "--as", "script", "--out", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("has_memory", [False, True])
def test_a_fork_that_names_itself_as_its_parent_has_an_end(run, has_memory):
    child = fork(run, run.newest_snapshot(), max_steps=30)
    child.update(parent=replace(child.read_info().parent, id=child.id, has_memory=has_memory))
    if has_memory:
        with pytest.raises(RunProblem):
            script(child, child.newest_snapshot())
    else:
        assert "--weights" in script(child, child.newest_snapshot())
