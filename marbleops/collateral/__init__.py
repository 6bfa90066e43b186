"""Collateral where it comes from: sources on the network, a cache on disk, bundles for sites without either.

The verifier (``marbleops.attestation``) never comes here: it is handed documents and judges them. Nothing in
this package is trusted for anything but availability, with one exception: ``floors``, which remembers what a
host may not take back (attestation.md 2.6).
"""
