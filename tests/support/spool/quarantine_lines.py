"""Collect the rows that log lines report as being in quarantine."""

import logging


class QuarantineLines(logging.Handler):
    """A log handler that keeps the origin and sequence of each row reported in quarantine."""

    def __init__(self) -> None:
        super().__init__()
        self.named: set[tuple[str, int]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the sequences that the line names."""
        if "quarantine" in str(record.msg) and isinstance(record.args, tuple):
            *_, origin, sequences, _ = record.args
            self.named |= {(str(origin), int(each)) for each in str(sequences).split(", ")}
