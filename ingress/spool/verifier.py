"""
`python -m ingress.spool.verifier FILE` checks whether LMDB may open a spool's file.

Exit code 3 means that it may not, and stderr has the reason.

LMDB trusts the pages that it reads: damaged pages can crash the process, or make it overwrite live
rows. py-lmdb's verifier walks the file without LMDB. It runs in a process of its own, because it
holds Python's lock for some 10 s per million rows, and no request would be answered meanwhile.
"""

# Most files are small: to import pathlib would take longer than to check them.
import sys

from lmdb.verify import VerifyError, verify

SHOWN_MAX = 3
# The only exit code besides 0 that says something about the file.
EXIT_DAMAGED = 3


def main(file: str) -> None:
    """Exit with EXIT_DAMAGED and the first problems unless the file may be opened."""
    try:
        problems = verify(file, subdir=False)
    except VerifyError as error:
        problems = [str(error)]
    if problems:
        more = f" and {len(problems) - SHOWN_MAX} more" if len(problems) > SHOWN_MAX else ""
        sys.stderr.write("; ".join(problems[:SHOWN_MAX]) + more)
        sys.exit(EXIT_DAMAGED)


if __name__ == "__main__":
    main(sys.argv[1])
