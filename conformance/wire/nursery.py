"""Starts our Coordinator many times quickly: imports it once, and forks a process for each line that comes in.

Each line is JSON: the environment, and the file to log to. The answer is the process's number. What runs is
``coordinator.main`` as ``python -m coordinator`` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from coordinator.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping


def serve() -> None:
    """Fork until standard input ends; ended children leave nothing behind."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            run(order)
        print(child, flush=True)


def run(order: Mapping[str, Any]) -> NoReturn:
    """Become a Coordinator."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, file in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(file, number)
    code = main(order["environ"])
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
