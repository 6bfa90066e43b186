"""Evidence and verdicts in plain words: what it is, what was checked, what is missing, what to do.

Nothing here decides anything: the verdict is the verifier's, and what is explained of evidence that does not
verify proves nothing. Pure, like the verifier: bytes and times in, values for a page out.
"""
