"""`python -m consumers NAME` runs one member of the consumer group NAME."""

import sys

from consumers.archive import ARCHIVE
from consumers.counters import COUNTERS
from consumers.runtime.process import main
from consumers.sync import SYNC

CONSUMERS = {consumer.name: consumer for consumer in (ARCHIVE, SYNC, COUNTERS)}

if __name__ == "__main__":
    match sys.argv[1:]:
        case [name] if name in CONSUMERS:
            main(CONSUMERS[name])
        case _:
            sys.exit(f"usage: python -m consumers {'|'.join(CONSUMERS)}")
