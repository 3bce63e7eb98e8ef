"""The one error of this room that the user, not the programmer, must act on."""


class InputError(ValueError):
    """Input that the user must correct; the message names file, shard and row.

    The command line turns it into exit code 2 and one message on stderr.
    """


def one_line(error: BaseException) -> str:
    r"""Return what an error says without its line breaks, for a message of one line.

    Examples
    --------
    >>> one_line(OSError("no thrift\nhere"))
    'no thrift here'
    """
    return " ".join(str(error).split())
