"""Networks of steps: real plugins, in a separate network namespace of the daemon."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OWN_MACHINE = ("unshare", "--net")
LOOK = "RUN ip address; ip route; cat /etc/resolv.conf\n"


def configured(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "config.toml").write_text(f"[worker.oci]\n{text}")
    return ("--config", str(folder / "config.toml"))


def on_machine_of(daemon: DaemonProcess, *command: str) -> str:
    """The output of a command in the daemon's network."""
    done = subprocess.run(
        ["nsenter", "--net", "--target", str(daemon.process.pid), *command],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def resources(lamina: Lamina, text: str) -> list[dict[str, int]]:
    """The resource usage of the last build's steps whose names contain a text."""
    done = lamina("history", "inspect", "--format=json")
    assert done.code == 0, done.err
    steps = json.loads(done.out)["Steps"]
    return [step["Resources"] for step in steps if text in step["Name"]]


def seen(log: str, text: str) -> list[str]:
    return re.findall(rf"{text}", log)


def test_a_configured_bridge_network(tmp_path: Path, context: Callable[..., Path]) -> None:
    options = configured(
        tmp_path,
        'networkMode = "bridge"\ncniPoolSize = 1\nbridgeName = "lam0"\n'
        'bridgeSubnet = "10.98.0.0/24"\n',
    )
    granted = ("--allow-insecure-entitlement", "network.host")
    with DaemonProcess(tmp_path / "store", *options, *granted, within=OWN_MACHINE) as daemon:
        lamina = RemoteLamina(tmp_path, daemon.address)
        assert "worker.network=cni" in daemon.log
        log = lamina.build(context(LOOK + "RUN ping -c 1 10.98.0.1\n"))
        assert seen(log, r"inet 10\.98\.0\.\d+/24 .* eth0")
        assert seen(log, r"default via 10\.98\.0\.1 dev eth0")
        assert seen(log, r"inet 127\.0\.0\.1/8 .* lo")
        assert not seen(log, "lam0")
        pings = "RUN ping -c 2 -s 1000 10.98.0.1\nRUN ping -c 2 -s 1000 10.98.0.1; true\n"
        lamina.build(context(pings))
        for used in resources(lamina, "-s 1000"):  # in the same namespace, one after the other
            assert 2000 < used["BytesSent"] < 4000
            assert 2000 < used["BytesReceived"] < 4000
        none = lamina.build(context("RUN --network=none ip address; ip route\n"))
        assert not seen(none, "eth0|default via")
        host = lamina.build(context("RUN --network=host ip link\n"), "--allow", "network.host")
        assert seen(host, "lam0")
        assert "10.98.0." in on_machine_of(daemon, "iptables", "-t", "nat", "-S")
        watching = subprocess.Popen(
            ["nsenter", "--net", "--target", str(daemon.process.pid), "sleep", "60"]
        )
        try:  # it keeps the namespace when the daemon has ended
            assert daemon.stop() == 0
            seen_by = ["nsenter", "--net", "--target", str(watching.pid)]
            links = subprocess.check_output([*seen_by, "ip", "link"], text=True)
            rules = subprocess.check_output([*seen_by, "iptables", "-t", "nat", "-S"], text=True)
        finally:
            watching.kill()
            watching.wait()
        assert "lam0" not in links
        assert "10.98.0." not in rules
    assert not list((tmp_path / "store/networks").iterdir())


def cni_list(tmp_path: Path, *plugins: dict[str, object]) -> tuple[str, ...]:
    path = tmp_path / "net.conflist"
    document = {"cniVersion": "1.0.0", "name": "points", "plugins": list(plugins)}
    path.write_text(json.dumps(document))
    return configured(tmp_path, f'networkMode = "cni"\ncniConfigPath = "{path}"\n')


def addresses(tmp_path: Path) -> dict[str, object]:
    """Plugins that give each namespace an address in 10.97.0.0/24, and record it here."""
    ipam = {
        "type": "host-local",
        "dataDir": str(tmp_path / "addresses"),
        "ranges": [[{"subnet": "10.97.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"type": "ptp", "ipam": ipam}


def held(tmp_path: Path) -> set[str]:
    names = (path.name for path in (tmp_path / "addresses/points").iterdir())
    return {name for name in names if name.startswith("10.")}


def test_a_network_by_plugins(tmp_path: Path, context: Callable[..., Path]) -> None:
    options = cni_list(tmp_path, addresses(tmp_path), {"type": "tuning", "mtu": 1400})
    with DaemonProcess(tmp_path / "store", *options, within=OWN_MACHINE) as daemon:
        lamina = RemoteLamina(tmp_path, daemon.address)
        log = lamina.build(context(LOOK))
        assert seen(log, r"inet 10\.97\.0\.\d+/24 .* eth0")
        assert seen(log, r"eth0.* mtu 1400")
        assert held(tmp_path)
        assert daemon.stop() == 0
    assert not held(tmp_path)


def test_networks_of_a_killed_daemon_are_released(tmp_path: Path) -> None:
    options = cni_list(tmp_path, addresses(tmp_path))
    with DaemonProcess(tmp_path / "store", *options, within=OWN_MACHINE) as daemon:
        before = held(tmp_path)
        assert before
        daemon.kill()
    with DaemonProcess(tmp_path / "store", *options, within=OWN_MACHINE) as daemon:
        after = held(tmp_path)
        assert len(after) == len(before)
        assert not after & before
        assert daemon.stop() == 0
    assert not held(tmp_path)


def at_once(context: Callable[..., Path], amount: int) -> Path:
    """A build whose steps run concurrently, and write their addresses to `/NUMBER`."""
    look = "RUN ip address show eth0 > /own; sleep 1"
    stages = "".join(f"FROM base AS s{n}\n{look}; : {n}\n" for n in range(amount))
    copies = "".join(f"COPY --from=s{n} /own /{n}\n" for n in range(amount))
    return context(f"{stages}FROM scratch\n{copies}")


def test_steps_at_once_have_networks_apart(tmp_path: Path, context: Callable[..., Path]) -> None:
    options = cni_list(tmp_path, addresses(tmp_path))
    with DaemonProcess(tmp_path / "store", *options, within=OWN_MACHINE) as daemon:
        lamina = RemoteLamina(tmp_path, daemon.address)
        lamina.build(at_once(context, 3), "-o", str(tmp_path / "out"))
        texts = [(tmp_path / f"out/{number}").read_text() for number in range(3)]
        assert len({address for text in texts for address in seen(text, r"inet (\S+)")}) == 3
        assert daemon.stop() == 0
    assert not held(tmp_path)


def test_no_network_at_all(tmp_path: Path, context: Callable[..., Path]) -> None:
    options = configured(tmp_path, 'networkMode = "none"\n')
    with DaemonProcess(tmp_path / "store", *options) as daemon:
        log = RemoteLamina(tmp_path, daemon.address).build(context("RUN ls /sys/class/net\n"))
        assert seen(log, r"#\d+ [\d.]+ lo\n")
        assert not seen(log, r"#\d+ [\d.]+ e\w+\n")


def test_errors_of_a_plugin_are_shown(tmp_path: Path, context: Callable[..., Path]) -> None:
    """With a plugin that works only once, at the start."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("loopback", "ptp", "host-local"):
        (programs / name).symlink_to(f"/usr/lib/cni/{name}")
    moody = programs / "moody"
    moody.write_text(
        f"#!/bin/sh\ncat > /dev/null\n[ $CNI_COMMAND = DEL ] && exit 0\n"
        f"mkdir {tmp_path}/worked 2> /dev/null && echo '{{}}' && exit 0\n"
        """echo '{"code": 11, "msg": "no more", "details": "come back later"}'\nexit 1\n"""
    )
    moody.chmod(0o755)
    options = cni_list(tmp_path, addresses(tmp_path), {"type": "moody"})
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(f'{text}cniBinaryPath = "{programs}"\n')
    with DaemonProcess(tmp_path / "store", *options, within=OWN_MACHINE) as daemon:
        lamina = RemoteLamina(tmp_path, daemon.address)
        failed = lamina("build", str(at_once(context, 2)))
        assert failed.code == 1
        assert 'CNI plugin "moody" failed to ADD a network: no more come back later' in failed.err
        lamina.build(context("RUN ip address\n"))
        assert len(held(tmp_path)) == 1
        assert daemon.stop() == 0
    assert not held(tmp_path)


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [({"type": "nowhere"}, 'CNI plugin "nowhere" is not in'), ({"kind": "x"}, 'without a "type"')],
)
def test_a_daemon_does_not_start_if_its_network_cannot_be_set_up(
    tmp_path: Path, plugin: dict[str, object], complaint: str
) -> None:
    options = cni_list(tmp_path, plugin)
    done = Lamina(tmp_path / "store")("daemon", "--addr", f"unix://{tmp_path}/d.sock", *options)
    assert done.code == 1
    assert complaint in done.err
