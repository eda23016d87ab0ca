"""Exit codes, and the exception that ends a command with one of them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes. docs/audit.md explains each of them for each command."""

    OK = 0
    # A callback is missing, doubled or changed, or a segment is damaged.
    FAULT = 1
    # A source cannot be read. Click ends with the same code if the command line is wrong.
    UNREADABLE = 2
    # No fault was found, but the proof is incomplete.
    INCOMPLETE = 3
    # Some callbacks are only in the dead-letter topic.
    DEAD_LETTERED = 4
    # Only of `hookline status`: a part needs attention, or cannot be asked; a person must act.
    WARNING = 5
    WRONG = 6
    BUG = 70
    INTERRUPTED = 130

    @classmethod
    def of_result(
        cls, *, faults: bool, dead_lettered: bool = False, incomplete: bool
    ) -> "ExitCode":
        """Return the exit code of an audit or a verification: that of its worst finding."""
        if faults:
            return cls.FAULT
        if dead_lettered:
            return cls.DEAD_LETTERED
        return cls.INCOMPLETE if incomplete else cls.OK


class Failure(Exception):
    """
    Ends a command with `exit_code` and its text as one line on stderr.

    The text names the object, what happened to it, and what to do.
    """

    exit_code = ExitCode.UNREADABLE
