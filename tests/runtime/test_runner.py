"""Real containers, with both runtimes, in a child process that has the mount namespace."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRIVER = """
import glob, json, os, sys, threading
from lamina.base.errors import LaminaError
from lamina.runtime.cdi import read_spec
from lamina.runtime.cgroups import hide_hybrid_hierarchy
from lamina.runtime.contract import *
from lamina.runtime.binary import find_runtime
from lamina.runtime.runner import OciRunner
from lamina.system.cancel import Cancellation
from lamina.system.mount import mount, private_namespace
private_namespace()
hide_hybrid_hierarchy()
request = json.load(sys.stdin)
if request.get("hierarchy"):
    os.system("umount -R /sys/fs/cgroup")
    if request["hierarchy"] == "v2":
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
out, err, usages = [], [], []
cancel = Cancellation()
if request.get("cancel_after"):
    threading.Timer(request["cancel_after"], cancel.cancel).start()
if request.get("killed_after"):
    threading.Timer(request["killed_after"], os.kill, (os.getpid(), 9)).start()
runner = OciRunner(
    find_runtime(request["runtime"]), request["scratch"], grace=request.get("grace", 10.0))
if request.get("hurry_after"):
    threading.Timer(request["hurry_after"], runner.hurry).start()
process = Process(tuple(request["args"]), ("PATH=/bin", *request.get("env", ())),
    request.get("cwd", "/"), request.get("user", ""))
sandbox = Sandbox(request["rootfs"], tuple(BindMount(*m) for m in request.get("binds", ())),
    network=Network(request.get("network", "default")), insecure=request.get("insecure", False),
    extra_hosts=(("db", "10.0.0.9"),), hostname=request.get("hostname", ""),
    readonly=request.get("readonly", False),
    rlimits=tuple(Rlimit(*limit) for limit in request.get("rlimits", ())),
    resources=Resources(memory=request.get("memory", 0)),
    cgroup_parent=request.get("cgroup_parent", ""))
sandbox = sandbox._replace(devices=tuple(edit for path in request.get("specs", ())
    for device in read_spec(path) for edit in device.edits))
sandbox = sandbox._replace(mounts=(*sandbox.mounts,
    *(TmpfsMount(*mount) for mount in request.get("tmpfs", ()))))
try:
    status = runner.run(process, sandbox, stdout=out.append, stderr=err.append,
        measured=usages.append, cancel=cancel)
    answer = {"code": status.code, "oom": status.out_of_memory}
except LaminaError as error:
    answer = {"error": error.kind, "reason": error.reason}
answer["out"] = b"".join(out).decode("latin-1")
answer["err"] = b"".join(err).decode("latin-1")
answer["cgroups"] = glob.glob(f"/sys/fs/cgroup/**/*-{os.getpid()}-*", recursive=True)
answer["usages"] = [usage._asdict() for usage in usages]
answer["scratch"] = os.listdir(request["scratch"])
json.dump(answer, sys.stdout)
"""


@pytest.fixture(params=["crun", "runc"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    rootfs = tmp_path / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin" / "busybox")
    for name in (
        "sh",
        "cat",
        "id",
        "grep",
        "sleep",
        "ls",
        "hostname",
        "pwd",
        "seq",
        "mount",
        "dd",
        "df",
    ):
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
            check="killed_after" not in options,
            timeout=60,
        )
        answer: dict[str, Any] = json.loads(done.stdout or b"{}")
        assert answer.get("cgroups", []) == []
        return answer

    go.rootfs = rootfs  # type: ignore[attr-defined]  # the tests look into it
    return go


def test_exit_status_and_both_streams(run: Any) -> None:
    answer = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer["code"], answer["out"], answer["err"]) == (7, "out\n", "err\n")
    assert [name for name in answer["scratch"] if name.startswith("lamina")] == []


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


def test_an_unknown_user(run: Any) -> None:
    answer = run("id", user="nobody-here")
    assert answer["error"] == "not found"
    assert "nobody-here" in answer["reason"]


def test_an_unknown_command(run: Any) -> None:
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


def test_network_none_has_only_a_loopback_device(run: Any) -> None:
    answer = run("ls", "/sys/class/net", network="none")
    assert answer["out"].split() == ["lo"]


def test_names_are_supplied_and_not_left_behind(run: Any) -> None:
    answer = run("sh", "-c", "cat /etc/hosts /etc/resolv.conf; hostname", hostname="box")
    assert "10.0.0.9\tdb" in answer["out"]
    assert answer["out"].endswith("box\n")
    assert sorted(os.listdir(run.rootfs)) == ["bin", "dev", "proc", "sys"]


def test_binds_are_there_and_their_stubs_go(run: Any, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    binds = [[str(tmp_path / "shared"), "/cache/deep", False]]
    answer = run("sh", "-c", "echo x > /cache/deep/file", binds=binds)
    assert answer["code"] == 0
    assert (tmp_path / "shared" / "file").read_text() == "x\n"
    assert sorted(os.listdir(run.rootfs)) == ["bin", "dev", "proc", "sys"]


def test_a_link_in_place_of_a_stub_is_not_followed(run: Any, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "hosts").touch()
    os.utime(tmp_path / "victim", (1, 1))
    command = f"mv /etc /moved && ln -s {tmp_path}/victim /etc"
    (run.rootfs / "etc").mkdir()
    assert run("sh", "-c", command)["code"] == 0
    assert os.listdir(tmp_path / "victim") == ["hosts"]
    assert (tmp_path / "victim").stat().st_mtime == 1


def test_a_folder_s_times_survive_its_stubs(run: Any) -> None:
    (run.rootfs / "etc").mkdir()
    os.utime(run.rootfs / "etc", ns=(5, 1_234_567_891))
    run("pwd")
    assert (run.rootfs / "etc").stat().st_mtime_ns == 1_234_567_891
    run("sh", "-c", "sleep 0.05; echo > /etc/new")
    assert (run.rootfs / "etc").stat().st_mtime_ns != 1_234_567_891
    assert os.listdir(run.rootfs / "etc") == ["new"]


def test_a_read_only_root_and_tmpfs(run: Any) -> None:
    for name in ("etc", "proc", "sys", "dev", "t"):
        (run.rootfs / name).mkdir()
    for name in ("hosts", "hostname", "resolv.conf"):
        (run.rootfs / "etc" / name).touch()
    answer = run(
        "sh",
        "-c",
        "echo x > /t/file && df -k /t /dev/shm | grep -o 'tmpfs *2048\\|shm *65536';"
        "echo > /new || echo ro",
        readonly=True,
        tmpfs=[["/t", 2048 << 10]],
    )
    assert answer["out"].split() == ["tmpfs", "2048", "shm", "65536", "ro"]


def test_limits(run: Any) -> None:
    answer = run("sh", "-c", "ulimit -n; ulimit -Hn", rlimits=[["nofile", 200, 300]])
    assert answer["out"].split() == ["200", "300"]


def test_running_out_of_memory_is_the_reason(run: Any) -> None:
    answer = run("dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1", memory=40 << 20)
    assert (answer["code"], answer["oom"]) == (137, True)


BUSY = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"


def test_the_resources_of_a_step(run: Any) -> None:
    [usage] = run("sh", "-c", f"dd if=/dev/zero of=/dev/null bs=30M count=1; {BUSY}")["usages"]
    assert usage["cpu_time"] > 10_000_000
    assert 30 << 20 < usage["peak_memory"] < 300 << 20
    assert usage["bytes_sent"] is usage["bytes_received"] is None  # the host's network


def test_the_resources_of_failed_and_cancelled_steps(run: Any) -> None:
    [failed] = run("sh", "-c", "exit 3")["usages"]
    assert failed["cpu_time"] > 0
    cancelled = run("sleep", "60", cancel_after=2, grace=0.0, network="none")
    [usage] = cancelled["usages"]
    assert cancelled["error"] == "cancelled"
    assert usage["cpu_time"] > 0
    assert usage["bytes_sent"] == usage["bytes_received"] == 0


def test_the_resources_on_cgroup_version_2(run: Any) -> None:
    """Without device rules, which need more privileges; version 1 has the controllers here."""
    answer = run("sh", "-c", BUSY, hierarchy="v2", insecure=True)
    if "error" in answer:
        pytest.skip(answer["reason"])
    [usage] = answer["usages"]
    assert usage["cpu_time"] > 10_000_000


def test_a_missing_working_directory_is_made(run: Any) -> None:
    assert run("pwd", cwd="/not/yet")["out"] == "/not/yet\n"


def test_an_empty_command(run: Any) -> None:
    assert run()["error"] == "invalid"


def running(command: str) -> bool:
    done = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    return command in done.stdout


def test_cancelling_leaves_no_process(run: Any) -> None:
    answer = run("sleep", "54321", cancel_after=0.3)
    assert answer["error"] == "cancelled"
    assert not running("sleep 54321")


def test_cancelling_waits_for_processes_with_closed_output(run: Any) -> None:
    answer = run("sh", "-c", "exec >/dev/null 2>&1; sleep 54322 & sleep 54322", cancel_after=0.3)
    assert answer["error"] == "cancelled"
    assert not running("sleep 54322")


LISTENS = "trap '{}' TERM; echo ready; while :; do sleep 0.02; done # MARK"


def cancelled(run: Any, script: str, grace: float = 600.0, **options: Any) -> str:
    """The output of a cancelled step. By default its grace period is longer than `run` waits."""
    mark = str(10**9 + os.getpid())  # other tests may run at the same time
    script = script.replace("MARK", mark)
    answer = run("sh", "-c", script, cancel_after=0.5, grace=grace, **options)
    assert answer["error"] == "cancelled"
    assert not running(mark)
    return str(answer["out"])


def test_a_cancelled_step_gets_sigterm(run: Any) -> None:
    script = LISTENS.format("sleep 0.2; echo bye; exit 0")
    assert cancelled(run, script) == "ready\nbye\n"


def test_a_cancelled_step_that_ignores_sigterm_is_killed_after_the_timeout(run: Any) -> None:
    script = LISTENS.format("echo no; sleep 0.2; echo still")
    assert cancelled(run, script, grace=2.0) == "ready\nno\nstill\n"


def test_a_cancelled_step_without_a_sigterm_handler_is_killed_at_once(run: Any) -> None:
    """A shell's child gets no SIGTERM either: the shell would run its next command."""
    for script in (
        "sleep MARK",
        LISTENS.format(""),
        "sh -c 'trap \"exit 1\" TERM; sleep MARK'; echo next; sleep MARK",
    ):
        assert "next" not in cancelled(run, script)


def test_no_time_is_left_in_a_hurry(run: Any) -> None:
    script = LISTENS.format("echo no")
    assert cancelled(run, script, hurry_after=0.9) == "ready\nno\n"
    assert cancelled(run, script, hurry_after=0.1) == "ready\n"
    assert cancelled(run, script, grace=0.0) == "ready\n"


@pytest.mark.parametrize("after", [0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.3])
def test_killing_lamina_kills_the_step(run: Any, after: float) -> None:
    before = groups()
    run("sleep", "54323", killed_after=after)
    for _ in range(200):
        if not running("sleep 54323"):
            break
        time.sleep(0.01)
    assert not running("sleep 54323")
    private = (
        "from lamina.runtime.cgroups import *; from lamina.system.mount import *;"
        "private_namespace(); hide_hybrid_hierarchy(); sweep_cgroups()"
    )
    subprocess.run([sys.executable, "-c", private], check=True)
    left = [name for name in groups() - before if not os.path.exists(f"/proc/{owner_of(name)}")]
    assert left == []


def groups() -> set[str]:
    """All groups of lamina processes: other tests may run at the same time."""
    found = glob.glob("/sys/fs/cgroup/**/lamina/*", recursive=True)
    return {name for name in found if name.count("-") == 3}


def owner_of(group: str) -> str:
    return group.split("-")[1]


ATTACH = """
import sys
from lamina.runtime.cdi import read_spec
from lamina.runtime.cgroups import hide_hybrid_hierarchy
from lamina.runtime.contract import *
from lamina.runtime.binary import find_runtime
from lamina.runtime.runner import OciRunner
from lamina.system.mount import private_namespace
private_namespace()
hide_hybrid_hierarchy()
runtime, scratch, rootfs, terminal, *args = sys.argv[1:]
status = OciRunner(find_runtime(runtime), scratch).attach(
    Process(tuple(args), ("PATH=/bin",)), Sandbox(rootfs), terminal=terminal == "yes",
    interactive=True)
sys.exit(status.code)
"""


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_person_s_terminal(run: Any, tmp_path: Path, runtime: str) -> None:
    main, side = os.openpty()
    command = ["sh", "-c", "read x; echo got $x; test -t 0 -a -t 1; exit $((40 + $?))"]
    arguments = [runtime, str(tmp_path / "scratch"), str(run.rootfs), "yes", *command]
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", ATTACH, *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    os.write(main, b"hello\n")
    shown = b""
    with suppress(OSError):  # a closed terminal reads as EIO
        while data := os.read(main, 1000):
            shown += data
    os.close(main)
    assert child.wait() == 40
    assert b"got hello" in shown


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_signals_reach_the_container(run: Any, tmp_path: Path, runtime: str) -> None:
    command = ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"]
    arguments = [runtime, str(tmp_path / "scratch"), str(run.rootfs), "no", *command]
    child = subprocess.Popen(
        [sys.executable, "-c", ATTACH, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
        child.terminate()
        assert child.wait() == 9


def test_cdi_devices_are_added_and_cleaned_up(run: Any, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\necho hooked $1 >> {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/driver").write_text("driver")
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"""
cdiVersion: 0.7.0
kind: vendor.example/thing
containerEdits:
  env: [ALL=1, REPLACED=new]
  mounts:
  - hostPath: {tmp_path}/lib
    containerPath: /opt/driver
    options: [ro, nosuid]
devices:
- name: one
  containerEdits:
    additionalGids: [4321]
    deviceNodes:
    - path: /dev/nothing
      hostPath: /dev/null
      permissions: rw
    - {{path: /dev/zeros, type: c, major: 1, minor: 5, fileMode: 0o640, uid: 7, gid: 8}}
    hooks:
    - {{hookName: createRuntime, path: {hook}, args: [hook, before]}}
""")
    before = sorted({*os.listdir(run.rootfs), "dev", "proc", "sys"})
    script = (
        "echo $ALL $REPLACED; cat /opt/driver/driver; echo; id -G; echo x > /dev/nothing && "
        "dd if=/dev/zeros bs=3 count=1 2>/dev/null | cat; ls -n /dev/zeros; echo y > /opt/driver/y"
    )
    done = run("sh", "-c", script, env=["REPLACED=old"], specs=[str(spec)])
    lines = done["out"].split("\n")
    assert lines[0] == "1 new", done
    assert lines[1] == "driver"
    assert "4321" in lines[2].split()
    assert lines[3].startswith("\0\0\0crw-r-----")
    assert lines[3].split()[2:4] == ["7", "8"]
    assert done["code"] != 0
    assert "Read-only" in done["err"]
    assert (tmp_path / "hooked").read_text() == "hooked before\n"
    assert sorted(os.listdir(run.rootfs)) == before


def test_a_device_that_the_machine_has_lost(run: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    edits = {"deviceNodes": [{"path": "/dev/no-such-device"}]}
    body = {"kind": "v.example/c", "devices": [{"name": "d", "containerEdits": edits}]}
    spec.write_text(json.dumps(body))
    done = run("sh", "-c", "echo never", specs=[str(spec)])
    assert done["error"] == "not found"
    assert "/dev/no-such-device does not exist" in done["reason"]
    assert not [name for name in done["scratch"] if name.startswith("lamina-")]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A block device of the host, as (the file of its content, its minor number)."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"host".ljust(1 << 16, b"\0"))
    device = subprocess.check_output(["losetup", "--find", "--show", str(disk)], text=True).strip()
    try:
        yield disk, int(device.removeprefix("/dev/loop"))
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


TOUCH_DEVICE = (
    "mknod /d b 7 {}; dd if=/d bs=4 count=1 2>/dev/null | cat; echo bad > /d;"
    "mknod /log c 1 11; cat /log;"
    "for name in null zero full random urandom tty; do ls /dev/$name; done;"
    "echo x > /dev/null && dd if=/dev/zero bs=3 count=1 2>/dev/null | cat"
)
USUAL = "".join(f"/dev/{name}\n" for name in ("null", "zero", "full", "random", "urandom", "tty"))


def test_a_step_opens_no_device_of_the_host(run: Any, loop: tuple[Path, int]) -> None:
    (run.rootfs / "bin" / "mknod").symlink_to("busybox")
    disk, minor = loop
    answer = run("sh", "-c", TOUCH_DEVICE.format(minor))
    assert answer["out"] == USUAL + "\0\0\0"
    assert answer["err"].count("Operation not permitted") == 2  # the disk and the kernel's log
    assert disk.read_bytes()[:4] == b"host"


def test_device_rules_on_cgroup_version_2(run: Any, loop: tuple[Path, int]) -> None:
    (run.rootfs / "bin" / "mknod").symlink_to("busybox")
    answer = run("sh", "-c", TOUCH_DEVICE.format(loop[1]), hierarchy="v2")
    if "error" in answer:  # crun requires CAP_SYS_RESOURCE, unless locked memory is unlimited
        assert (answer["error"], answer["out"]) == ("unsupported", "")
        assert "cannot restrict the devices of a step" in answer["reason"]
    else:
        assert answer["out"] == USUAL + "\0\0\0"
    assert loop[0].read_bytes()[:4] == b"host"


def test_no_step_runs_without_device_rules(run: Any) -> None:
    answer = run("sh", "-c", "echo ran", hierarchy="none")
    assert "error" in answer
    assert answer["out"] == ""


def test_an_insecure_step_opens_devices(run: Any, loop: tuple[Path, int]) -> None:
    (run.rootfs / "bin" / "mknod").symlink_to("busybox")
    script = f"mknod /d b 7 {loop[1]}; dd if=/d bs=4 count=1 2>/dev/null | cat"
    assert run("sh", "-c", script, insecure=True)["out"] == "host"


def test_a_cdi_device_gives_access_to_no_other_device(
    run: Any, tmp_path: Path, loop: tuple[Path, int]
) -> None:
    (run.rootfs / "bin" / "mknod").symlink_to("busybox")
    node = {"path": "/dev/disk", "type": "b", "major": 7, "minor": loop[1], "permissions": "r"}
    device = {"name": "d", "containerEdits": {"deviceNodes": [node]}}
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"kind": "vendor.example/disk", "devices": [device]}))
    script = (
        "dd if=/dev/disk bs=4 count=1 2>/dev/null | cat; echo bad > /dev/disk;"
        "mknod /log c 1 11; cat /log"
    )
    answer = run("sh", "-c", script, specs=[str(spec)])
    assert answer["out"] == "host"
    assert answer["err"].count("Operation not permitted") == 2
    assert loop[0].read_bytes()[:4] == b"host"


def test_folders_above_a_group_go_with_it(run: Any) -> None:
    """Except those that existed before."""
    kept = f"lamina-test-{os.getpid()}"
    hierarchies = [os.path.dirname(name) for name in glob.glob("/sys/fs/cgroup/*/cgroup.procs")]
    assert hierarchies
    os.mkdir(f"{hierarchies[0]}/{kept}")
    try:
        answer = run("cat", "/proc/1/cgroup", cgroup_parent=f"/{kept}/a/b")
        assert answer["code"] == 0, answer
        assert glob.glob(f"/sys/fs/cgroup/*/{kept}") == [f"{hierarchies[0]}/{kept}"]
        assert glob.glob(f"/sys/fs/cgroup/*/{kept}/*/") == []
    finally:
        os.rmdir(f"{hierarchies[0]}/{kept}")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/proc/x", "created in /proc"),
        ("/proc/a/b", "created in /proc"),
        ("/sys/x", "created in /sys"),
        ("/dev/null", "the container needs"),
        ("/bin/busybox", "not a directory"),
        ("/bin/busybox/below", "not a directory"),
        ("/dev/pts/x", "not permitted"),
    ],
)
def test_a_mount_that_is_not_possible_is_named(run: Any, target: str, why: str) -> None:
    answer = run("sh", "-c", "true", tmpfs=[["/fine", 0], [target, 0]])
    assert answer["error"] == "invalid", answer
    assert answer["reason"].startswith(f"cannot mount at {target}: ")
    assert why in answer["reason"]
    assert str(run.rootfs) not in answer["reason"]


def test_a_file_cannot_be_mounted_on_a_directory(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for target in ("/bin", "/proc"):
        answer = run("sh", "-c", "true", binds=[[str(tmp_path / "file"), target]])
        assert (answer["error"], answer["reason"].split(":")[0]) == (
            "invalid",
            f"cannot mount at {target}",
        )


def test_a_missing_command_is_no_matter_of_mounts(run: Any) -> None:
    answer = run("/proc/nothing", tmpfs=[["/proc/sys/fs", 0], ["/dev/x", 0]])
    assert answer["error"] == "not found"
