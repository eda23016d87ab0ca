"""
Read the topic as an audit does, then make the report; `counts`: with what the counts need.

It is a reader as those of bench/peers/reading.py. REPORT has the CPU seconds of the report.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from bench.peers.reading import BEGUN, ENDED
from ops.audit.audit import collect_garbage_rarely
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.tally import Tally
from ops.audit.topic_reader import TopicReader
from schemas.kafka_access import KafkaAccess

REPORT = "report"


async def read(*, counts: bool) -> None:
    """Read RECORDS once, report, and stay until the process is killed."""
    directory, records = Path(os.environ["DIRECTORY"]), int(os.environ["RECORDS"])
    tally = Tally(SpoolEnds(), [], audits_postgres=False, audits_counts=counts)
    if counts:
        tally.note_statistics(Statistics(messages=0, people=0, applied={}))
    (directory / BEGUN).touch()
    await TopicReader(KafkaAccess(bootstrap_servers=os.environ["KAFKA"])).read(tally)
    if tally.record_count != records:
        sys.exit(f"{tally.record_count} of {records} records were read")
    (directory / ENDED).touch()
    begun_s = time.process_time()
    report = tally.report()
    if report.different or report.doubled_at_least:
        sys.exit(f"the records have faults: {report}")
    part = directory / f"{REPORT}.part"
    part.write_text(str(time.process_time() - begun_s))
    part.rename(directory / REPORT)
    # The measuring process reads afterwards how much memory this process used.
    await asyncio.Event().wait()


if __name__ == "__main__":
    collect_garbage_rarely()
    asyncio.run(read(counts=sys.argv[1] == "counts"))
