"""Signatures, compared with those of botocore and with the example of Azure's documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lamina.objectstores.azure_signing import SharedKeySigner
from lamina.objectstores.s3_signing import AwsKeys, escaped_key, query_of, sign
from lamina.objectstores.service import Headers
from lamina.registry.url import parse_url
from lamina.system.cancel import Cancellation

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(
    KEYS.filter(lambda key: "//" not in key and not {".", ".."} & set(key.split("/"))),
    st.dictionaries(st.sampled_from(["prefix", "uploadId", "a b"]), KEYS, max_size=3),
    st.sampled_from(["", "a token/with+signs="]),
)
def test_signatures_are_those_of_botocore(key: str, query: dict[str, str], token: str) -> None:
    target = f"https://bucket.s3.eu-west-1.amazonaws.com/{escaped_key(key).lstrip('/')}"
    url = parse_url(f"{target}?{query_of(tuple(query.items()))}" if query else target)
    unsigned = Headers("PUT", url, (("x-amz-meta-a", "b  c"),), 5, "ab" * 32)
    made = dict(sign(unsigned, AwsKeys("AKID", "secret", token), "eu-west-1", NOW.timestamp()))

    request = AWSRequest("PUT", str(url), {"x-amz-meta-a": "b  c"}, data=b"")
    request.headers["X-Amz-Content-SHA256"] = "ab" * 32
    request.context["client_config"] = None
    auth: Any = S3SigV4Auth(Credentials("AKID", "secret", token or None), "s3", "eu-west-1")
    with (
        patch.object(S3SigV4Auth, "payload", lambda *_: "ab" * 32),
        patch("botocore.auth.get_current_datetime", lambda **_: NOW.replace(tzinfo=None)),
    ):
        auth.add_auth(request)
    assert made["Authorization"] == request.headers["Authorization"]


def test_the_key_of_an_account_must_be_base64() -> None:
    with pytest.raises(Exception, match="base64"):
        SharedKeySigner("account", "not base64!")


def test_a_shared_key_signs_the_resource_and_the_headers() -> None:
    """The string to sign is in "Authorize with Shared Key", the section on the canonical form."""
    signer = SharedKeySigner("myaccount", "a2V5")
    url = parse_url("https://myaccount.blob.core.windows.net/c?restype=container&comp=list")
    unsigned = Headers("GET", url, (("x-ms-version", "2021-12-02"),), 0, "")
    headers = dict(signer(unsigned, NOW.timestamp(), Cancellation()))
    assert headers["x-ms-date"] == "Wed, 04 Mar 2026 05:06:07 GMT"
    import hmac
    from base64 import b64encode

    text = (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Wed, 04 Mar 2026 05:06:07 GMT\n"
        "x-ms-version:2021-12-02\n/myaccount/c\ncomp:list\nrestype:container"
    )
    signature = b64encode(hmac.digest(b"key", text.encode(), "sha256")).decode()
    assert headers["Authorization"] == f"SharedKey myaccount:{signature}"
