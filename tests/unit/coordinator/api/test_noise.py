"""Failed handshakes in the log: at the level that was asked for, one line a second, the rest counted."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from structlog.testing import capture_logs

from coordinator.api.noise import HandshakeNoise


@pytest.mark.parametrize(("level", "shown"), [("error", "error"), ("warn", "warning"), ("info", "info")])
def test_a_flood_is_one_line_a_second(level: str, shown: str) -> None:
    """What comes within the second is counted in the next line; only OpenSSL's own words are shown."""
    noise = HandshakeNoise(level)
    error = SSL.Error([("SSL routines", "", "no shared cipher")])
    with capture_logs() as lines:
        for at in (10.0, 10.1, 10.9, 11.1):
            noise.heard(("192.0.2.7", 1234), error, at)
        noise.heard(None, SSL.Error(), 20.0)
    assert [(line["log_level"], line["peer"], line["reason"], line["more"]) for line in lines] == [
        (shown, "192.0.2.7", "no shared cipher", 0),
        (shown, "192.0.2.7", "no shared cipher", 2),
        (shown, "unknown", "Error", 0),
    ]
