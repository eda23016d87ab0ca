"""
A small strace: run a command and record the system calls that show when data reaches the disk.

    python tests/support/processes/syscall_trace.py EVENTS COMMAND...

writes one JSON object a line to the file EVENTS: writes and syncs of the spool, requests read from
sockets, and the sends of answers that say OK. Many machines have no strace, and the package
python-ptrace is under the GPL and without a maintainer. Since Linux 5.3 the kernel itself reports a
call's number, arguments and result (PTRACE_GET_SYSCALL_INFO), so no registers are read here.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import signal
import struct
import sys
from pathlib import Path
from typing import Any, TextIO

# Requests carry this token, so that their bytes are recognized in sockets and pages.
TOKEN = re.compile(rb"trace-\d{6}")
SAYS_OK = re.compile(rb"HTTP/1\.1 200|\"ActionStatus\":\"OK\"")
SPOOL = ".lmdb"

_CALLS = {
    "x86_64": (
        {0: "read", 45: "recvfrom", 1: "write", 18: "pwrite64", 44: "sendto"},
        {19: "readv", 20: "writev", 296: "pwritev", 328: "pwritev2"},
        {46: "sendmsg", 47: "recvmsg"},
        {74: "fsync", 75: "fdatasync"},
    ),
    "aarch64": (
        {63: "read", 207: "recvfrom", 64: "write", 68: "pwrite64", 206: "sendto"},
        {65: "readv", 66: "writev", 70: "pwritev", 287: "pwritev2"},
        {211: "sendmsg", 212: "recvmsg"},
        {82: "fsync", 83: "fdatasync"},
    ),
}
_SEIZE, _INTERRUPT, _SYSCALL, _GET_SYSCALL_INFO = 0x4206, 0x4207, 24, 0x420E
_OPTIONS = 0x1 | 0x8 | 0x100000  # TRACESYSGOOD, TRACECLONE, EXITKILL
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_ALL_THREADS = 0x40000000  # __WALL

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> int:
    result = int(_libc.ptrace(request, thread, address, data))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Trace:
    """One traced process and its noted system calls."""

    def __init__(self, process: int, events: TextIO) -> None:
        self._process = process
        self._events = events
        self._buffers, self._vectors, self._messages, self._syncs = _CALLS[platform.machine()]
        self._names = self._buffers | self._vectors | self._messages | self._syncs
        self._begun: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._info = ctypes.create_string_buffer(88)

    def stopped(self, thread: int) -> None:
        """Note the system call that `thread` enters or leaves, if it is one of ours."""
        size = len(self._info)
        _ptrace(_GET_SYSCALL_INFO, thread, size, ctypes.addressof(self._info))
        operation = self._info.raw[0]
        if operation == _ENTRY:
            number, *arguments = struct.unpack_from("7Q", self._info, 24)
            if number in self._names:
                self._begun[thread] = number, tuple(arguments)
                self._note(thread, None)
        elif operation == _EXIT and thread in self._begun:
            self._note(thread, struct.unpack_from("q", self._info, 24)[0])
            del self._begun[thread]

    def _note(self, thread: int, result: int | None) -> None:
        number, arguments = self._begun[thread]
        name, descriptor = self._names[number], arguments[0]
        try:
            file = str(Path(f"/proc/{self._process}/fd/{descriptor}").readlink())
        except OSError:
            return
        event: dict[str, Any] = {"call": name, "thread": thread, "result": result, "file": file}
        if file.endswith(SPOOL):
            if number in self._syncs:
                self._write(event)
            elif "write" in name:
                event["synchronous"] = self._is_synchronous(descriptor)
                event["tokens"] = self._tokens(self._bytes(number, arguments))
                self._write(event)
        elif file.startswith("socket:"):
            receives = name.startswith(("read", "recv"))
            # Received bytes are complete at the call's end, sent bytes at its beginning.
            if receives == (result is not None) and (result is None or result > 0):
                content = self._bytes(number, arguments)[:result]
                event["tokens"] = self._tokens(content) if receives else []
                event["says_ok"] = not receives and bool(SAYS_OK.search(content))
                if event["tokens"] or event["says_ok"]:
                    self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        self._events.write(json.dumps(event) + "\n")

    def _is_synchronous(self, descriptor: int) -> bool:
        """Return whether the file was opened with O_DSYNC, so that a write is on disk on return."""
        lines = Path(f"/proc/{self._process}/fdinfo/{descriptor}").read_text().splitlines()
        (flags,) = (int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        return bool(flags & os.O_DSYNC)

    def _bytes(self, number: int, arguments: tuple[int, ...]) -> bytes:
        """Return the memory that the call reads from or writes to."""
        if number in self._buffers:
            return self._memory(arguments[1], arguments[2])
        at, count = arguments[1], arguments[2]
        if number in self._messages:
            at, count = struct.unpack("2Q", self._memory(arguments[1] + 16, 16))
        vectors = struct.iter_unpack("2Q", self._memory(at, count * 16))
        return b"".join(self._memory(base, size) for base, size in vectors)

    def _memory(self, address: int, size: int) -> bytes:
        with Path(f"/proc/{self._process}/mem").open("rb", buffering=0) as memory:
            return os.pread(memory.fileno(), size, address)

    def _tokens(self, content: bytes) -> list[str]:
        return sorted({token.decode() for token in TOKEN.findall(content)})


def run(events: Path, command: list[str]) -> int:
    """Run `command` to its end, pass SIGTERM on to it, and return its exit code."""
    begin, may_begin = os.pipe()
    process = os.fork()
    if not process:
        os.read(begin, 1)
        os.execvp(command[0], command)  # noqa: S606 - the test's own command
    _ptrace(_SEIZE, process, 0, _OPTIONS)
    _ptrace(_INTERRUPT, process)
    os.write(may_begin, b"!")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))
    exit_code = 0
    with events.open("w") as file:
        trace = Trace(process, file)
        with contextlib.suppress(ChildProcessError):
            while True:
                thread, status = os.waitpid(-1, _ALL_THREADS)
                if not os.WIFSTOPPED(status):
                    if thread == process:
                        exit_code = os.waitstatus_to_exitcode(status)
                    continue
                # A thread of a killed process may be gone before it is inspected or continued.
                with contextlib.suppress(ProcessLookupError):
                    stop_signal = os.WSTOPSIG(status)
                    if stop_signal == _SYSCALL_STOP:
                        trace.stopped(thread)
                    ours = stop_signal == _SYSCALL_STOP or status >> 16
                    _ptrace(_SYSCALL, thread, 0, 0 if ours else stop_signal)
    return exit_code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
