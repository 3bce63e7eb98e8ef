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
                step(stage, done, 5, 1 / done, 0.5 if done > 2 else None)
    assert len(bars) == 2
    assert "tune, loss 0.2000, held out 0.5000" in sys.stderr.getvalue()


def test_elsewhere_lines_tell_the_losses(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["anisoalign.cli.train"], "_EVERY", -1.0)
    with _progress(True) as step:
        for done in range(1, 5):
            step("tune", done, 5, 1 / done, 0.5 if done > 2 else None)
    told = [line.rpartition(", about")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [
        "tune: step 2 of 5, loss 0.5000",
        "tune: step 3 of 5, loss 0.3333, held out 0.5000",
        "tune: step 4 of 5, loss 0.2500, held out 0.5000",
    ]
