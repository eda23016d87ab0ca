"""Select the callbacks that are sent to a target, by app and command. No I/O."""

from collections.abc import Callable, Sequence

from consumers.runtime.batch import Record


class CallbackFilter:
    """The callbacks of some apps and commands; empty means all. A command may end with `*`."""

    def __init__(self, *, sdkappids: Sequence[str] = (), commands: Sequence[str] = ()) -> None:
        self._apps = {app.encode() for app in sdkappids}
        self._all_commands = not commands
        self._names = {name.encode() for name in commands if not name.endswith("*")}
        self._prefixes = tuple(name[:-1].encode() for name in commands if name.endswith("*"))

    def has(self, sdkappid: bytes | None, command: bytes) -> bool:
        """Return whether a callback of this app and command is sent."""
        return (not self._apps or sdkappid in self._apps) and (
            self._all_commands or command in self._names or command.startswith(self._prefixes)
        )


def callback_filter(
    *, sdkappids: Sequence[str], commands: Sequence[str]
) -> Callable[[Record], bool]:
    """Return a function that decides by the headers of a record whether it is sent."""
    if not sdkappids and not commands:
        return lambda _: True
    by_app_and_command = CallbackFilter(sdkappids=sdkappids, commands=commands)

    def is_selected(record: Record) -> bool:
        headers = dict(record.headers)
        return by_app_and_command.has(headers.get("ce_sdkappid"), headers.get("ce_type") or b"")

    return is_selected
