"""The errors of this room that the user, not the programmer, must act on."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".tmp-"
"""Beginning of the names of unfinished files; such files are never read."""
_FAILURES = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
        *(errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EPIPE),
    )
)
"""What may go well the next time; that a file is absent or must not be written, the user has to change."""


class InputError(ValueError):
    """Input that the user must correct; the message names file, shard and row.

    The command line turns it into exit code 2 and one message on stderr.
    """


class ColumnError(InputError):
    """Several tables of vectors where one must be named: by `column`, or by the option that stands for it."""

    def __init__(self, problem: str, choices: str, by: str = ""):
        way = f"`{by}`" if by else "`column`, as in `aa.open_embeddings(x, column=...)`"
        super().__init__(f"{problem}, say which with {way}: {choices}")
        self.problem, self.choices = problem, choices


def by_system(error: BaseException | None) -> bool:
    """Tell whether the system's refusal is behind an error: a full disk, a lost connection, too many open files.

    Examples
    --------
    >>> failed = InputError("cannot be written")
    >>> failed.__cause__ = OSError("no space left")
    >>> by_system(failed), by_system(InputError("row 3 is zero"))
    (True, False)
    """
    return refusal_behind(error) is not None


def refusal_behind(error: BaseException | None) -> OSError | None:
    """Return the error of the system that led to an error, or is it; None where there is none."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


def has_failed(error: BaseException | None) -> bool:
    """Tell whether the system failed at what was rightly asked of it: by a full disk, say, not for want of a file.

    Examples
    --------
    >>> has_failed(OSError(errno.ENOSPC, "no space left")), has_failed(FileNotFoundError(errno.ENOENT, "no file"))
    (True, False)
    """
    refusal = refusal_behind(error)
    return refusal is not None and refusal.errno in _FAILURES


@contextlib.contextmanager
def blamed_on(path: str | Path) -> Iterator[None]:
    """Let the system's refusal name the file that is written, by the name it is to have; of itself it names none.

    Examples
    --------
    >>> with blamed_on("out.npy"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    OSError: [Errno 28] No space left on device: 'out.npy'
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            where = Path(path)
            error.filename = str(where.with_name(where.name.removeprefix(TEMPORARY)))
        raise


def one_line(error: BaseException) -> str:
    r"""Return what an error says without its line breaks, for a message of one line.

    Examples
    --------
    >>> one_line(OSError("no thrift\nhere"))
    'no thrift here'
    """
    return " ".join(str(error).split())
