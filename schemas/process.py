"""Run a process: its settings and `--help`, its log, its signals, its exit codes."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from schemas.garbage import collect_garbage_again
from schemas.kafka_access import KafkaAccess
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.log_setup import log_format, log_to_stderr
from schemas.os_errors import about_setting
from schemas.printable import printable
from schemas.settings import (
    SHARED_VARIABLES_PREFIX,
    Settings,
    SettingsFaults,
    SharedSettings,
    read_settings,
    settings_as_json,
    settings_help,
)
from schemas.url_text import without_url_secrets

log = logging.getLogger("process")

# The settings that every process reads.
_SHARED: Mapping[str, type[Settings]] = {
    SHARED_VARIABLES_PREFIX: SharedSettings,
    KAFKA_VARIABLES_PREFIX: KafkaSecurity,
}


def run_process(
    name: str,
    about: str,
    settings: Mapping[str, type[Settings]],
    start: Callable[..., Coroutine[Any, Any, None]],
    *,
    expected_exceptions: tuple[type[Exception], ...] = (),
    arguments: Sequence[str] | None = None,
) -> None:
    """
    Read the settings, set up the log, and run the coroutine that `start` returns until it ends.

    `start` is called with an object of `SharedSettings`, the `KafkaAccess`, and an object of each
    class in `settings`, whose keys are the prefixes of their variables. `about` heads `--help`.
    `expected_exceptions` end the process without a traceback; their text explains why.

    Exit codes: 0 after `--help` and an end without an exception; 1 if the settings have faults, and
    after an expected exception or an OSError; 2 if the command line has an argument.
    """
    collect_garbage_again()
    if arguments := sys.argv[1:] if arguments is None else arguments:
        _exit_for_argument(arguments[0], name, about, settings)
    log_to_stderr(log_format(os.environ))
    classes = {**_SHARED, **settings}
    fields: dict[str, Any] = {"settings": {}}
    try:
        shared, security, *own_settings = read_settings(classes, os.environ)
        logging.getLogger().setLevel(shared.log_level)
        fields = {"settings": settings_as_json(classes, [shared, security, *own_settings])}
        log.info("%s starts", name, extra={"fields": fields})
        for warning in security.warnings():
            log.warning("%s", warning)
        kafka = KafkaAccess(bootstrap_servers=shared.bootstrap_servers, security=security)
        uvloop.run(start(shared, kafka, *own_settings))
    except SettingsFaults as faults:
        exit_with(f"{name} cannot start:\n{faults}")
    except OSError as error:
        exit_with(f"{name} stops.\n{printable(about_setting(error, fields['settings']))}")
    except expected_exceptions as error:
        exit_with(f"{name} stops.\n{printable(str(error))}")
    except KeyboardInterrupt:
        # Ctrl-C before the process handles signals itself: nothing has begun.
        pass
    except Exception:
        # Logged, because Python writes a traceback as lines with the exception's raw text.
        log.critical("%s ends because of a bug", name, exc_info=True)
        sys.exit(1)


def _exit_for_argument(
    argument: str, name: str, about: str, settings: Mapping[str, type[Settings]]
) -> NoReturn:
    """Write the settings if `argument` asks for help, else the error; exit."""
    if argument in ("-h", "--help"):
        explanation = settings_help({**settings, **_SHARED})
        sys.stdout.write(f"{about}\n\n{explanation}\n\nSee docs/configuration.md.\n")
        sys.exit(0)
    exit_with(
        f"{name} cannot start: unknown argument {argument!r}. Its settings are environment "
        "variables; --help lists them.",
        2,
    )


def exit_with(text: str, code: int = 1) -> NoReturn:
    """Write `text` to stderr, as an entry if the log is JSON, otherwise as it is; exit."""
    if log_format(os.environ) == "json":
        log_to_stderr("json")
        log.critical("%s", text)
    else:
        sys.stderr.write(f"{without_url_secrets(text)}\n")
    sys.exit(code)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set. Call this on the running loop."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    return stop


def sync_directory(directory: Path) -> None:
    """Return once the names of the files in `directory` are on disk (fsync)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
