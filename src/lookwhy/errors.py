"""The one kind of error that people are meant to read; imported without torch."""


class LookwhyError(Exception):
    """Wrong input: one line that says what was expected, what was found, where, and what to do.

    The commands print it on stderr without a traceback and leave with exit code 2.
    """
