"""Real containers, on both runtimes. Run in a child, which owns the mount namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DRIVER = """
import json, os, sys, threading
from lamina.base.errors import LaminaError
from lamina.runtime.cgroups import hide_hybrid_hierarchy
from lamina.runtime.contract import *
from lamina.runtime.runner import OciRunner, find_runtime
from lamina.system.cancel import Cancellation
from lamina.system.mount import private_namespace
private_namespace()
hide_hybrid_hierarchy()
request = json.load(sys.stdin)
out, err = [], []
cancel = Cancellation()
if request.get("cancel_after"):
    threading.Timer(request["cancel_after"], cancel.cancel).start()
runner = OciRunner(find_runtime(request["runtime"]), request["scratch"])
process = Process(tuple(request["args"]), ("PATH=/bin", *request.get("env", ())),
    request.get("cwd", "/"), request.get("user", ""))
sandbox = Sandbox(request["rootfs"], tuple(BindMount(*m) for m in request.get("binds", ())),
    network=Network(request.get("network", "default")), insecure=request.get("insecure", False),
    extra_hosts=(("db", "10.0.0.9"),), hostname=request.get("hostname", ""))
try:
    status = runner.run(process, sandbox, stdout=out.append, stderr=err.append, cancel=cancel)
    answer = {"code": status.code}
except LaminaError as error:
    answer = {"error": error.kind, "reason": error.reason}
answer["out"] = b"".join(out).decode("latin-1")
answer["err"] = b"".join(err).decode("latin-1")
answer["scratch"] = os.listdir(request["scratch"])
json.dump(answer, sys.stdout)
"""


@pytest.fixture(params=["crun", "runc"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    rootfs = tmp_path / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin" / "busybox")
    for name in ("sh", "cat", "id", "grep", "sleep", "ls", "hostname", "pwd", "seq", "mount"):
        (rootfs / "bin" / name).symlink_to("busybox")
    (tmp_path / "scratch").mkdir()

    def go(*args: str, **options: Any) -> dict[str, Any]:
        body = {
            "runtime": request.param,
            "scratch": str(tmp_path / "scratch"),
            "rootfs": str(rootfs),
            "args": args,
            **options,
        }
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(body).encode(),
            capture_output=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    go.rootfs = rootfs  # type: ignore[attr-defined]  # the tests look into it
    return go


def test_exit_status_and_both_streams(run: Any) -> None:
    answer = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer["code"], answer["out"], answer["err"]) == (7, "out\n", "err\n")
    assert answer["scratch"] in ([], ["runtime"])


def test_no_output_is_lost(run: Any) -> None:
    answer = run("seq", "1", "200000")
    assert answer["out"] == "".join(f"{n}\n" for n in range(1, 200001))


def test_a_signal_is_128_and_its_number(run: Any) -> None:
    assert run("sh", "-c", "sh -c 'kill -9 $$'; exit $?")["code"] == 137


def test_environment_folder_and_user(run: Any) -> None:
    rootfs = run.rootfs
    (rootfs / "etc").mkdir()
    (rootfs / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nme:x:7:8::/home/me:\n")
    (rootfs / "etc" / "group").write_text("root:x:0:\nmine:x:8:\nmore:x:9:me\n")
    (rootfs / "work").mkdir()
    answer = run("sh", "-c", "id; pwd; echo $A $HOME", env=["A=b c"], cwd="/work", user="me")
    assert "uid=7(me) gid=8(mine) groups=8(mine),9(more)" in answer["out"]
    assert answer["out"].endswith("/work\nb c /home/me\n")


def test_an_unknown_user_is_said_so(run: Any) -> None:
    answer = run("id", user="nobody-here")
    assert answer["error"] == "not found"
    assert "nobody-here" in answer["reason"]


def test_an_unknown_command_is_said_so(run: Any) -> None:
    answer = run("no-such-command")
    assert answer["error"] == "not found"
    assert "no-such-command" in answer["reason"]


def test_confinement_is_docker_s(run: Any) -> None:
    answer = run("grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status")
    assert answer["out"] == "CapEff:\t00000000a80425fb\nSeccomp:\t2\n"
    assert run("sh", "-c", "mount -t tmpfs t /bin")["code"] != 0
    assert run("sh", "-c", "echo 1 > /proc/sys/kernel/panic")["code"] != 0
    assert run("sh", "-c", "cat /proc/kcore | cat")["out"] == ""


def test_insecure_lifts_it(run: Any) -> None:
    assert (
        run("sh", "-c", "mount -t tmpfs t /mnt 2>&1 || mount -t tmpfs t /bin", insecure=True)[
            "code"
        ]
        == 0
    )


def test_no_network_is_a_loopback_device_alone(run: Any) -> None:
    answer = run("ls", "/sys/class/net", network="none")
    assert answer["out"].split() == ["lo"]


def test_names_are_supplied_and_not_left_behind(run: Any) -> None:
    answer = run("sh", "-c", "cat /etc/hosts /etc/resolv.conf; hostname", hostname="box")
    assert "10.0.0.9\tdb" in answer["out"]
    assert answer["out"].endswith("box\n")
    assert sorted(os.listdir(run.rootfs)) == ["bin"]


def test_binds_are_there_and_their_stubs_go(run: Any, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    binds = [[str(tmp_path / "shared"), "/cache/deep", False]]
    answer = run("sh", "-c", "echo x > /cache/deep/file", binds=binds)
    assert answer["code"] == 0
    assert (tmp_path / "shared" / "file").read_text() == "x\n"
    assert sorted(os.listdir(run.rootfs)) == ["bin"]


def test_cancelling_leaves_no_process(run: Any) -> None:
    answer = run("sleep", "54321", cancel_after=0.3)
    assert answer["error"] == "cancelled"
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 54321" not in listed.stdout
