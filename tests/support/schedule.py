"""The order in which pytest-xdist runs the tests of real servers: some files share a process."""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

# The tests of these files share a demo, a broker or a directory, which each process would make.
ONE_PROCESS = {
    "contract/test_indexes.py": "indexes",
    "contract/test_queries.py": "queries",
    "e2e/test_kills.py": "demo",
    "e2e/test_samples.py": "demo",
    "e2e/test_statistics_kills.py": "demo",
    "e2e/test_two_identities.py": "demo",
    "integration/test_abuse.py": "abuse",
    "integration/test_acl_command.py": "secured broker",
    "integration/test_acl_record.py": "secured broker",
    "integration/test_acls.py": "acls",
    "integration/test_clients.py": "clients",
    "integration/test_fenced_broker.py": "fenced broker",
    "integration/test_kafka_access.py": "secured broker",
    "integration/test_kafka_causes.py": "secured broker",
    "integration/test_kafka_causes_of_processes.py": "secured broker",
    "integration/test_missing_rights.py": "secured broker",
    "integration/test_open_transactions.py": "open transactions",
    "integration/test_s3.py": "s3",
    "integration/test_secured_broker.py": "secured broker",
    "integration/test_year_of_names.py": "year of names",
}
# The tests of contract/ come last. These are the longest of them and wait for a disk most of the
# time, so they begin first: at the end of the run, nothing else would use the cores meanwhile.
FIRST_OF_FOLDER = {
    "contract/test_statistics.py",
    "contract/test_sync_expire_command.py",
    "contract/test_sync_expire_schedules.py",
}


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with those of FIRST_OF_FOLDER before the others of their folder."""
    folders: dict[str, int] = {}
    for item in items:
        folders.setdefault(_file(item.nodeid).partition("/")[0], len(folders))

    def place(item: pytest.Item) -> tuple[int, bool]:
        file = _file(item.nodeid)
        return folders[file.partition("/")[0]], file not in FIRST_OF_FOLDER

    return sorted(items, key=place)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/")


def scope_of(nodeid: str) -> str:
    """Return the tests that run in one process with this one: a name of ONE_PROCESS, or itself."""
    return ONE_PROCESS.get(_file(nodeid), nodeid)


class Shared(LoadScopeScheduling):
    """Gives each process the next test, or the next tests that share something."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
