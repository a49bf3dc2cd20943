"""TLS with certificates of the server and of both sides, made by openssl."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, PermissionDenied, Unavailable
from lamina.wire.address import dial
from lamina.wire.contract import ServerCall, StatusError, call_unary
from lamina.wire.listen import Listener
from lamina.wire.tls import client_context, server_context
from tests.wire.wire_service import HANDLERS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.certificates import Certificates


def say_subject(call: ServerCall) -> None:
    call.receive()
    call.send(call.peer.subject.encode())


TLS_HANDLERS = {**HANDLERS, "/a.B/Subject": say_subject}


def test_a_server_with_a_certificate(certificates: Certificates) -> None:
    context = server_context(certificates.server, certificates.server_key)
    with Listener("tcp://127.0.0.1:0", TLS_HANDLERS, tls=context) as listener:
        with dial(listener.address, client_context(certificates.ca)) as channel:
            large = bytes(range(256)) * 30000
            assert call_unary(channel, "/test.Service/Echo", large) == large
            assert call_unary(channel, "/a.B/Subject", b"") == b""
        trusting = client_context(certificates.ca)
        with pytest.raises(PermissionDenied, match="not trusted"):
            dial(listener.address, client_context(certificates.stranger))
        with pytest.raises(PermissionDenied, match="not trusted"):
            dial(listener.address, trusting, server_name="elsewhere")
        with dial(listener.address, trusting, server_name="localhost") as channel:
            assert call_unary(channel, "/test.Service/Echo", b"x") == b"x"


def test_both_show_certificates(certificates: Certificates) -> None:
    context = server_context(certificates.server, certificates.server_key, certificates.ca)
    with Listener("tcp://127.0.0.1:0", TLS_HANDLERS, tls=context) as listener:
        ours = client_context(certificates.ca, certificates.client, certificates.client_key)
        with dial(listener.address, ours) as channel:
            assert call_unary(channel, "/a.B/Subject", b"") == b"O=lamina,CN=client"
        strange = client_context(certificates.ca, certificates.stranger, certificates.stranger_key)
        for refused in (client_context(certificates.ca), strange):
            # In TLS 1.3, a client learns that it is refused only after its own handshake.
            with (
                pytest.raises((Unavailable, StatusError)),
                dial(listener.address, refused) as channel,
            ):
                call_unary(channel, "/a.B/Subject", b"")
        with dial(listener.address, ours) as channel:
            assert call_unary(channel, "/test.Service/Echo", b"on") == b"on"


def test_both_directions_at_full_speed(certificates: Certificates) -> None:
    context = server_context(certificates.server, certificates.server_key)
    with (
        Listener("tcp://127.0.0.1:0", TLS_HANDLERS, tls=context) as listener,
        dial(listener.address, client_context(certificates.ca)) as channel,
        channel.open("/test.Service/Echo") as call,
    ):
        messages = [bytes((number % 256,)) * 50_000 for number in range(400)]

        def send() -> None:
            for message in messages:
                call.send(message)
            call.finish_sending()

        sender = threading.Thread(target=send)
        sender.start()
        received = list(iter(call.receive, None))
        sender.join()
        assert received == messages


def test_plain_and_silent_clients_do_not_block_tls_clients(certificates: Certificates) -> None:
    context = server_context(certificates.server, certificates.server_key)
    with Listener("tcp://127.0.0.1:0", TLS_HANDLERS, tls=context) as listener:
        host, _, port = listener.address.removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(port))):  # and sends nothing
            with dial(listener.address) as plain, pytest.raises(StatusError):
                call_unary(plain, "/test.Service/Echo", b"x")
            with dial(listener.address, client_context(certificates.ca)) as channel:
                assert call_unary(channel, "/test.Service/Echo", b"on") == b"on"


def test_invalid_certificates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nonsense")
    with pytest.raises(InvalidInput):
        server_context(str(tmp_path / "x"), str(tmp_path / "x"))
    with pytest.raises(InvalidInput):
        client_context(str(tmp_path / "missing"))
