"""``marbleops demo``: real processes, real sockets, nine scenes."""
