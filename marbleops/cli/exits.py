"""What a command's exit code means: the one table, also printed by ``marbleops --help``."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every ``marbleops`` command. Numbers are never given a second meaning."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED = 3
    TIMEOUT = 4
    UNREACHABLE = 5
    UNTRUSTED = 6
    NOT_PINNED = 7
    CHANGES_READY = 10
    CHANGES_WAITING = 11
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done, or nothing to do",
    Exit.INTERNAL: "an unexpected error; nothing is known about the outcome",
    Exit.USAGE: "the command line, a file or the repository is not usable as given",
    Exit.REFUSED: "refused: the manifest or the change breaks a rule; the reasons are printed",
    Exit.TIMEOUT: "gave up waiting",
    Exit.UNREACHABLE: "nobody answers at the address",
    Exit.UNTRUSTED: "not genuine, or not the deployment you know (fork, rollback, another root)",
    Exit.NOT_PINNED: "genuine, but nobody said which deployment to expect: not a check yet",
    Exit.CHANGES_READY: "plan: there are changes and they may be applied now",
    Exit.CHANGES_WAITING: "plan: there are changes and they wait for approvals",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}


def exit_table() -> list[tuple[str, str]]:
    """Return (number, meaning) rows for the help page."""
    return [(str(int(code)), MEANINGS[code]) for code in Exit]
