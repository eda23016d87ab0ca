"""
Name the keys of the counts in Valkey.

apply.lua gets the names from here, and builds five itself: secret, apps, zones, applied and
sequence-sums.

G is a generation of counts: 1 until a rebuild, which counts into the next number.

    hookline:generation                 string: the generation that is served and counted into
    hookline:rebuilding                 string: the generation that is counted by a rebuild
    hookline:rebuilder                  string: the process that rebuilds; it expires
    hookline:G:positions                hash: TOPIC/PARTITION -> next offset, topic's id, and
                                        offset, sequence, origin of the last record
    hookline:G:applied                  hash: ORIGIN/TOPIC/PARTITION -> number of sequences applied
    hookline:G:sequence-sums            hash: the same -> their sum, modulo 2^52
    hookline:G:kept                     hash: how long minutes, quarters and days are kept, and
                                        how many people exactly (keep_times.py)
    hookline:G:secret                   secret key of the hashes: senders cannot make equal ones
    hookline:G:apps                     set: every SdkAppid
    hookline:G:zones                    hash: APP -> the time zone of its days
    hookline:G:totals:APP               hash: FIGURE; repeats; sketched:FIGURE once the exact bound
                                        was reached; uncounted:FIGURE since it is not counted
    hookline:G:people:APP               hash set: the accounts that were ever active
    hookline:G:conversations:APP        hash set: the conversations
    hookline:G:minutes:APP:HOUR         hash: MM:FIGURE of the minutes of an hour of UTC
    hookline:G:minute-people:APP:MINUTE hash set: the active accounts of a minute
    hookline:G:quarters:APP:DAY         hash: NN:FIGURE of the quarter hours of a day of UTC
    hookline:G:quarter-sketch:ROLE:APP:MINUTE  HyperLogLog of the quarter hour that begins then
    hookline:G:days:APP:MONTH           hash: DD:FIGURE, DD:sketched:FIGURE, in the app's zone
    hookline:G:day-people:FIGURE:APP:DATE      hash set
    hookline:G:day-sketch:ROLE:APP:DATE        HyperLogLog, as the two that follow
    hookline:G:month-sketch:ROLE:APP:MONTH
    hookline:G:total-sketch:ROLE:APP
    hookline:G:ids:APP:SLOT             hash set: remembered ids

A hash set (hash_set.lua) is several keys: its name, and `:0`, `:1`, … or `:size`. Figures and roles
are those of schemas/figures.py. In HOUR, MINUTE and DAY, 2026-01-31 09:05 UTC is 20260131T09,
20260131T0905 and 20260131; in MONTH and DATE, 2026-01 and 2026-01-31.
"""

from datetime import UTC, datetime, timedelta

PREFIX = "hookline:"
GENERATION = PREFIX + "generation"
REBUILDING = PREFIX + "rebuilding"
FIRST_GENERATION = 1

SUM_MODULUS = 1 << 52

REPEATS = "repeats"
SKETCHED = "sketched:"
UNCOUNTED = "uncounted:"

MINUTE_S = 60
QUARTER_S = 900
QUARTERS_A_DAY = 96
HOUR_S = 3600
# The sketch of a role in a day expires this long after its first member was counted, or earlier,
# with the numbers of the day.
DAY_SKETCHES_TTL_S = 400 * 24 * HOUR_S

_WITHOUT = str.maketrans("", "", "-:")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def prefix(generation: int) -> str:
    """Return the beginning of all keys of a generation."""
    return f"{PREFIX}{generation}:"


def positions(generation: int) -> str:
    """Return the key of the positions."""
    return f"{PREFIX}{generation}:positions"


def applied(generation: int) -> str:
    """Return the key of the numbers of applied sequences."""
    return f"{PREFIX}{generation}:applied"


def sequence_sums(generation: int) -> str:
    """Return the key of the sums of applied sequences."""
    return f"{PREFIX}{generation}:sequence-sums"


def kept(generation: int) -> str:
    """Return the key of the times for which counts are kept."""
    return f"{PREFIX}{generation}:kept"


def secret(generation: int) -> str:
    """Return the key of the secret."""
    return f"{PREFIX}{generation}:secret"


def apps(generation: int) -> str:
    """Return the key of the set of apps."""
    return f"{PREFIX}{generation}:apps"


def zones(generation: int) -> str:
    """Return the key of the zones of the apps' days."""
    return f"{PREFIX}{generation}:zones"


def totals(generation: int, app: str) -> str:
    """Return the key of an app's totals."""
    return f"{PREFIX}{generation}:totals:{app}"


def people(generation: int, app: str) -> str:
    """Return the name of the hash set of accounts that were ever active."""
    return f"{PREFIX}{generation}:people:{app}"


def conversations(generation: int, app: str) -> str:
    """Return the name of the hash set of conversations."""
    return f"{PREFIX}{generation}:conversations:{app}"


def minutes_of_hour(generation: int, app: str, minute: int) -> str:
    """Return the key of the hour of a minute; minutes are numbered from 1970 on, in UTC."""
    return f"{PREFIX}{generation}:minutes:{app}:{_text(minute * MINUTE_S)[:11]}"


def minute_field(minute: int, figure: str) -> str:
    """Return the field of a minute's figure in its hour."""
    return f"{minute % 60:02}:{figure}"


def minute_people(generation: int, app: str, minute: int) -> str:
    """Return the name of the hash set of a minute's active accounts."""
    return f"{PREFIX}{generation}:minute-people:{app}:{_text(minute * MINUTE_S)}"


def quarters_of_day(generation: int, app: str, quarter: int) -> str:
    """Return the key of the UTC day of a quarter hour; they are numbered from 1970 on, in UTC."""
    return f"{PREFIX}{generation}:quarters:{app}:{_text(quarter * QUARTER_S)[:8]}"


def quarter_field(quarter: int, figure: str) -> str:
    """Return the field of a quarter hour's figure in its day."""
    return f"{quarter % QUARTERS_A_DAY:02}:{figure}"


def quarter_sketch(generation: int, role: str, app: str, quarter: int) -> str:
    """Return the key of the sketch of a role in a quarter hour."""
    return f"{PREFIX}{generation}:quarter-sketch:{role}:{app}:{_text(quarter * QUARTER_S)}"


def days_of_month(generation: int, app: str, date: str) -> str:
    """Return the key of the month of a date, which is a text like 2026-01-31."""
    return f"{PREFIX}{generation}:days:{app}:{date[:7]}"


def day_field(date: str, figure: str) -> str:
    """Return the field of a day's figure in its month."""
    return f"{date[8:]}:{figure}"


def day_people(generation: int, figure: str, app: str, date: str) -> str:
    """Return the name of the hash set of a figure's people on a day."""
    return f"{PREFIX}{generation}:day-people:{figure}:{app}:{date}"


def day_sketch(generation: int, role: str, app: str, date: str) -> str:
    """Return the key of the sketch of a role on a day."""
    return f"{PREFIX}{generation}:day-sketch:{role}:{app}:{date}"


def month_sketch(generation: int, role: str, app: str, date: str) -> str:
    """Return the key of the sketch of a role in the month of a date."""
    return f"{PREFIX}{generation}:month-sketch:{role}:{app}:{date[:7]}"


def total_sketch(generation: int, role: str, app: str) -> str:
    """Return the key of the sketch of a role over all time."""
    return f"{PREFIX}{generation}:total-sketch:{role}:{app}"


def ids(generation: int, app: str, slot: int | str) -> str:
    """Return the name of the hash set of the ids of a slot: a minute's number, or a text."""
    text = _text(slot * MINUTE_S) if isinstance(slot, int) else slot
    return f"{PREFIX}{generation}:ids:{app}:{text}"


def _text(at_s: int) -> str:
    at = _EPOCH + timedelta(seconds=at_s)
    return at.isoformat(timespec="minutes")[:16].translate(_WITHOUT)
