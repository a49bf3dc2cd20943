"""Networks in user mode: steps are connected, and do not reach the loopback device of the host."""

from __future__ import annotations

import socket

import pytest

from tests.ordinary_user import OrdinaryUser, UserLamina
from tests.rootless.conftest import write_context

_STEP = """
RUN ip route | grep -q default && \\
    ! nc -w 1 127.0.0.1 {port} </dev/null && \\
    ! grep -q @{name} /proc/net/unix && echo separate
"""


@pytest.mark.parametrize("forwarder", ["pasta", "slirp4netns"])
def test_steps_have_a_network_of_their_own(ranged: OrdinaryUser, forwarder: str) -> None:
    lamina = UserLamina(ranged)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abstract,
    ):
        name = f"lamina-test-{server.getsockname()[1]}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        folder = write_context(ranged, _STEP.format(port=server.getsockname()[1], name=name))
        env = {**lamina.environment(), "LAMINA_NETWORK": forwarder}
        assert "separate" in lamina.build(folder, env=env)


def test_an_unknown_network_is_refused(ranged: OrdinaryUser) -> None:
    lamina = UserLamina(ranged)
    folder = write_context(ranged, "RUN true\n")
    done = lamina("build", str(folder), env={**lamina.environment(), "LAMINA_NETWORK": "x"})
    assert done.code == 1
    assert 'invalid LAMINA_NETWORK "x"' in done.err
