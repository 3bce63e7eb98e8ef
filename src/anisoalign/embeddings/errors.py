"""The one error of this room that the user, not the programmer, must act on."""


class InputError(ValueError):
    """Input that the user must correct; the message names file, shard and row.

    The command line turns it into exit code 2 and one message on stderr.
    """
