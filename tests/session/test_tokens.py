"""Tokens of a client and the keys that prove them, through a channel."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import pytest

from lamina.api import auth
from lamina.api.message import unary
from lamina.base.errors import Corrupt, PermissionDenied
from lamina.session.ed25519 import public_key, sign
from lamina.session.mirrors import Mirrors
from lamina.session.remote_session import Identity, RemoteSession, Token
from lamina.session.tokens import is_anonymous_key, token_service
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError, call_unary
from lamina.wire.protobuf import Field, Kind, Schema, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lamina.wire.contract import Channel, Handler

    Connect = Callable[[Mapping[str, Handler]], Channel]


class Client:
    """Implements `Tokens`; the token is the reversed host name."""

    def __init__(self) -> None:
        self.asked: list[auth.FetchTokenRequest] = []

    def seed(self, host: str, /) -> bytes | None:
        return host[::-1].encode() if host != "none.example" else None

    def fetch(self, request: auth.FetchTokenRequest, cancel: Cancellation, /) -> Token:
        self.asked.append(request)
        if request.host == "closed.example":
            raise PermissionDenied("not for you", hint="log in")
        return Token("two\nlines" if request.host == "bad.example" else "token", 0.5)


def remote(channel: Channel, tmp_path: Path) -> RemoteSession:
    mirrors = Mirrors(str(tmp_path / "mirrors"))
    return RemoteSession(Identity("s"), channel, mirrors, str(tmp_path))


def test_tokens(connect: Connect, tmp_path: Path) -> None:
    client = Client()
    session = remote(connect(token_service(client)), tmp_path)
    request = auth.FetchTokenRequest("us", "a.example", "https://t", "s", ("x:y:pull", "z"))
    assert session.token(request, Cancellation()) == Token("token", 1.0)
    assert client.asked == [request]
    with pytest.raises(
        PermissionDenied, match=r"closed.example from the client: not for you \(log in\)"
    ):
        session.token(auth.FetchTokenRequest(host="closed.example"), Cancellation())
    with pytest.raises(Corrupt, match="invalid token"):
        session.token(auth.FetchTokenRequest(host="bad.example"), Cancellation())


def test_keys_are_of_a_host_and_a_salt(connect: Connect, tmp_path: Path) -> None:
    session = remote(connect(token_service(Client())), tmp_path)
    hosts, salts = ("a.example", "b.example"), (b"", b"salt", b"s" * 32)
    keys = [session.token_authority(host, salt) for host in hosts for salt in salts]
    assert len(set(keys)) == 6
    assert session.token_authority("a.example", b"salt") == keys[1]
    assert session.token_authority("none.example", b"salt") is None
    assert keys[1] is not None
    assert not is_anonymous_key(keys[1], b"salt")


def test_a_key_is_proved(connect: Connect, tmp_path: Path) -> None:
    channel = connect(token_service(Client()))
    key = remote(channel, tmp_path).token_authority("a.example", b"salt")
    request = auth.VerifyTokenAuthorityRequest("a.example", b"any payload", b"salt")
    answer = unary(
        channel,
        auth.VERIFY_TOKEN_AUTHORITY,
        request,
        auth.VerifyTokenAuthorityResponse,
        auth.SCHEMA,
    )
    seed = hmac.digest(b"salt", b"elpmaxe.a", "sha256")
    assert key == public_key(seed)
    assert answer.signed == sign(seed, b"any payload") + b"any payload"
    unset = auth.VerifyTokenAuthorityRequest("none.example", b"any payload", b"salt")
    with pytest.raises(StatusError) as failed:
        unary(
            channel,
            auth.VERIFY_TOKEN_AUTHORITY,
            unset,
            auth.VerifyTokenAuthorityResponse,
            auth.SCHEMA,
        )
    assert failed.value.code is Code.UNAVAILABLE


def test_names_that_are_not_text_are_refused(connect: Connect) -> None:
    channel = connect(token_service(Client()))
    raw: Schema = {auth.FetchTokenRequest: (Field(2, "host", Kind.BYTES),)}
    request = encode(auth.FetchTokenRequest(host=b"\xff"), raw)  # type: ignore[arg-type]  # no text: that is the case
    with pytest.raises(StatusError) as failed:
        call_unary(channel, auth.FETCH_TOKEN, request)
    assert failed.value.code is Code.INVALID_ARGUMENT


def test_the_key_of_clients_without_a_login() -> None:
    key = public_key(hmac.digest(b"salt", b"", "sha256"))
    assert is_anonymous_key(key, b"salt")
    assert not is_anonymous_key(key, b"pepper")
