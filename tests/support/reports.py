"""Reports of an audit, as it would build them."""

from typing import Any

from ops.audit.report import Report

_NOTHING_FOUND: dict[str, Any] = {
    "origins": [],
    "ledger": None,
    "statistics": {},
    "days": None,
    "repeats": 0,
    "foreign": 0,
    "different": 0,
    "different_listed": [],
    "doubts": {},
    "quarantined": {},
    "not_audited": [],
}


def report_with(**fields: Any) -> Report:
    """Return a report without any finding, but for `fields`."""
    return Report(**_NOTHING_FOUND | fields)
