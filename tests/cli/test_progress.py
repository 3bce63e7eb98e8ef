"""Bars of work that is under way, on a terminal."""

import io
import sys

from rich.progress import Progress

from anisoalign.cli.train import _progress


class Terminal(io.StringIO):
    """What can be moved about on."""

    def isatty(self):
        return True


def test_a_stage_has_one_bar_which_tells_the_last_loss(monkeypatch):
    bars = []
    add = Progress.add_task
    monkeypatch.setattr(Progress, "add_task", lambda self, *a, **o: bars.append(add(self, *a, **o)) or bars[-1])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _progress(True) as step:
        for stage in ("pretrain", "tune"):
            for done in range(1, 6):
                step(stage, done, 5, 1 / done)
    assert len(bars) == 2
    assert "tune, loss 0.2000" in sys.stderr.getvalue()
