"""MarbleRun's client calls, one function per function of its Go SDK (marblerun-api-cli-k8s 1.7).

``session`` opens a connection that is attested, pinned or openly unverified; the other modules hold what can
be said on it. They work with MarbleRun's Coordinator (REST version 2) and with ours.
"""
