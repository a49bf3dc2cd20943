from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lamina.session.ed25519 import public_key, sign

if TYPE_CHECKING:
    from pathlib import Path

# The prefix of RFC 8410 for the 32 bytes of an Ed25519 key.
_SPKI = bytes.fromhex("302a300506032b6570032100")
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


@pytest.mark.parametrize(
    ("seed", "key", "message", "signature"),
    [  # RFC 8032, section 7.1, tests 1 and 3
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3"
            "9701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f"
            "760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_vectors(seed: str, key: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == key
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


@pytest.mark.parametrize("seed", [bytes(32), b"\xff" * 32, *(bytes([n]) * 32 for n in range(1, 9))])
def test_openssl_makes_and_takes_the_same(seed: bytes, tmp_path: Path) -> None:
    message = seed * 3 + b"m"
    (tmp_path / "key").write_bytes(_PKCS8 + seed)
    (tmp_path / "public").write_bytes(_SPKI + public_key(seed))
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "signature").write_bytes(sign(seed, message))

    def openssl(*args: str) -> bytes:
        done = subprocess.run(["openssl", *args], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = openssl("pkey", "-inform", "DER", "-in", "key", "-pubout", "-outform", "DER")
    assert made == _SPKI + public_key(seed)
    keys = ("-pubin", "-keyform", "DER", "-inkey", "public")
    files = ("-rawin", "-in", "message", "-sigfile", "signature")
    openssl("pkeyutl", "-verify", *keys, *files)


def test_a_seed_has_one_length() -> None:
    with pytest.raises(ValueError, match="32"):
        public_key(b"short")
