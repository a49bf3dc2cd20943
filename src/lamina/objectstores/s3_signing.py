"""AWS Signature Version 4 for Amazon S3 ("Authenticating Requests (AWS Signature Version 4)")."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.objectstores.service import Headers
    from lamina.system.cancel import Cancellation

_ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
_SAFE = "-_.~"


class AwsKeys(NamedTuple):
    """An access key. `token` is "" for a permanent one."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        return f"AwsKeys({self.access_key})"


class S3Signer:
    """Signs requests. Implements `lamina.objectstores.service.Signer`.

    Args:
        keys: returns the current keys; None: requests are anonymous.
    """

    def __init__(self, region: str, keys: Callable[[Cancellation], AwsKeys | None]) -> None:
        self._region = region
        self._keys = keys

    def __call__(
        self, unsigned: Headers, now: float, cancel: Cancellation
    ) -> tuple[tuple[str, str], ...]:
        keys = self._keys(cancel)
        if keys is None:
            return unsigned.headers
        return sign(unsigned, keys, self._region, now)


def sign(unsigned: Headers, keys: AwsKeys, region: str, now: float) -> tuple[tuple[str, str], ...]:
    """The headers of a request with its signature."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    payload = unsigned.sha256 or (UNSIGNED if unsigned.length else sha256().hexdigest())
    headers = [
        *unsigned.headers,
        ("x-amz-content-sha256", payload),
        ("x-amz-date", stamp),
    ]
    if keys.token:
        headers.append(("x-amz-security-token", keys.token))
    signed = sorted(
        [(name.lower(), " ".join(value.split())) for name, value in headers]
        + [("host", unsigned.url.authority)]
    )
    names = ";".join(name for name, _ in signed)
    path, _, query = unsigned.url.target.partition("?")
    lines = "".join(f"{name}:{value}\n" for name, value in signed)
    request = "\n".join((unsigned.method, path, _canonical(query), lines, names, payload))
    text = "\n".join((_ALGORITHM, stamp, scope, sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.access_key}/{scope}"
    value = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return (*headers, ("Authorization", value))


def escaped_key(key: str) -> str:
    """An object's key in the path of a URL."""
    return quote(key, safe=_SAFE + "/")


def query_of(pairs: tuple[tuple[str, str], ...]) -> str:
    """A query string that is canonical, so that it need not be changed for the signature."""
    return "&".join(f"{quote(k, safe=_SAFE)}={quote(v, safe=_SAFE)}" for k, v in sorted(pairs))


def _canonical(query: str) -> str:
    if not query:
        return ""
    pairs = (part.partition("=") for part in query.split("&"))
    return query_of(tuple((unquote(name), unquote(value)) for name, _, value in pairs))
