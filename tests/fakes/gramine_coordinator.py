"""``python -m tests.fakes.gramine_coordinator DIRECTORY ANCHOR``: a Coordinator on a test's hardware.

The program itself has no such door: where the processor is and who vouches for it is an argument of ``main``,
and no variable or option of the host's reaches it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from coordinator.adapters.attestation_files import AttestationDirectory
from coordinator.adapters.gramine import Hardware
from coordinator.main import main
from coordinator.settings import process_environment
from marbleops.attestation.anchors import Anchors

if __name__ == "__main__":
    directory, anchor = (Path(argument) for argument in sys.argv[1:])
    hardware = Hardware(
        directory=AttestationDirectory(directory), anchors=Anchors.simulation(anchor.read_bytes())
    )
    sys.exit(main(process_environment(), hardware=hardware))
