"""The command line: one file a command. Heavy imports happen inside the commands, so that help is quick."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

import typer

from anisoalign.cli.ask import ask
from anisoalign.cli.compare import compare
from anisoalign.cli.convert import convert
from anisoalign.cli.demo import demo
from anisoalign.cli.diagnose import diagnose
from anisoalign.cli.encode import encode
from anisoalign.cli.env import env
from anisoalign.cli.evaluate import evaluate
from anisoalign.cli.examples import example_of
from anisoalign.cli.explore import explore
from anisoalign.cli.export import export
from anisoalign.cli.fit import fit
from anisoalign.cli.guarding import guarded
from anisoalign.cli.once import OnceCommand
from anisoalign.cli.plan import plan
from anisoalign.cli.report import report
from anisoalign.cli.score import score
from anisoalign.cli.train import train
from anisoalign.cli.transform import transform

app = typer.Typer(
    name="anisoalign",
    help="Measure the modality gap of contrastive embeddings and close it without pairs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    demo,
    encode,
    diagnose,
    fit,
    transform,
    evaluate,
    compare,
    report,
    explore,
    convert,
    export,
    train,
    ask,
    score,
    plan,
    env,
):
    app.command(cls=OnceCommand, epilog=example_of(command.__name__))(guarded(command))


def _version(asked: bool) -> None:
    if asked:
        from anisoalign import __version__

        print(f"anisoalign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Measure the modality gap of contrastive embeddings and close it without pairs."""


_LEFT = "where OUT.partial or .OUT.stages is left, the same command goes on from there"
_TERMINATED = 128 + signal.SIGTERM
"""What `anisoalign.scale` exits with on SIGTERM."""


class Interrupted(BaseException):
    """Ctrl-C, under a name that the argument parser does not take for its own."""


def main() -> None:
    """Run the command line: exit 0 when done, 1 when something failed, 2 on bad usage or bad input, 130 on Ctrl-C.

    SIGTERM ends the process as it always does, but under an engine whose processes end with it: then it exits with 143.
    """
    _open_closed_streams()
    before = signal.signal(signal.SIGINT, _interrupt)
    warnings.showwarning = _teller()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a Ψ that it cannot encode is no reason to lose a run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Interrupted:
        _stop(f"interrupted; {_LEFT}", 130)
    except SystemExit as ended:
        if ended.code == _TERMINATED:
            _stop(f"terminated; {_LEFT}", _TERMINATED)
        raise
    except MemoryError:
        _stop("out of memory; --memory bounds what a pass may hold, --sample what is measured", 1)
    except Exception as error:
        from anisoalign.cli.options import UnusableError
        from anisoalign.embeddings import InputError
        from anisoalign.embeddings.errors import has_failed

        if isinstance(error, InputError | UnusableError):
            _stop(_said(error), 1 if has_failed(error) else 2)
        if isinstance(error, OSError):
            _stop(_said(error), 1)
        raise  # a fault of ours: the traceback is what a bug report needs, and Python exits with 1
    finally:
        signal.signal(signal.SIGINT, before)


def _open_closed_streams() -> None:
    """Let what is said to a stream that the caller closed (`2>&-`) go nowhere: Python has None there.

    `print` would put it into stdout, which may be read as JSON.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", errors="backslashreplace"))  # noqa: PTH123, SIM115 - until the end


def _teller() -> Callable[..., None]:
    """What tells a warning as a message, once: what it says is for the user, where it was raised is not."""
    told: set[str] = set()

    def warn(message: Warning | str, *rest: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"anisoalign: warning: {message}", file=sys.stderr)

    return warn


def _interrupt(number: int, frame: object) -> NoReturn:
    raise Interrupted


def _said(error: Exception) -> str:
    """What an error says, the file first where the system refused one, and what it says of the work that stays."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return "; ".join([text, *getattr(error, "__notes__", ())])


def _stop(message: str, code: int) -> NoReturn:
    print(f"anisoalign: {message}", file=sys.stderr)
    sys.exit(code)
