"""The services for `support.processes.forked`; all of their modules are imported here."""

import sys

from consumers.__main__ import CONSUMERS, import_consumer, run
from ingress.__main__ import main
from ingress.spool import directory, group_commit

for _name in CONSUMERS:
    import_consumer(_name)


def consumers() -> None:
    """Run `python -m consumers`."""
    run(sys.argv[1:])


def patient_ingress() -> None:
    """Run `python -m ingress`; its last argument is how many seconds it gives its disk."""
    seconds = float(sys.argv.pop())
    directory.START_VERIFY_TIMEOUT_S = group_commit.DISK_TIMEOUT_S = seconds
    main()
