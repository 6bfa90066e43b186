"""``marbleops attest``: verify evidence, explain it, look ahead, and look at the machine."""
