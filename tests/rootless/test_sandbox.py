"""What a step can do and see, as root and without: the promises of `docs/security.md`."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.ordinary_user import UserLamina
from tests.rootless.conftest import write_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.commands import Lamina
    from tests.ordinary_user import OrdinaryUser

_CAPABILITIES = 0xA80425FB
"""Docker's default capabilities, by their numbers in capability.h."""
_STEP = r"""
RUN <<END
set -u
echo "fact pid $$"
grep -E '^(CapBnd|CapEff|CapAmb|Seccomp|NoNewPrivs):' /proc/self/status | sed 's/^/fact /; s/://'
for kind in user mnt pid ipc uts cgroup net; do
    echo "fact ns-$kind $(readlink /proc/self/ns/$kind)"
done
refused() {
    name=$1; shift
    if "$@" >/dev/null 2>&1; then echo "fact $name done"; else echo "fact $name refused"; fi
}
in_cgroups() {
    for place in /sys/fs/cgroup /sys/fs/cgroup/memory; do
        grep -q " $place cgroup" /proc/mounts && mkdir $place/made && return
    done
    false
}
refused mount mount -t tmpfs none /tmp
refused unshare unshare -m true
refused sysctl sh -c 'echo 1 > /proc/sys/kernel/panic'
refused sysrq sh -c 'echo h > /proc/sysrq-trigger'
refused kcore sh -c 'test -s /proc/kcore'
refused keys sh -c 'test -s /proc/keys'
refused firmware sh -c 'ls /sys/firmware | grep .'
refused sysfs sh -c 'echo 1 > /sys/kernel/uevent_seqnum'
refused disk sh -c 'mknod /disk b 254 0 && dd if=/disk of=/dev/null count=1'
refused cgroup in_cgroups
refused other-processes sh -c 'ls /proc | grep -x @PID@'
refused abstract-sockets grep @@NAME@ /proc/net/unix
refused host-files ls @STORE@
END
"""


@pytest.fixture(params=["root", "ranges", "single"])
def builder(
    request: pytest.FixtureRequest, users: dict[str, OrdinaryUser], lamina: Lamina
) -> Iterator[tuple[Lamina, OrdinaryUser]]:
    kind = str(request.param)
    if kind == "root":
        yield lamina, users["ranges"]
    else:
        yield UserLamina(users[kind], "audited"), users[kind]


def facts(builder: tuple[Lamina, OrdinaryUser], name: str, *options: str) -> dict[str, str]:
    lamina, user = builder
    text = _STEP.replace("@PID@", str(os.getpid())).replace("@STORE@", str(lamina.root))
    folder = write_context(user, text.replace("@NAME@", name))
    log = lamina.build(folder, "--no-cache", *options)
    lines = [line.partition("fact ")[2].split() for line in log.splitlines() if " fact " in line]
    return {words[0]: words[1] for words in lines if len(words) == 2}


def test_what_a_step_can_do(builder: tuple[Lamina, OrdinaryUser]) -> None:
    found = facts(builder, "none")
    assert int(found["CapBnd"], 16) == int(found["CapEff"], 16)
    assert int(found["CapEff"], 16) & ~_CAPABILITIES == 0
    assert int(found["CapAmb"], 16) == 0
    assert found["Seccomp"] == "2"
    assert found["NoNewPrivs"] == "0"  # as Docker and BuildKit: `su` and `ping` must work
    for name in (
        *("mount", "unshare", "sysctl", "sysrq", "kcore", "keys", "firmware", "sysfs", "disk"),
        *("cgroup", "other-processes", "host-files"),
    ):
        assert found[name] == "refused", name


def test_which_namespaces_are_separate(builder: tuple[Lamina, OrdinaryUser]) -> None:
    found = facts(builder, "none")
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "ipc", "uts")}
    for kind, name in own.items():
        assert found[f"ns-{kind}"] != name, kind
    rootless = isinstance(builder[0], UserLamina)
    assert (found["ns-user"] != os.readlink("/proc/self/ns/user")) == rootless
    assert found["ns-net"] == os.readlink("/proc/self/ns/net")


def test_abstract_sockets_belong_to_the_network(builder: tuple[Lamina, OrdinaryUser]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        name = f"lamina-{os.urandom(4).hex()}"
        server.bind(f"\0{name}")
        server.listen()
        assert facts(builder, name)["abstract-sockets"] == "done"  # the host's network
        assert facts(builder, name, "--network=none")["abstract-sockets"] == "refused"
