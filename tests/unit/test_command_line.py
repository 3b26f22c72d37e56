"""What is typed, what is printed, and the exit code."""

import dataclasses
import hashlib
import json
import re
import signal

import pytest
import torch

import microllm.train
from microllm import ModelConfig, TrainConfig, generate
from microllm.__main__ import main
from microllm.config import knobs
from microllm.data import download, store
from microllm.data.builtin import drawing_room, words_twice
from microllm.data.edits import Edit
from microllm.data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.inference import stream
from microllm.runs import gallery
from microllm.runs.catalog import all_runs
from microllm.sample import Sampling

SMALL = ["--n_embd=16", "--n_layer=1", "--n_head=2", "--block_size=8", "--batch_size=4"]


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch, tmp_path):
    """The command line sets a variable and three signal handlers, which the next test must not find."""
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(tmp_path / "runs"))
    handlers = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for which, handler in handlers.items():
        signal.signal(which, handler)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "made.txt"
    path.write_text(words_twice(2_000))
    return path


@pytest.fixture
def train(text_file):
    """Train a tiny model on a tiny file, with more flags; the exit code."""
    return lambda *flags: command("train", f"--text={text_file}", *SMALL, "--max_steps=12", *flags)


@pytest.fixture
def run(train, capsys):
    assert train() == 0
    capsys.readouterr()
    return all_runs()[0]


def command(*arguments: str) -> int:
    """The exit code of `python -m microllm` with these arguments."""
    try:
        return main(list(arguments))
    except SystemExit as end:
        return end.code


def sentence(capsys) -> str:
    """The one line that was printed to explain a refusal."""
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("microllm: ")
    return line


# train


def test_train_writes_a_run_where_it_is_told(train, tmp_path, capsys):
    assert train("--runs_dir", str(tmp_path / "mine")) == 0
    (folder,) = (tmp_path / "mine").iterdir()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(13))
    out, err = capsys.readouterr()
    assert folder.name in out and "finished" in out and err == ""
    assert re.search(r"validation loss on all held-out text: \d\.\d{3} nats", out)


def key_in_the_link(printed: str) -> str | None:
    """The key in the link that a training prints, of the one run that there is."""
    (run,) = all_runs()
    (link,) = re.findall(rf"/train\?run={run.id}(&key=\S+)?$", printed, re.MULTILINE)
    return link.removeprefix("&key=") or None


def test_a_new_run_prints_the_link_of_its_owner_before_it_trains(train, capsys):
    train()
    printed = capsys.readouterr().out
    assert printed.index("/train?run=") < printed.index("step ")
    key = key_in_the_link(printed)
    (run,) = all_runs()
    assert run.read_info().is_owned_with(key)
    assert key not in (run.folder / "run.json").read_text()

    assert command("train", "--resume", run.id, "--max_steps=20") == 0  # of the key no more than a hash is known
    assert key_in_the_link(capsys.readouterr().out) is None


def test_who_has_the_folder_gets_a_new_key_and_the_old_one_is_void(train, capsys):
    train()
    old = key_in_the_link(capsys.readouterr().out)
    (run,) = all_runs()
    before = run.read_info()
    assert command("runs", "--new_key", run.id) == 0
    printed = capsys.readouterr().out
    new = key_in_the_link(printed)
    assert run.id in printed
    assert run.read_info().is_owned_with(new)
    assert not run.read_info().is_owned_with(old)
    assert dataclasses.replace(run.read_info(), owner=before.owner) == before
    assert command("runs", "--new_key", "0" * 16) == 2
    assert capsys.readouterr().err.startswith(f"microllm: There is no run '{'0' * 16}' here")


def test_without_a_folder_runs_go_home(train, tmp_path, monkeypatch):
    monkeypatch.delenv("MICROLLM_RUNS_DIR")
    assert train() == 0
    assert len(list((tmp_path / "home" / "runs").iterdir())) == 1


def test_every_setting_is_a_flag(text_file):
    model = ModelConfig(
        block_size=9,
        n_embd=24,
        n_head=3,
        n_layer=2,
        dropout=0.2,
        position="learned",
        lookback=2,
        causal=False,
        activation="relu",
        initialization="torch",
        silenced="1.2 2.3",
    )
    settings = TrainConfig(
        batch_size=3,
        optimizer="adamw",
        precision="float32",
        learning_rate=0.002,
        max_steps=2,
        schedule="constant",
        warmup_steps=1,
        eval_interval=2,
        stop_at_loss=0.25,
        seed=7,
    )
    asked = dataclasses.asdict(model) | dataclasses.asdict(settings)
    assert all(asked[name] != knob.default for name, knob in knobs().items())  # no knob is forgotten here
    flags = [f"--{name}={value}" for name, value in asked.items()]
    assert command("train", f"--text={text_file}", *flags) == 0
    assert (all_runs()[0].read_info().model, all_runs()[0].read_info().train) == (model, settings)


def test_flags_stand_above_the_preset(train):
    assert train("--preset=article", "--max_steps=1") == 0
    info = all_runs()[0].read_info()
    assert (info.preset, info.train.schedule, info.model.initialization) == ("article", "constant", "torch")
    assert (info.train.max_steps, info.model.n_embd) == (1, 16)


def test_the_number_of_threads_can_be_chosen(train):
    assert train("--threads=2") == 0
    assert all_runs()[0].read_info().threads == 2


def test_a_built_in_text_can_be_cut_and_turned(capsys):
    assert command("train", "--text=drawing-room", "--first=2000", "--transform=reversed", *SMALL, "--max_steps=2") == 0
    (run,) = all_runs()
    assert run.read_info().text.name == "Drawing-room sentences, first 2,000 characters, reversed"
    assert store.load_text(run.read_info().text.sha256) == drawing_room(2_000)[::-1]


def test_the_same_command_gives_the_same_run(train):
    train("--dropout=0.2")
    train("--dropout=0.2")
    train("--dropout=0.2", "--seed=5")
    third, second, first = (run.history.read().rows["train_loss"] for run in all_runs())
    assert first == second != third


def test_a_text_in_another_encoding_is_read_with_a_notice(tmp_path, capsys):
    path = tmp_path / "lettres.txt"
    path.write_bytes("une soirée à la fenêtre, ".encode("cp1252") * 40)
    assert command("train", f"--text={path}", *SMALL, "--max_steps=1") == 0
    assert "not UTF-8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--causal=perhaps"], "'perhaps' is neither true nor false"),
        (["--n_head=3"], "3 heads cannot share 16 numbers evenly"),
        (["--n_head=two"], "invalid int value: 'two'"),
        (["--learning_rate=nan"], "learning_rate is nan"),
        (["--max_steps=0"], "max_steps is 0"),
        (["--schedule=cosine"], "schedule is 'cosine'"),
        (["--colour=red"], "unrecognized arguments: --colour=red"),
        (["--preset=gigantic"], "invalid choice: 'gigantic'"),
        (["--transform=sideways"], "invalid choice: 'sideways'"),
        (["--first=0"], "at least 1"),
        (["--first=15"], "has 15 characters: too short"),
        (["--block_size=256"], "at most 199"),  # of 2,000 characters, 200 are held out
    ],
)
def test_a_bad_flag_is_answered_with_one_sentence_and_no_run(flags, says, train, capsys):
    assert train(*flags) == 2
    assert says in sentence(capsys)
    assert all_runs() == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no file"),
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "looks binary (a PNG picture)"),
        (bytes(range(256)) * 20, "looks binary"),
        (b"Yes.", "too short"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 6_001))).encode(), "6,001 different characters"),
    ],
)
def test_a_bad_text_is_answered_with_one_sentence_and_no_run(content, says, tmp_path, capsys):
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    assert command("train", f"--text={path}", *SMALL) == 2
    assert says in sentence(capsys)
    assert all_runs() == []


def test_a_wrong_setting_is_refused_before_any_text_is_fetched(monkeypatch, capsys):
    monkeypatch.setattr(download, "fetch", lambda *_: pytest.fail("fetched"))
    assert command("train", "--n_head=3") == 2
    assert "n_head" in sentence(capsys)


def test_a_published_text_is_named_by_its_key_and_one_that_cannot_be_had_is_refused(monkeypatch, tmp_path, capsys):
    content = "emma\nolivia\nava\n" * 100
    text = dataclasses.replace(
        PUBLISHED_TEXTS["names"], addresses=(), sha256=hashlib.sha256(content.encode()).hexdigest()
    )
    monkeypatch.setitem(PUBLISHED_TEXTS, "names", text)
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path))
    assert command("train", "--text=names", *SMALL) == 2
    assert text.name in sentence(capsys)
    (tmp_path / text.file).write_text(content)
    assert command("train", "--text=names", "--transform=reversed", "--max_steps=2", *SMALL) == 0
    (run,) = all_runs()
    assert store.load_text(run.read_info().text.sha256) == content[::-1]


def test_help_lists_every_text_that_everybody_has(capsys):
    assert command("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for key, text in PUBLIC_TEXTS.items():
        assert f"{key} ({text.name})" in shown


@pytest.mark.parametrize("arguments", [[], ["teach"], ["generate"]])
def test_a_command_that_is_none_is_answered_with_one_sentence(arguments, capsys):
    assert command(*arguments) == 2
    sentence(capsys)


# generate


def test_generate_prints_the_prompt_and_as_many_characters_as_asked(run, capsys):
    assert command("generate", "--run", run.id, "--prompt", "ab ", "--length", "50") == 0
    out = capsys.readouterr().out
    assert out.startswith("ab ")
    assert len(out) == len("ab ") + 50 + 1  # and the end of the line


def test_the_same_seed_writes_the_same_text(run, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        command("generate", "--run", run.id, "--prompt", "ab", "--seed", seed)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_the_command_line_writes_what_a_script_would(run, capsys):
    command(
        "generate", f"--run={run.id}", "--prompt=ab", "--length=30", "--temperature=0.7", "--top_k=9", "--top_p=0.9"
    )
    idx = torch.tensor([run.tokenizer.encode("ab")])
    ids = generate(run.model_at(12), idx, 30, temperature=0.7, top_k=9, top_p=0.9)
    assert capsys.readouterr().out == run.tokenizer.decode(ids[0]) + "\n"


def test_an_earlier_moment_can_be_asked(run, capsys):
    command("generate", f"--run={run.id}", "--prompt=ab", "--step=8", "--temperature=1")
    idx = torch.tensor([run.tokenizer.encode("ab")])
    ids = [run.tokenizer.decode(c) for c in stream(run.model_at(8), idx, 400, Sampling())]
    assert capsys.readouterr().out == "ab" + "".join(ids) + "\n"


def test_several_samples_are_written_at_once_one_below_the_other(run, capsys):
    command("generate", f"--run={run.id}", "--prompt=ab", "--length=30", "--samples=3")
    idx = torch.tensor([run.tokenizer.encode("ab")] * 3)
    written = [
        run.tokenizer.decode(ids) for ids in run.model_at(run.list_snapshots()[-1]).generate(idx, 30, temperature=0.8)
    ]
    assert capsys.readouterr().out == "\n\n".join(written) + "\n"
    assert len(set(written)) == 3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--samples=0"], "samples is 0"),
        (["--prompt=É"], "does not know É"),
        (["--prompt="], "prompt"),
        (["--prompt=a", "--step=7"], "no weights of step 7, only of 0, 8,"),
        (["--prompt=a", "--top_k=few"], "invalid int value: 'few'"),
    ],
)
def test_what_cannot_be_written_is_answered_with_one_sentence(flags, says, run, capsys):
    assert command("generate", "--run", run.id, *flags) == 2
    assert says in sentence(capsys)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--temperature=-1", "temperature is -1.0"),
        ("--temperature=nan", "temperature is nan"),
        ("--top_k=-1", "top_k is -1"),
        ("--top_p=0", "top_p is 0.0"),
    ],
)
def test_a_bad_sampling_is_answered_with_one_sentence(flags, says, run, capsys):
    assert command("generate", "--run", run.id, "--prompt=a", flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"microllm: {says}")


def test_a_bad_sampling_prints_nothing_but_the_sentence(run, capsys):
    assert command("generate", "--run", run.id, "--prompt=a", "--temperature=-1") == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("run_id", ["0" * 16, "../../etc", "nonsense"])
def test_an_unknown_run_is_answered_with_one_sentence(run_id, capsys):
    assert command("generate", "--run", run_id) == 2
    assert "There is no run" in sentence(capsys)


def test_a_run_without_weights_and_one_with_broken_ones_say_so(run, capsys):
    (run.folder / "snapshots" / "step-12.safetensors").write_bytes(b"broken")
    assert command("generate", "--run", run.id, "--prompt=a") == 2
    assert "step-12.safetensors" in capsys.readouterr().err
    for path in (run.folder / "snapshots").iterdir():
        path.unlink()
    assert command("generate", "--run", run.id, "--prompt=a") == 2
    assert "has no weights yet" in sentence(capsys)


# runs


def test_a_fork_goes_on_differently_and_names_its_parent(run, capsys):
    assert command("train", f"--fork={run.id}", "--step=8", "--learning_rate=0.02", "--max_steps=16") == 0
    child = next(one for one in all_runs() if one.id != run.id)
    assert (child.read_info().parent.id, child.read_info().parent.step) == (run.id, 8)
    assert (child.read_info().train.learning_rate, child.read_info().train.max_steps) == (0.02, 16)
    assert child.read_info().state == "finished"
    assert f"forked from {run.read_info().name} at step 8" in capsys.readouterr().out


def test_a_fork_may_learn_another_text_and_names_what_it_leaves_out(run, tmp_path, capsys):
    other = tmp_path / "other.txt"
    other.write_text("Ünmet 7. " + words_twice(2_000))
    assert command("train", f"--fork={run.id}", f"--text={other}") == 0
    child = next(one for one in all_runs() if one.id != run.id)
    assert child.read_info().parent.step == 12
    assert len(child.history.read().old_val_losses) == len(child.history.val_losses) > 1
    out = capsys.readouterr().out
    assert f"Left out, because {run.read_info().name} does not know them: . 7 Ü" in out
    assert "2,006 of 2,009" in out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            ["--n_embd=32"],
            "n_embd cannot change in a fork: only learning_rate, stop_at_loss, max_steps, eval_interval can.",
        ),
        (["--step=5"], "no weights of step 5"),
        (["--step=12"], "max_steps is 12"),
        (["--first=100"], "name it with --text"),
        (["--text=nowhere.txt"], "nowhere.txt"),
        (["--resume=0123456789abcdef"], "choose one"),
        (["--threads=2"], "--threads cannot be given with --fork"),
        (["--preset=long"], "--preset cannot be given with --fork"),
    ],
)
def test_a_fork_that_cannot_be_is_answered_with_one_sentence(flags, says, run, capsys):
    assert command("train", f"--fork={run.id}", *flags) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert len(all_runs()) == 1


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (["rename", "kxbzmxvzjx", "xjzvxmzbxk"], Edit("rename", ("kxbzmxvzjx", "xjzvxmzbxk"))),
        (["leave-out", "3"], Edit("leave-out", ("3",))),
        (["plant", "no one says it", "2"], Edit("plant", ("no one says it",), 2)),
        ([], None),
    ],
)
def test_a_twin_has_one_difference(edit, expected, run, text_file, capsys):
    assert command("train", "--twin", run.id, *(["--edit", *edit] if edit else [])) == 0
    info, its = all_runs()[0].read_info(), run.read_info()
    assert (info.twin.id, info.edit, info.state) == (run.id, expected, "finished")
    assert info.model == its.model and (info.train == its.train) == bool(edit)
    assert info.owner and info.name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--edit", "rename", "the"], "rename the"),
        (["--edit", "plant", "a sentence"], "plant a sentence"),
        (["--edit", "plant", "a sentence", "often"], "often"),
        (["--edit", "plant"], "plant"),
        (["--edit", "repeat", "it", "9" * 5_000], "repeat it"),
        (["--edit", "forget", "it"], "forget it"),
        (["--edit", "rename", "zzzz", "aaaa"], "zzzz"),
        (["--edit", "leave-out", "99"], "99"),
        (["--seed=4"], "seed cannot change in a twin"),
        (["--preset=long"], "--preset cannot be given with --twin"),
        (["--fork=0123456789abcdef"], "choose one"),
        (["--twin=0123456789abcdef"], "0123456789abcdef"),
    ],
)
def test_a_twin_that_cannot_be_is_answered_with_one_sentence(flags, says, run, capsys):
    assert command("train", f"--twin={run.id}", *flags) == 2
    assert says in sentence(capsys)
    assert len(all_runs()) == 1


@pytest.mark.parametrize("folder", ["", "/dev/null", __file__])
def test_a_folder_of_runs_that_is_none_is_named(folder, capsys):
    assert command("runs", "--runs_dir", folder) == 2
    assert repr(folder) in sentence(capsys)


def test_an_empty_id_is_no_run(capsys):
    assert command("runs", "--new_key", "") == 2
    assert sentence(capsys)


def test_an_edit_without_a_run_is_answered_with_one_sentence(train, capsys):
    assert train("--edit", "leave-out", "3") == 2
    assert "--twin" in sentence(capsys)
    assert all_runs() == []


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--preset=long"], "--preset cannot be given with --resume"),
        (["--text=book", "--first=100"], "--text and --first cannot be given with --resume"),
        (["--step=8"], "--step cannot be given with --resume"),
        (["--max_steps=20", "--threads=0"], "threads is 0"),
        (["--max_steps=12"], "max_steps is 12: "),
        ([], "is finished"),
    ],
)
def test_a_resume_that_cannot_be_is_answered_with_one_sentence_and_changes_nothing(flags, says, run, capsys):
    before = (run.folder / "run.json").read_bytes()
    assert command("train", f"--resume={run.id}", *flags) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert (run.folder / "run.json").read_bytes() == before
    assert not (run.folder / "events.jsonl").exists()


@pytest.mark.timeout(30)
def test_a_run_that_is_trained_elsewhere_or_has_lost_its_text_is_not_resumed(run, capsys):
    for flags in ([], ["--max_steps=20"], ["--threads=2"]):
        run.update(state="stopped")
        before = (run.folder / "run.json").read_bytes()
        with run.writing():
            assert command("train", f"--resume={run.id}", *flags) == 2
        assert "already being trained" in capsys.readouterr().err
        assert (run.folder / "run.json").read_bytes() == before
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    assert command("train", f"--resume={run.id}", "--max_steps=20") == 2
    assert "is not stored here" in capsys.readouterr().err
    assert (run.folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("flag", ["--resume=", "--fork=", "--text="])
def test_an_empty_word_is_no_wish_for_the_usual(flag, capsys):
    assert command("train", flag) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not all_runs()


def test_a_run_that_stopped_at_a_loss_goes_on_to_the_steps_that_were_asked_for(train, capsys):
    assert train("--stop_at_loss=9") == 0
    (run,) = all_runs()
    assert run.history.read().last["step"] < 12
    assert command("train", f"--resume={run.id}", "--max_steps=12") == 0
    assert run.history.read().last["step"] == 12


def test_a_step_without_a_run_to_fork_is_answered_with_one_sentence(train, capsys):
    assert train("--step=8") == 2
    assert "name the run with --fork" in capsys.readouterr().err
    assert all_runs() == []


def test_runs_lists_every_run_with_its_state_and_loss(train, capsys, tmp_path):
    train()
    train("--seed=2")
    ids = [run.id for run in all_runs()]
    capsys.readouterr()
    assert command("runs") == 0
    *lines, where = capsys.readouterr().out.splitlines()
    lines, shipped = lines[:2], lines[2:]
    assert [line.split()[0] for line in lines] == ids
    assert [line.split()[0] for line in shipped] == list(gallery.IDS)
    assert all("finished" in line and "12 steps, best validation loss" in line and "made.txt" in line for line in lines)
    assert where == f"in {tmp_path / 'runs'}"


def test_a_run_that_came_with_microllm_writes_and_forks_but_never_changes(capsys, tmp_path):
    assert command("generate", "--run", "pride-quick", "--length", "12") == 0
    assert capsys.readouterr().out.startswith("It is a truth")
    assert not (tmp_path / "runs").exists()
    for arguments in (
        ("runs", "--new_key", "pride-quick"),
        ("train", "--resume", "pride-quick", "--max_steps", "9000"),
    ):
        assert command(*arguments) == 2
        assert "never changes" in capsys.readouterr().err
    assert command("train", "--fork", "words-twice", "--step", "8", "--max_steps", "10") == 0
    (child,) = all_runs()
    assert (child.read_info().parent.id, child.read_info().state) == ("words-twice", "finished")


def test_runs_of_another_folder_can_be_listed(run, tmp_path, capsys):
    assert command("runs", "--runs_dir", str(tmp_path / "other")) == 0
    *shipped, where = capsys.readouterr().out.splitlines()
    assert len(shipped) == len(gallery.IDS)
    assert where == f"in {tmp_path / 'other'}"


# Never a traceback


def test_a_run_that_diverges_says_so(train, monkeypatch, capsys):
    monkeypatch.setattr(microllm.train, "learning_rate_at", lambda step, config: 1e30 if step == 3 else 0.5)
    assert train() == 1
    assert "failed. Training diverged" in capsys.readouterr().out


def test_weights_that_are_no_numbers_are_answered_with_one_sentence(run, capsys):
    run.save_snapshot(13, {name: tensor * torch.nan for name, tensor in run.model_at(12).state_dict().items()})
    assert command("generate", "--run", run.id, "--prompt=a") == 2
    sentence(capsys)


def test_a_folder_that_cannot_be_written_is_answered_with_one_sentence(train, text_file, capsys):
    assert train("--runs_dir", str(text_file / "runs")) == 2
    sentence(capsys)


def test_a_bad_number_of_threads_is_answered_with_one_sentence(train, capsys):
    assert train("--threads=-1") == 2
    sentence(capsys)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_damaged_vocabulary_is_named(content, run, capsys):
    (run.folder / "vocab.json").unlink()
    if content is not None:
        (run.folder / "vocab.json").write_text(content)
    assert command("generate", "--run", run.id, "--prompt=a") == 2
    assert "vocab.json" in sentence(capsys)
