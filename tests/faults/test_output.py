"""The command line where its output cannot be written, read or shown."""

import argparse
import contextlib
import errno
import fcntl
import io
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import microllm.environment
from microllm.__main__ import main
from microllm.data.builtin import words_twice
from microllm.data.texts import load_corpus
from microllm.environment import texts_dir
from microllm.exports.command import export
from microllm.jobs.samples import prompt_for
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run

TINY = ("--block_size=8", "--n_embd=16", "--n_head=2", "--n_layer=1", "--batch_size=4")
NEVER_ENDS = "--max_steps=1000000"
GREEK = "άνδρα μοι έννεπε, μούσα, πολύτροπον. " * 50
ROOT = Path(__file__).parents[2]

# What a program started by a shell finds behind its output


def full_disk(number: int) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def nothing(number: int) -> None:
    os.close(number)


def reader_that_left(number: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, number)


def run_here(arguments: tuple[str, ...]) -> None:
    """In a child: be the program that Python has just started, up to what Python does at its end."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        try:
            os.fstat(number)
            stream = io.TextIOWrapper(io.FileIO(number, "r" if number == 0 else "w"), encoding="utf-8")
        except OSError:
            stream = None
        setattr(sys, name, stream)
    code = 70
    try:
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = end.code
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
    except OSError:
        code = 120  # as Python does
    finally:
        os._exit(code)


def exit_code(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.fixture
def program(tmp_path):
    """Run the program with other outputs; its exit code and what came out of those that were left alone."""

    def program(*arguments: str, **outputs: Callable[[int], None]) -> tuple[int, str, str]:
        said = [tmp_path / "stdout", tmp_path / "stderr"]
        process = os.fork()
        if process == 0:
            for number, path in enumerate(said, start=1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            for name, replace in outputs.items():
                replace({"out": 1, "err": 2}[name])
            run_here(arguments)
        return exit_code(process), *[path.read_text() for path in said]

    return program


class Terminal:
    """The program on a terminal of its own, with so many columns (0: unknown)."""

    def __init__(self, *arguments: str, columns: int = 80, hang_up: int = signal.SIG_DFL) -> None:
        self.process, self.master = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGHUP, hang_up)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell that runs the tests may ignore it
            time.sleep(0.1)  # until it has its size
            run_here(arguments)
        self.resize(columns)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self, until: str = "(?!)") -> str:
        """What is written until it matches a pattern, or the program ends."""
        written = b""
        with contextlib.suppress(OSError):  # EIO: it has ended
            while not re.search(until, written.decode("utf-8", "ignore"), re.DOTALL):
                written += os.read(self.master, 4096)
        return written.decode().replace("\r\n", "\n")

    def close(self) -> None:
        os.close(self.master)

    def exit_code(self) -> int:
        code, self.process = exit_code(self.process), None
        return code


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "made.txt"
    path.write_text(words_twice(2_000))
    return path


@pytest.fixture
def training(text_file):
    """The arguments of a small training."""
    return ("train", f"--text={text_file}", *TINY)


@pytest.fixture
def run(training, capsys):
    assert main([*training, "--max_steps=2"]) == 0
    capsys.readouterr()
    return the_run()


@pytest.fixture
def terminal():
    """Run the program on a terminal."""
    opened = []

    def terminal(*arguments: str, **settings) -> Terminal:
        opened.append(Terminal(*arguments, **settings))
        return opened[-1]

    yield terminal
    for one in opened:
        if one.process:  # the test has failed
            os.kill(one.process, signal.SIGKILL)
            one.exit_code()


@pytest.fixture(autouse=True)
def signals_as_they_were():
    handlers = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for which, handler in handlers.items():
        signal.signal(which, handler)


def the_run() -> Run:
    (run,) = all_runs()
    return run


# ---- 56. trouble with the output is no bad input, and ends no training


@pytest.mark.parametrize(
    ("outputs", "sentences"),
    [
        ({"out": reader_that_left}, 0),
        ({"out": full_disk}, 1),  # one, not one for each line
        ({"out": nothing}, 1),
        ({"out": reader_that_left, "err": reader_that_left}, 0),
        ({"out": full_disk, "err": full_disk}, 0),
        ({"out": nothing, "err": nothing}, 0),
    ],
)
def test_training_goes_on_to_its_end_when_nobody_can_read_its_lines(outputs, sentences, program, training):
    code, _, complaint = program(*training, "--max_steps=30", **outputs)
    assert (code, complaint.count("\n")) == (0, sentences)
    assert (the_run().read_info().state, the_run().list_checkpoints()[-1]) == ("finished", 30)


def test_training_goes_on_when_its_reader_leaves_after_two_lines(training):
    command = [sys.executable, "-m", "microllm", *training, "--max_steps=200"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert [process.stdout.readline() for _ in range(2)]
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=100)) == (b"", 0)
    assert (the_run().read_info().state, the_run().list_checkpoints()[-1]) == ("finished", 200)


def test_what_python_writes_at_its_end_may_be_lost_too():
    with open("/dev/full", "wb") as full:
        process = subprocess.run([sys.executable, "-m", "microllm", "--help"], cwd=ROOT, stdout=full, stderr=full)
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", [["runs"], ["generate", "--prompt=a"], ["train", "--help"], ["--help"]])
def test_a_reader_that_leaves_early_is_no_failure(arguments, program, run):
    more = [f"--run={run.id}", "--length=10000000"] if arguments[0] == "generate" else []
    assert program(*arguments, *more, out=reader_that_left) == (0, "", "")


@pytest.mark.parametrize("output", [full_disk, nothing])
@pytest.mark.parametrize("arguments", [["runs"], ["generate"], ["generate", "--samples=2"], ["train", "--help"]])
def test_what_was_asked_for_and_could_not_be_written_is_a_failure_in_one_sentence(arguments, output, program, run):
    more = [f"--run={run.id}", "--length=5"] if arguments[0] == "generate" else []
    code, _, complaint = program(*arguments, *more, out=output)
    assert (code, complaint.count("\n")) == (1, 1)
    assert os.strerror(errno.EBADF if output is nothing else errno.ENOSPC) in complaint
    assert program(*arguments, *more, out=output, err=nothing) == (1, "", "")


@pytest.mark.parametrize("errors", [full_disk, nothing, reader_that_left])
@pytest.mark.parametrize("arguments", [["runs", "--colour"], ["generate", "--run=nonsense"]])
def test_a_sentence_that_nobody_can_read_leaves_the_exit_code_as_it_is(arguments, errors, program):
    assert program(*arguments, err=errors) == (2, "", "")


def test_a_closed_terminal_ends_training_after_its_step_with_a_checkpoint(training, terminal):
    screen = terminal(*training, NEVER_ENDS)
    screen.read("validation loss")
    screen.close()  # the system sends SIGHUP
    with contextlib.suppress(ProcessLookupError):
        os.kill(screen.process, signal.SIGHUP)  # and so does the shell
    assert screen.exit_code() == 0
    assert the_run().read_info().state == "stopped"
    assert the_run().list_checkpoints()[-1] == the_run().history.read().last["step"]


def test_training_that_was_told_to_ignore_that_outlives_its_terminal(training, terminal):
    screen = terminal(*training, "--max_steps=200", hang_up=signal.SIG_IGN)
    screen.read("/train")
    screen.close()
    assert screen.exit_code() == 0
    assert (the_run().read_info().state, the_run().list_checkpoints()[-1]) == ("finished", 200)


def test_ctrl_c_while_it_writes_ends_it_without_a_traceback(run, terminal):
    screen = terminal("generate", f"--run={run.id}", "--prompt=the ", "--length=10000000")
    screen.read("the ..")
    os.write(screen.master, b"\x03")
    assert "Traceback" not in screen.read()
    assert screen.exit_code() == 130


# ---- 57. what the output's encoding lacks


@pytest.fixture
def output_in(monkeypatch):
    """Give the output an encoding; the bytes that are written."""

    def output_in(encoding: str) -> io.BytesIO:
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="strict"))
        return written

    return output_in


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("name", ["Οδύσσεια.txt", "😀.txt", os.fsdecode(b"caf\xe9.txt")])
def test_a_name_that_the_output_cannot_spell_is_no_reason_not_to_train(name, encoding, text_file, output_in):
    path = text_file.rename(text_file.with_name(name))
    written = output_in(encoding)
    folder = text_file.with_name(os.fsdecode(b"runs-\xff"))
    assert main(["train", f"--text={path}", *TINY, "--max_steps=2", f"--runs_dir={folder}"]) == 0
    (key,) = re.findall(rb"&key=(\S+)", written.getvalue())
    assert the_run().read_info().state == "finished"
    assert the_run().read_info().is_owned_with(key.decode())
    assert main(["runs"]) == 0


def test_a_text_in_letters_that_the_output_lacks_is_written_all_the_same(tmp_path, output_in):
    path = tmp_path / "greek.txt"
    path.write_text(GREEK)
    assert main(["train", f"--text={path}", *TINY, "--max_steps=2"]) == 0
    texts = []
    for encoding in ("utf-8", "ascii"):
        written = output_in(encoding)
        assert main(["generate", f"--run={the_run().id}", "--length=30"]) == 0
        texts.append(written.getvalue())
    assert texts[1].decode("unicode_escape") == texts[0].decode()


# ---- 58. one row, whatever the width of the terminal


@pytest.mark.parametrize("columns", [80, 20, 0])
def test_the_progress_of_a_training_takes_one_row(columns, training, terminal):
    screen = terminal(*training, "--max_steps=300", columns=columns)
    written = screen.read()
    assert screen.exit_code() == 0
    (row,) = [line for line in written.split("\n") if "\r" in line]
    assert all(len(shown) < (columns or 80) for shown in row.split("\r"))
    assert row.split("\r")[-1].startswith("step 300")


# ---- 59. a loss beside its own step


def validation_lines(printed: str) -> list[tuple[int, str, str]]:
    """(step, training loss, validation loss) as each line of the log has them."""
    found = re.findall(r"^step +([\d,]+) .* loss (\S+) .* loss (\S+)", printed, re.MULTILINE)
    return [(int(step.replace(",", "")), *losses) for step, *losses in found]


def test_the_log_has_one_line_for_each_validation_with_what_was_measured_at_that_step(training, capsys):
    assert main([*training, "--max_steps=150", "--eval_interval=5"]) == 0
    measured = [json.loads(line) for line in (the_run().folder / "metrics.jsonl").read_text().splitlines()]
    expected = [
        (row["step"], f"{row['train_loss']:.3f}", f"{row['val_loss']:.3f}") for row in measured if "val_loss" in row
    ]
    assert validation_lines(capsys.readouterr().out) == expected
    assert len(expected) > 30


def test_a_resumed_run_logs_the_validations_that_are_new(training, capsys):
    assert main([*training, "--max_steps=20"]) == 0
    capsys.readouterr()
    assert main(["train", f"--resume={the_run().id}", "--max_steps=80"]) == 0
    steps = [step for step, *_ in validation_lines(capsys.readouterr().out)]
    assert steps == [step for step, _ in the_run().history.read().val_losses if step >= 20]


def test_on_a_terminal_the_last_validation_has_its_own_step(training, terminal):
    screen = terminal(*training, "--max_steps=300", columns=200)
    shown = re.findall(r"validation loss (\S+) \(step ([\d,]+)\)", screen.read())
    assert screen.exit_code() == 0
    measured = {f"{step:,}": f"{loss:.3f}" for step, loss in the_run().history.read().val_losses}
    assert shown
    assert all(measured[step] == loss for loss, step in shown)


# ---- 52. names of strangers

STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def test_nothing_that_strangers_have_named_steers_the_terminal(run, tmp_path, capsys):
    hostile = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202egnp\u2066\u200b\u2028\r\n\x7fé"
    run.update(name=hostile)
    path = tmp_path / "\x1b[2Jtext\u202e.txt"
    path.write_text(words_twice(2_000))
    for arguments in (
        ["runs"],
        ["train", f"--resume={run.id}"],
        ["train", f"--resume={run.id}", "--max_steps=4"],
        ["train", f"--fork={run.id}", "--max_steps=9"],
        ["generate", f"--run={run.id}", "--step=1000"],
        ["generate", f"--run={run.id}", f"--prompt={hostile}"],
        ["generate", f"--run={hostile}"],
        ["train", f"--text={path}", *TINY, "--max_steps=2"],
        ["train", f"--text={hostile}"],
        ["runs", f"--{hostile}"],
        [hostile],
        ["runs", f"--runs_dir={tmp_path}/{hostile}"],
    ):
        main(arguments)
        said = "".join(capsys.readouterr())
        assert said and not STEERS.search(said), arguments
    os.environ["MICROLLM_RUNS_DIR"] = str(run.folder.parent)
    main(["runs"])
    assert "é" in capsys.readouterr().out  # what is harmless stays


def test_a_written_text_is_exact_in_a_file_and_harmless_on_a_terminal(program, tmp_path, terminal):
    path = tmp_path / "log.txt"
    path.write_text("\x1b[31mred\x1b[0m\tعلى\u200cهم\u202e\n" * 100)
    assert program("train", f"--text={path}", *TINY, "--max_steps=2")[0] == 0
    prompt = "\x1b[31mred\x1b\t\u200c\u202e\n"
    arguments = ("generate", f"--run={the_run().id}", f"--prompt={prompt}", "--length=200")
    code, exact, _ = program(*arguments)
    assert (code, exact.startswith(prompt)) == (0, True)
    screen = terminal(*arguments)
    watched = screen.read()
    assert screen.exit_code() == 0
    assert watched == exact.replace("\x1b", "␛").replace("\u202e", "‹202E›")


# ---- 54. reading needs no writing


@pytest.fixture
def read_only_home(run, monkeypatch, tmp_path):
    """A home with a run in which nothing can be made: root may write anywhere, so here every attempt is refused."""
    real, home = os.open, str(tmp_path / "home")

    def refuse(path, flags, *more, **named):
        if str(path).startswith(home) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr("tempfile._os.open", refuse)
    microllm.environment.home.cache_clear()
    return tmp_path / "home"


def test_a_home_that_cannot_be_written_is_read(read_only_home, run, capsys):
    before = sorted(read_only_home.rglob("*"))
    assert main(["runs"]) == 0
    assert run.id in capsys.readouterr().out
    assert main(["generate", f"--run={run.id}", "--length=10"]) == 0
    assert len(capsys.readouterr().out) > 10
    assert sorted(read_only_home.rglob("*")) == before


def test_what_must_be_written_into_such_a_home_is_refused_by_its_name(read_only_home, run, capsys):
    for arguments in (["train", f"--resume={run.id}", "--max_steps=20"], ["runs", f"--new_key={run.id}"]):
        assert main(arguments) == 2
        assert str(read_only_home) in capsys.readouterr().err


def test_a_new_run_that_cannot_be_kept_there_is_kept_elsewhere_and_both_places_are_named(training, monkeypatch, capsys):
    monkeypatch.setenv("MICROLLM_HOME", "/dev/null/home")
    microllm.environment.home.cache_clear()
    assert main([*training, "--max_steps=2"]) == 0
    printed = capsys.readouterr().out
    assert "/dev/null/home" in printed and str(the_run().folder.parents[1]) in printed
    shutil.rmtree(the_run().folder.parents[1])


@pytest.mark.parametrize(
    "arguments", [["runs"], ["generate", "--run=0123456789abcdef"], ["runs", "--new_key=nonsense"]]
)
def test_reading_makes_no_home(arguments, tmp_path, monkeypatch, capsys):
    for home in (tmp_path / "none", tmp_path / "file" / "home"):
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("MICROLLM_HOME", str(home))
        monkeypatch.setattr("tempfile.mkdtemp", lambda **_: pytest.fail("a home of its own"))
        code = main(arguments)
        assert (code, str(home) in capsys.readouterr().out) == ((0, True) if arguments == ["runs"] else (2, False))
        assert not home.exists()


# ---- 70. a beginning that the text could have


def test_without_a_prompt_it_begins_as_the_text_could(tmp_path, capsys):
    path = tmp_path / "greek.txt"
    path.write_text(GREEK)
    assert main(["train", f"--text={path}", *TINY, "--max_steps=2"]) == 0
    run = the_run()
    capsys.readouterr()
    for flags in ([], ["--samples=2"]):
        assert main(["generate", f"--run={run.id}", "--length=5", *flags]) == 0
        assert capsys.readouterr().out.startswith(prompt_for(run))
    assert main(["generate", f"--run={run.id}", "--prompt=hey"]) == 2
    assert {*"hey"} <= {*capsys.readouterr().err.split(":")[-2]}


def test_without_the_text_it_begins_with_a_letter_that_the_model_knows(run, capsys):
    (texts_dir() / f"{run.read_info().text.sha256}.txt").unlink()
    load_corpus.cache_clear()
    assert main(["generate", f"--run={run.id}", "--length=5"]) == 0
    assert len(capsys.readouterr().out) == 1 + 5 + 1


# ---- 72. half an export is none


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_an_export_that_finds_no_room_halfway_leaves_nothing(kind, run, tmp_path):
    path = tmp_path / "out"
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    code = f"{limit}; from microllm.__main__ import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["export", f"--run={run.id}", f"--as={kind}", f"--out={path}"]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n"), path.exists()) == (2, 1, False)


def test_an_export_that_comes_second_leaves_the_first_as_it_is(run, tmp_path):
    path = tmp_path / "out"
    path.write_text("the first")
    with pytest.raises(FileExistsError), pytest.MonkeyPatch.context() as patch:
        patch.setattr("microllm.exports.command._check_is_new", lambda *_: None)
        options = argparse.Namespace(kind="script", out=path, run=run.id, step=None)
        export(options)
    assert path.read_text() == "the first"
