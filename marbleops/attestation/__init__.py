"""Remote attestation: evidence in, a typed verdict out (attestation.md).

Nothing is re-exported here on purpose: importing the verifier must never pull in ``platform``, which makes
evidence.
"""
