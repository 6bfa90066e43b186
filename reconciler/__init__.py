"""From git push to enforced manifest: fetch, verify, validate, plan, apply, attest, status.

The reconciler is not trusted: the Coordinator judges the signed Git objects itself. Read ``pipeline`` first.
"""
