"""Functions for hashes, and for decryption with RSA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.functions.define import fixed, number, open_ended, text, whole_argument
from lamina.bake.values.value import Value, string

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.bake.evaluate.scope import Function


def _hash(name: str) -> Function:
    def call(value: Value) -> Value:
        import hashlib

        digest = hashlib.new(name, value.text.encode(), usedforsecurity=False)
        return string(digest.hexdigest())

    return fixed(call, text("string"))


def _bcrypt(values: Sequence[Value]) -> Value:
    if len(values) > 2:
        raise ValueError("one or two arguments are needed")
    from importlib import import_module

    cost = whole_argument(values[1], "cost") if len(values) > 1 else 10
    try:
        bcrypt = import_module("bcrypt")
    except ImportError:
        raise ValueError("the Python package bcrypt is not installed") from None
    salt = bcrypt.gensalt(cost, b"2a")
    return string(bcrypt.hashpw(values[0].text.encode(), salt).decode())


def _rsa_decrypt(ciphertext: Value, key: Value) -> Value:
    from base64 import b64decode

    from lamina.bake.functions.rsa import decrypt, parse_private_key

    try:
        data = b64decode(ciphertext.text, validate=True)
    except ValueError:
        raise ValueError("the ciphertext is not Base64") from None
    try:
        return string(decrypt(data, parse_private_key(key.text)).decode())
    except UnicodeDecodeError:
        raise ValueError("the decrypted bytes are not UTF-8") from None


FUNCTIONS = {
    "bcrypt": open_ended(_bcrypt, text("string"), rest=number("cost")),
    "md5": _hash("md5"),
    "rsadecrypt": fixed(_rsa_decrypt, text("ciphertext"), text("privatekey")),
    "sha1": _hash("sha1"),
    "sha256": _hash("sha256"),
    "sha512": _hash("sha512"),
}
