"""MarbleRun's ``status HOST:PORT``: where a Coordinator stands."""

from __future__ import annotations

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.sessions import cached_session
from marbleops.cli.output import printer, visible


def coordinator_status(host: str) -> int:
    """Print the state's number and meaning: 1 recovery, 2 waits for a manifest, 3 serves marbles."""
    from marbleops.wire.marblerun.manifests import get_status

    with cached_session(host) as session:
        found = get_status(session)
    out = printer()
    out.document({"code": found.code, "message": found.message})
    out.line(f"{found.code}: {visible(found.message)}")
    return Exit.OK
