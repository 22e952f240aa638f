"""Parsers that do what parsers must not, for tests; a child process imports them."""

import ctypes
import json
import os
import socket
import sys
import time

from ray_ft.data.formats.base import Parsed, still_working
from ray_ft.data.formats.text import parse_text


def crash(data: bytes) -> Parsed:
    """Read where nothing is."""
    ctypes.string_at(0)
    return parse_text("not reached")


def hang(data: bytes) -> Parsed:
    """Never end."""
    while True:
        time.sleep(60)


def swell(data: bytes) -> Parsed:
    """Take memory until there is none."""
    held = []
    while True:
        held.append(bytearray(50 * 2**20))


def leave(data: bytes) -> Parsed:
    """End the process."""
    os._exit(3)


def take_long_and_say_so(data: bytes) -> Parsed:
    """Work for 1.6 s with a sign of life every 0.2 s."""
    for _ in range(8):
        time.sleep(0.2)
        still_working()
    return parse_text("done")


def tell_process(data: bytes) -> Parsed:
    """The process that parses."""
    return parse_text(str(os.getpid()))


def tell_surroundings(data: bytes) -> Parsed:
    """The environment, and whether a server at a port of this machine can be reached."""
    try:
        socket.create_connection(("127.0.0.1", int(data)), timeout=5).close()
        reached = True
    except OSError:
        reached = False
    return parse_text(json.dumps({"environment": dict(os.environ), "reached": reached}))


def forge(data: bytes) -> Parsed:
    """Answer in the parser's stead, as code that took its process over would."""
    from multiprocessing.connection import Connection

    Connection(int(sys.argv[1])).send_bytes(data)
    time.sleep(60)
    return parse_text("not reached")
