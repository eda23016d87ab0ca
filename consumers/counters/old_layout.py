"""
Name the keys of the counts in Valkey, for the API that reads them; apply.lua has the same names.

    hookline:positions                 hash: TOPIC/PARTITION -> next offset, topic's id, and
                                       offset, sequence, origin of the last record
    hookline:apps                      set: every SdkAppid
    hookline:applied                   hash: ORIGIN/TOPIC/PARTITION -> number of sequences applied
    hookline:sequence-sums             hash: the same -> their sum, modulo 2^52
    hookline:totals:APP                hash: KIND (schemas/message.py), repeats, command:COMMAND;
                                       people_sketched once the exact bound was reached
    hookline:people:APP                set: accounts, up to the exact bound
    hookline:people-sketch:APP         HyperLogLog of all accounts
    hookline:minutes:APP:HOUR          hash: MM:KIND, MM:people
    hookline:minute-accounts:APP:HOUR:MM  accounts of a minute, a set of hashes (hash_set.lua)
    hookline:ids:APP:HOURS             ids that are remembered, by hours since 1970, likewise
    hookline:secret                    secret key of the hashes: senders cannot make equal ones
"""

from datetime import datetime

PREFIX = "hookline:"
POSITIONS = PREFIX + "positions"
APPS = PREFIX + "apps"
APPLIED = PREFIX + "applied"
SEQUENCE_SUMS = PREFIX + "sequence-sums"

SUM_MODULUS = 1 << 52

PEOPLE = "people"
PEOPLE_SKETCHED = "people_sketched"
REPEATS = "repeats"
COMMAND = "command:"


def totals(app: str) -> str:
    """Return the key of an app's totals."""
    return f"{PREFIX}totals:{app}"


def people(app: str) -> str:
    """Return the key of the accounts that are counted exactly."""
    return f"{PREFIX}people:{app}"


def people_sketch(app: str) -> str:
    """Return the key of the sketch of all accounts."""
    return f"{PREFIX}people-sketch:{app}"


def minutes(app: str, hour: str) -> str:
    """Return the key of an hour's minutes."""
    return f"{PREFIX}minutes:{app}:{hour}"


def hour_of(at: datetime) -> str:
    """Return the hour of a time in UTC, as it appears in keys."""
    return f"{at:%Y%m%dT%H}"
