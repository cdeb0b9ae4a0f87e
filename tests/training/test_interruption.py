"""Signals as requests: seen once, then obeyed at once."""

from __future__ import annotations

import os
import signal

import pytest

from s2s_cli.errors import ExitCode
from s2s_cli.training.interruption import Abandoned, StopRequest, stop_requests

SIGNALS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request_with_its_exit_code(number: signal.Signals, capfd: pytest.CaptureFixture[str]):
    with stop_requests() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.exit_code == SIGNALS[number]
    assert "stopping after this update" in capfd.readouterr().err


def test_the_handlers_of_before_are_back_afterwards():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), stop_requests():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_ends_the_process_at_once(first: signal.Signals, second: signal.Signals):
    child = os.fork()
    if not child:
        with stop_requests():
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), second)
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == SIGNALS[second]


def test_what_can_be_done_anew_is_abandoned():
    done = []
    with stop_requests() as stop:
        with pytest.raises(Abandoned), stop.abandoning():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the rest")
        assert stop.exit_code == ExitCode.TERMINATED
    assert not done


def test_what_can_be_done_anew_is_not_begun_after_a_request():
    done = []
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Abandoned), stop.abandoning():
            done.append("something")
    assert not done


def test_outside_of_such_a_block_nothing_is_raised():
    with stop_requests() as stop:
        with stop.abandoning():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop


def test_a_closed_stderr_does_not_matter(monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int, data: bytes) -> int:
        raise OSError

    stop = StopRequest()
    monkeypatch.setattr(os, "write", fail)
    stop.receive(signal.SIGINT, None)
    assert stop
