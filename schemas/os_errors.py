"""Say which setting an error of the operating system is about."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def listening(port_setting: str, host: str, port: int) -> Iterator[None]:
    """
    Name the setting if the port cannot be listened on in this block.

    Raises:
        OSError: the port is in use, or the host is not one of this machine; the text says which.
    """
    try:
        yield
    except OSError as error:
        address = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            text = f"another process uses {address}; stop it or choose another port"
        elif error.errno in (errno.EACCES, errno.EPERM):
            text = f"this user may not listen on {address}; choose a port from 1024 on"
        else:
            host_setting = f"{port_setting.removesuffix('PORT')}HOST"
            text = f"cannot listen on {address}: {error_text(error)}; correct it or {host_setting}"
        raise OSError(f"{port_setting}: {text}") from error


def about_setting(error: OSError, values: Mapping[str, Any]) -> str:
    """Return the text of `error`, with the setting whose path it is about if it is one's."""
    text = with_path(error)
    if not isinstance(error.filename, str):
        return text
    path = Path(error.filename)
    for variable, value in values.items():
        # "/" is above every path: INGRESS_PATH, of URLs, has it by default.
        if isinstance(value, str) and value.strip("/") and path.is_relative_to(value):
            return f"{variable}: {text}"
    return text


def with_path(error: OSError) -> str:
    """Return the text of `error`, with its path if it has one."""
    if not isinstance(error.filename, str):
        return str(error)
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and Path(error.filename).is_file():
        return f"{error.filename} is a file, not a directory"
    return f"{error.filename}: {error_text(error)}"


def error_text(error: OSError) -> str:
    """Return the text of `error` without its path or address."""
    # asyncio's own texts repeat the address; those of name resolution have a code of their own.
    known = error.errno in errno.errorcode
    return os.strerror(error.errno) if known and error.errno else str(error.strerror or error)
