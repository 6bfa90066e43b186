"""The phases of a Coordinator and the ways between them, as a table (marblerun-core section 2).

Numbers and texts are MarbleRun's: its command line and Kubernetes probes read them.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType


class Phase(IntEnum):
    """Where the Coordinator stands. The numbers are on the wire."""

    RECOVERY = 1
    ACCEPTING_MANIFEST = 2
    ACCEPTING_MARBLES = 3


TRANSITIONS = MappingProxyType(
    {
        Phase.RECOVERY: frozenset({Phase.ACCEPTING_MANIFEST, Phase.ACCEPTING_MARBLES}),
        Phase.ACCEPTING_MANIFEST: frozenset({Phase.ACCEPTING_MARBLES}),
        Phase.ACCEPTING_MARBLES: frozenset({Phase.ACCEPTING_MARBLES}),
    }
)

MESSAGES = MappingProxyType(
    {
        Phase.RECOVERY: (
            "Coordinator is in recovery mode. Either upload a key to unseal the saved state, "
            "or set a new manifest. For more information on how to proceed, consult the documentation."
        ),
        Phase.ACCEPTING_MANIFEST: "Coordinator is ready to accept a manifest.",
        Phase.ACCEPTING_MARBLES: "Coordinator is running correctly and ready to accept marbles.",
    }
)
