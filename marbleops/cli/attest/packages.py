"""The packages of a manifest, as the reference values that enclaves are appraised with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.attestation.appraisal import ReferenceValues
from marbleops.cli.files import read_bytes
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.limits import MAX_MANIFEST_BYTES
from marbleops.manifest.parse import Strictness, parse

if TYPE_CHECKING:
    from pathlib import Path


def read_packages(file: Path) -> dict[str, ReferenceValues]:
    """Read the packages of the manifest in *file*, as a MarbleRun Coordinator reads it.

    Raises:
        UsageProblem: the file cannot be read.
        ManifestError: it is no manifest.
    """
    try:
        manifest = parse(read_bytes(file, limit=MAX_MANIFEST_BYTES), strictness=Strictness.MARBLERUN)
    except ManifestError as error:
        error.add_note(str(file))
        raise
    return {
        name: ReferenceValues(
            debug=package.debug,
            unique_id=package.unique_id,
            signer_id=package.signer_id,
            product_id=package.product_id,
            security_version=package.security_version,
            accepted_tcb_statuses=package.accepted_tcb_statuses,
            accepted_advisories=package.accepted_advisories,
        )
        for name, package in manifest.packages.items()
    }
