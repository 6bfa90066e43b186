"""Addresses of Coordinators."""

from __future__ import annotations

import pytest

from marbleops.wire.connection import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", 4433),
        ("localhost:1", "localhost", 1),
        ("[::1]:2001", "::1", 2001),
        ("[::1]", "::1", 4433),
        ("::1", "::1", 4433),
        ("10.0.0.1:65535", "10.0.0.1", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    """Every usual way to write an address is read, and written so that it is read again."""
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:0", "a:65536", "a:-1", "a:x", "a:\u0661", "[]:1"])
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused with the form that is expected."""
    with pytest.raises(ValueError, match="expected HOST"):
        Address.parse(text)
