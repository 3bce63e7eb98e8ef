"""The errors of this room that the user, not the programmer, must act on."""


class InputError(ValueError):
    """Input that the user must correct; the message names file, shard and row.

    The command line turns it into exit code 2 and one message on stderr.
    """


class ColumnError(InputError):
    """Several tables of vectors where one must be named: by `column`, or by the flag that stands for it."""

    def __init__(self, problem: str, choices: str, by: str = "column"):
        super().__init__(f"{problem}, say which with `{by}`: {choices}")
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
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None


def one_line(error: BaseException) -> str:
    r"""Return what an error says without its line breaks, for a message of one line.

    Examples
    --------
    >>> one_line(OSError("no thrift\nhere"))
    'no thrift here'
    """
    return " ".join(str(error).split())
