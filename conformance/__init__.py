"""Conformance cases as data, built deterministically from code, and the smith that makes Git objects for them."""
