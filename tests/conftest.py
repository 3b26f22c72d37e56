"""What all tests share: a home of their own, one torch thread, the same examples every time."""

import pytest
import torch
from hypothesis import settings
from patience import patience

import microllm.environment

pytest_plugins = ["browser"]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails. What it waits for itself has ten seconds (patience.py); this is the net beneath that."""
    slow = item.get_closest_marker("timeout")
    usual = 30.0 if {"unit", "app"} & {*item.path.parts} else 90.0  # a server or a program has to start there
    item.add_marker(pytest.mark.timeout(patience(slow.args[0] if slow else usual)), append=False)
    return (yield)


settings.register_profile("microllm", derandomize=True, deadline=None)
settings.load_profile("microllm")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The last digits of a sum depend on the number of threads, and the tests promise the same digits everywhere."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path, monkeypatch):
    """Nothing is read from or written to the home of the person who runs the tests."""
    monkeypatch.setenv("MICROLLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MICROLLM_MIRROR", raising=False)
    monkeypatch.setenv("MICROLLM_RUNS_DIR", "")  # set, so that what the command line sets is undone after the test
    microllm.environment.home.cache_clear()
    yield
    microllm.environment.home.cache_clear()
