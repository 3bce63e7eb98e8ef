"""SIGTERM where processes would outlive this one: what has been begun is ended first."""

import os
import signal
import threading

import pytest

from anisoalign.scale.sigterm import exit_on_sigterm


def test_it_leaves_through_finally_and_a_second_one_does_not_disturb_that():
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def work():
        with exit_on_sigterm() as install:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(1))  # as a library does that is begun within
            install()
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(SystemExit) as ended:
        work()
    assert (ended.value.code, cleaned) == (143, [True])
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_the_handlers_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with exit_on_sigterm() as install:
            install()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
