"""SIGSTRUCT in all its wrappings, and nothing that only looks like one."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marbleops.sigstruct.layout import SIZE, SigstructError, read_sigstruct
from marbleops.sigstruct.package import OCCLUM_LIBRARY, read_package

if TYPE_CHECKING:
    from pathlib import Path

# Signed once with a key of no use: MRENCLAVE 00..1f, ISVPRODID 258, ISVSVN 7.
PACKED = (
    "eNpjY2BgeMgAAowMMKAiqKbACOQmMEAwQob6QJ7x7E+h92ejLCtOe+1Xdb9bePCnidOxafN4Gl89+bWnIFV+Hctcj4kfGaX/"
    "vIt49imgSeTRVZbbVoWMr95U5or/F7qj9fYsh6CXwOKO2PfH2Z1ebL/Ns9hl2hnG1fXHZI5pb1iYdL3KPUR2T4PMopd5a097"
    "RPCdnLbgH7++oumyQOufU1s2VfxY2tA4c+9C3rzJgUd+7d5eJGx8vemXqrTFmSOTu0LrL27tZmoOlb1aVDpZY+VL25oXxx5d"
    "WdQd8WvRLNHUgMNbBeal/G7pfcF1aZ7b1KTDhlEpmxzkzKoKxPnZLrq62DzpfLU4PWbrJq9GVSH/NyZnNTS2W8inMnxqzWBg"
    "eMn8atWCqtVGAQvD1l9Vea10Z8Wp909b12cmC2bmOtotq2W3j5+ZL7K40i/ujH9I06zZbMH/DZfVv1uztVp547PLu0M6r5xi"
    "/91T+IxZ1bCJlzv2i9efxQmiHi80m11DObVFQ7vaXlaUr5/96seTKPXATwYqk/xfH9y16/S3vXP+vVz30yB6jdvPOcFWkZtP"
    "3WUGxsH3yfvlJARF57TnnUia01eZeNwhiqmwe5ut+Hz+bI+w64zWB3fwfRcMDb0dLLXFf7dVF5N43uIrPBIPGZ4qcp3V3r7o"
    "+unTfxNtlgVlOfY/FVR8E7zz4L8P+Zt3ybl9TrOtC930ut/2i/OkfeaBsjWvyx7MbF6689BWHSnXNUGyeuaXH+SWz3a5IDqF"
    "OWKp5YzPTNa1z/btndGlmsg5W71LyljHrbd89RMxrotO+ZoJpq6adveOGFkc2blX8B3DL5+vz+/eunzO6rCS7LWPvn3C9deM"
    "X57Z6reA7ef67xcuG5ikZezpv+UXl1zf+VV8+q2Fcku3RX21E/p8zW72b+4M1bfrv7y6Kc6n93/X3G0pMYeaWfga76xcPvnY"
    "xSP72I8eKNrCncqiyrFnyeMr+zdar1xvtfXGyY2r2WRLg7r2Sj48d99csGXLpXp2z4mrjxruabokr+p2XypKXWlqj8CKyQW6"
    "G87yOtVejvJjd5/7XoDhgfvpifZXvh+/MPlV7KElJ0t9tf61vPbbvHiv7fqTVfZK976n4ssfbIQyECMTMwsrGzsHJxc3Dy8f"
    "v4CgkLCIqJi4hKSUtIysnDwh7UyM7AyjYBSMAggAAJSFhjk="
)
SIGNED = zlib.decompress(base64.b64decode(PACKED))
UNIQUE_ID = bytes(range(32)).hex()


def elf(name: str, content: bytes, *, size: int | None = None, sections: int = 3) -> bytes:
    """Build the smallest 64-bit ELF file with one section *name*."""
    names = b"\0.shstrtab\0" + name.encode() + b"\0"
    at_names, at_content = 64, 64 + len(names)
    table = at_content + len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        2,
        62,
        1,
        0,
        0,
        table,
        0,
        64,
        0,
        0,
        64,
        sections,
        1,
    )
    row = struct.Struct("<IIQQQQIIQQ").pack
    rows = (
        row(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        + row(1, 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
        + row(11, 1, 0, 0, at_content, len(content) if size is None else size, 0, 0, 1, 0)
    )
    return header + names + content + rows


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("enclave.sig", SIGNED),
        ("ego-program", elf(".oeinfo", bytes(24) + SIGNED + bytes(8))),
        ("two-headers", elf(".oeinfo", SIGNED[:16] + bytes(5) + SIGNED)),
        ("libos.so", elf(".note.sgxmeta", b"note" + SIGNED)),
        (OCCLUM_LIBRARY, elf(".note.sgxmeta", b"note" + SIGNED)),
    ],
)
@pytest.mark.parametrize("by_folder", [False, True])
def test_every_wrapping_gives_the_same_identity(
    tmp_path: Path, file: str, content: bytes, by_folder: bool
) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    if by_folder and not (file.endswith(".sig") or file == OCCLUM_LIBRARY):
        with pytest.raises(SigstructError, match=r"neither a \.sig file"):
            read_package(tmp_path)
        return

    found = read_package(tmp_path if by_folder else place)

    assert (found.unique_id, found.product_id, found.security_version) == (UNIQUE_ID, 258, 7)
    assert len(bytes.fromhex(found.signer_id)) == 32


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has 1808 bytes, this has 0"),
        (SIGNED + b"x", "has 1808 bytes, this has 1809"),
        (bytes(SIZE), "does not begin"),
        (SIGNED[:516] + bytes(384) + SIGNED[900:], "not signed yet"),
        (SIGNED[:512] + b"\x05" + SIGNED[513:], "exponent 3"),
        (SIGNED[:960] + b"\xff" + SIGNED[961:], "damaged"),
        (elf(".text", SIGNED), "no section .oeinfo or .note.sgxmeta"),
        (elf(".oeinfo", bytes(4000)), "not signed yet"),
        (elf(".oeinfo", SIGNED[:-1]), "this has 1807"),
        (elf(".oeinfo", SIGNED, size=2**40), "larger than"),
        (elf(".oeinfo", SIGNED, size=60_000), "cut off"),
        (elf(".oeinfo", SIGNED, sections=4), "cut off"),
        (elf(".oeinfo", SIGNED)[:60], "not an ELF file"),
        (b"\x7fELF\x01\x01" + elf(".oeinfo", SIGNED)[6:], "not a 64-bit"),
    ],
)
def test_what_is_not_a_signed_enclave_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(SigstructError, match=words):
        read_package(tmp_path / "file")


def test_a_folder_with_two_signatures_is_ambiguous(tmp_path: Path) -> None:
    for name in ("a.sig", "b.sig"):
        (tmp_path / name).write_bytes(SIGNED)

    with pytest.raises(SigstructError, match=r"2 .sig files \(a.sig, b.sig\)"):
        read_package(tmp_path)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1027), st.integers(1, 255))
def test_no_signed_byte_can_change(at: int, flip: int) -> None:
    changed = bytearray(SIGNED)
    changed[at] ^= flip

    with pytest.raises(SigstructError):
        read_sigstruct(bytes(changed))
