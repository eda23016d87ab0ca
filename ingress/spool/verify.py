"""
`python -m ingress.spool.verify FILE` checks whether LMDB may open a spool's file.

Exit code 3 says that it may not, and stderr says why.

LMDB trusts the pages that it reads: damaged ones can crash the process or let it write over live
rows. py-lmdb's verifier walks the file without LMDB. It is a process of its own because it holds
Python for some 10 s a million rows, in which no request would be answered.
"""

import sys
from pathlib import Path

from lmdb.verify import VerifyError, verify

SHOWN_MAX = 3
# No other end of this process says anything of the file.
DAMAGED = 3


def main(file: Path) -> None:
    """Exit with DAMAGED and the first problems unless the file may be opened."""
    try:
        problems = verify(str(file), subdir=False)
    except VerifyError as error:
        problems = [str(error)]
    if problems:
        more = f" and {len(problems) - SHOWN_MAX} more" if len(problems) > SHOWN_MAX else ""
        sys.stderr.write("; ".join(problems[:SHOWN_MAX]) + more)
        sys.exit(DAMAGED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
