"""Serve an aiohttp peer on uvloop, without an access log."""

import os

import uvloop
from aiohttp import web

# bench/peers/kafka.py has it, too, but would load aiokafka into peers that do not need it.
OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


def serve(app: web.Application) -> None:
    """Serve at PORT until SIGTERM."""
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
