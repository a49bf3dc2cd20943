from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled
from lamina.runtime import netfiles
from lamina.runtime.configured import ConfiguredRuntime
from lamina.runtime.contract import (
    Dns,
    ExitStatus,
    Process,
    RuntimeSettings,
    Sandbox,
)
from lamina.runtime.netfiles import write_network_files
from lamina.runtime.spec import make_spec
from lamina.runtime.users import Identity
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lamina.runtime.contract import Container, Pipes, RunningProcess, Terminal

DNS = Dns(("9.9.9.9",), ("edns0",), ("example.com", "b.c"))


class Recording:
    """A runtime that only records its calls, and how many ran concurrently."""

    def __init__(self) -> None:
        self.sandboxes: list[Sandbox] = []
        self.most = 0
        self.began = threading.Event()
        self.gate = threading.Event()  # after close(), it keeps the running ones
        self.gate.set()
        self._now = 0
        self._lock = threading.Lock()

    def run(self, process: Process, sandbox: Sandbox, **_: object) -> ExitStatus:
        with self._lock:
            self.sandboxes.append(sandbox)
            self._now += 1
            self.most = max(self.most, self._now)
        self.began.set()
        time.sleep(0.02)
        assert self.gate.wait(20)
        with self._lock:
            self._now -= 1
        return ExitStatus(0)

    def connect(self, process: Process, sandbox: Sandbox, **_: object) -> ExitStatus:
        return self.run(process, sandbox)

    def attach(self, process: Process, sandbox: Sandbox, **_: object) -> ExitStatus:
        return self.run(process, sandbox)

    def container(self, sandbox: Sandbox) -> AbstractContextManager[Container]:
        self.sandboxes.append(sandbox)
        return nullcontext(NoContainer())

    def hurry(self) -> None:
        return


class NoContainer:
    def start(self, process: Process, streams: Pipes | Terminal) -> RunningProcess:
        raise NotImplementedError


def drop(data: bytes) -> None:
    return


def run(runtime: ConfiguredRuntime, sandbox: Sandbox, cancel: Cancellation | None = None) -> None:
    runtime.run(
        Process(("x",)),
        sandbox,
        stdout=drop,
        stderr=drop,
        measured=lambda _: None,
        cancel=cancel or Cancellation(),
    )


def test_settings_of_steps() -> None:
    inner = Recording()
    runtime = ConfiguredRuntime(inner, RuntimeSettings("", DNS, "/parent", "profile"))
    run(runtime, Sandbox("/r"))
    run(runtime, Sandbox("/r", cgroup_parent="/own", insecure=True))
    runtime.connect(
        Process(("x",)), Sandbox("/r"), stdin=0, stdout=1, stderr=drop, cancel=Cancellation()
    )
    with runtime.container(Sandbox("/r")):
        pass
    first, second, third, fourth = inner.sandboxes
    assert (first.dns, first.cgroup_parent, first.apparmor_profile) == (DNS, "/parent", "profile")
    assert (second.cgroup_parent, second.apparmor_profile) == ("/own", "")
    assert third == fourth == first


def test_how_many_steps_run_at_a_time() -> None:
    inner = Recording()
    runtime = ConfiguredRuntime(inner, RuntimeSettings(parallelism=2))
    threads = [threading.Thread(target=run, args=(runtime, Sandbox("/"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inner.most, len(inner.sandboxes)) == (2, 8)


def test_a_step_that_waits_for_its_turn_can_be_cancelled() -> None:
    inner = Recording()
    runtime = ConfiguredRuntime(inner, RuntimeSettings(parallelism=1))
    cancel = Cancellation()
    cancel.cancel()
    inner.gate.clear()
    first = threading.Thread(target=run, args=(runtime, Sandbox("/")))
    first.start()
    assert inner.began.wait(20)
    with pytest.raises(Cancelled):
        run(runtime, Sandbox("/"), cancel)
    inner.gate.set()
    first.join()
    assert len(inner.sandboxes) == 1


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        (Dns(), "domain a\nnameserver\t1.1.1.1\noptions x\n"),
        (
            Dns(nameservers=("9.9.9.9", "8.8.8.8")),
            "domain a\noptions x\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n",
        ),
        (DNS, "nameserver 9.9.9.9\nsearch example.com b.c\noptions edns0\n"),
    ],
)
def test_resolv_conf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dns: Dns, expected: str
) -> None:
    host = tmp_path / "host"
    host.write_text("domain a\nnameserver\t1.1.1.1\noptions x\n")
    monkeypatch.setattr(netfiles, "_RESOLV", str(host))
    write_network_files(str(tmp_path), Sandbox("/", dns=dns))
    assert (tmp_path / "host").read_text() == expected


def test_the_apparmor_profile_reaches_the_runtime() -> None:
    def process(sandbox: Sandbox) -> dict[str, object]:
        spec = make_spec(
            Process(("x",)), sandbox, Identity(0, 0, (), "/root"), files=(), cgroup="/c"
        )
        found: dict[str, object] = spec["process"]
        return found

    assert "apparmorProfile" not in process(Sandbox("/"))
    assert process(Sandbox("/", apparmor_profile="p"))["apparmorProfile"] == "p"
