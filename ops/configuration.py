"""Print docs/configuration.md, which lists every setting: `python -m ops.configuration`."""

import sys
from collections.abc import Mapping
from inspect import cleandoc

from consumers.__main__ import CONSUMERS, import_consumer
from consumers.runtime.process import ConsumerSettings
from consumers.stats.__main__ import StatsSettings
from ingress.settings import IngressSettings
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.setting import Setting, sized
from schemas.settings import SHARED_VARIABLES_PREFIX, Settings, SharedSettings, settings_of

CLASSES: Mapping[str, type[Settings]] = {
    SHARED_VARIABLES_PREFIX: SharedSettings,
    KAFKA_VARIABLES_PREFIX: KafkaSecurity,
    "INGRESS_": IngressSettings,
    "CONSUMER_": ConsumerSettings,
    **{import_consumer(name).prefix: import_consumer(name).settings for name in CONSUMERS},
    "STATS_": StatsSettings,
}
INTRODUCTION = """\
# Configuration

<!-- Generated from the settings classes: change them, then run `make docs-configuration`. -->

Every service reads its settings from environment variables, once, when it starts. It knows
`HOOKLINE_*` and prefixes of its own: the ingress `INGRESS_*`, a consumer `CONSUMER_*` and its name
in capitals, the statistics API `STATS_*`. With `--help` a service prints its part of this page.

- A value that is not allowed, a required setting that is missing, and a variable with a known
  prefix that is not a setting are faults. A service lists all faults and exits with code 1.
- Logs, errors and `/status` show a URL without its user, password, query and fragment, which may
  be secrets: for example `https://***@crm.example.com/hook?***`. Settings that are secrets as a
  whole are shown as `***`.
- Numbers are decimal. `true` and `false` may have capitals. Text is used as it is.
- The `hookline` commands have options instead; `--help` of a command names the variable from which
  an option may come, too (`OPS_URL`, `OPS_SDKAPPID`, `OPS_INGRESS`, `OPS_STATS`,
  `OPS_STATS_TOKEN_FILE`, `TOPICS_…`, some of the settings below).
- [.env.example](../.env.example) lists the variables that `docker-compose.yml` reads.

Three subjects have sections of their own: the tokens file in
[authentication](receiving.md#authentication), the cost of `COUNTERS_REMEMBER_S` in
[memory of the counters](capacity.md#memory-of-the-counters), and stopped consumers in the
[runbook](runbook.md#a-consumer-stops).
"""


def page() -> str:
    """Return the text of docs/configuration.md."""
    return "\n".join((INTRODUCTION, *(_section(c, prefix) for prefix, c in CLASSES.items())))


def _section(settings: type[Settings], prefix: str) -> str:
    title, _, more = cleandoc(settings.__doc__ or "").partition(": ")
    rows = "\n".join(_row(setting) for setting in settings_of(settings, prefix))
    return (
        f"## `{title}`\n\n{more[:1].upper()}{more[1:]}\n\n"
        f"| setting | default | allowed | meaning |\n| --- | --- | --- | --- |\n{rows}\n"
    )


def _row(setting: Setting) -> str:
    default = f"`{setting.default_text}`" if setting.default_text else "empty"
    if setting.required:
        default = "none, must be set"
    elif isinstance(setting.default, int) and "(" in sized(setting.default, setting.unit):
        number, _, size = sized(setting.default, setting.unit).partition(" ")
        default = f"`{number}` {size}"
    return f"| `{setting.variable}` | {default} | {setting.allowed} | {setting.description} |"


if __name__ == "__main__":
    sys.stdout.write(page())
