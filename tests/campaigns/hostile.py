"""Campaign `hostile`: untrusted input never causes writes elsewhere, crashes or unbounded memory.

Every command ends, and at once when it is told to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.campaigns.bad_archives import bad_archive, bomb
from tests.campaigns.bad_clients import KINDS as CLIENTS
from tests.campaigns.bad_documents import Layout, bad_layout, bad_pack
from tests.campaigns.bad_registries import faults
from tests.campaigns.machine import soon
from tests.campaigns.outcomes import sane
from tests.campaigns.runner import Campaign
from tests.commands import Done, Lamina, RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon_process import DaemonProcess
from tests.real_registry import running_registry
from tests.registry.registry_server import FaultProxy, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.campaigns.runner import Round

_MEMORY = 400 << 20  # the limit in bytes for a command or a daemon
_TIME = 60.0  # the time in seconds that a command may take
_WAIT = 10.0  # seconds until a command that may wait forever gets a signal
_END = 10.0  # seconds to end after a signal
_ADD = "FROM scratch\nADD x.tar /to/\nCOPY Dockerfile /\n"
_ADD_AND_RUN = "FROM base\nADD x.tar /to/\nUSER app\nRUN true\n"
_ON_TOP = 'FROM base\nCOPY --chown=app:app Dockerfile /to/\nUSER app\nRUN ["/bin/true"]\n'
_MOUNT = (
    "FROM base\nARG N\nRUN --mount=type=cache,target=/c,id=c mkdir -p /c/f /c/g; echo $N > /c/f/x;"
    " ln -sf f /c/l; seq 9 > /c/g/y\n"
)


class _Bench:
    """The resources that rounds share: a base image, a registry with it, a cache with a mount, a
    daemon."""

    def __init__(self, folder: Path, registry: str, daemon: DaemonProcess) -> None:
        self.bases = folder / "bases"
        self.one = folder / "one"  # a layout with one image
        self.cache = folder / "cache"
        self.registry = registry
        self.daemon = daemon
        self._client = RemoteLamina(folder, daemon.address)
        self._folder = folder

    def prepare(self) -> None:
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{self.bases}:base", f"oci:{self.one}:base"], check=True
        )
        context = self._folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(_MOUNT)
        base = ("--build-context", f"base=oci-layout://{self.bases}:base")
        cache = ("--cache-to", f"type=local,dest={self.cache},mode=max,mounts=true")
        Lamina(self._folder / "making").build(context, *base, *cache)

    def goes_on(self) -> None:
        """Check that the daemon builds for other clients, and that its memory is limited."""
        assert self.daemon.process.poll() is None, f"the daemon died: {self.daemon.read_log()}"
        (self._folder / "context" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
        done = sane(self._client("build", str(self._folder / "context")))
        assert done.code == 0, done.err
        assert "Traceback" not in self.daemon.read_log(), self.daemon.log
        used = resident(self.daemon.process.pid)
        assert used < _MEMORY, f"the daemon holds {used >> 20} MiB"


class _Case:
    """A directory beside which nothing may be written, and a store."""

    def __init__(self, bench: _Bench, now: Round) -> None:
        self._bench = bench
        self._now = now
        self._outside = now.folder / "outside"
        self._outside.mkdir()
        (self._outside / "canary").write_text("alive")
        self._context = now.folder / "context"
        self._context.mkdir()
        self._lamina = Lamina(now.folder / "store")

    def archive(self) -> None:
        made = bomb if self._now.likely(0.03) else None
        chance = self._now.chance
        data = made(chance) if made else bad_archive(chance, self._outside)
        (self._context / "x.tar").write_bytes(data)
        self._build(chance.choice((_ADD, _ADD_AND_RUN)), self._base(self._bench.bases))

    def layout(self) -> None:
        broken = Layout(self._bench.one, self._now.folder / "layout")
        bad_layout(self._now.chance, broken, self._outside)
        self._build(_ON_TOP, self._base(broken.folder))

    def pack(self) -> None:
        broken = Layout(self._bench.cache, self._now.folder / "cache")
        bad_pack(self._now.chance, broken, self._outside)
        read = f"type=local,src={broken.folder},mounts=true"
        base = self._base(self._bench.bases)
        self._build(_MOUNT, [*base, "--cache-from", read, "--build-arg", "N=2"], must_work=True)

    def registry(self) -> None:
        """A registry with random faults, some of which never end by themselves."""
        with FaultProxy(self._bench.registry) as proxy:
            proxy.always = faults(self._now.chance)
            base = ["--build-context", f"base=docker-image://{proxy.host}/base"]
            match self._now.chance.randrange(3):
                case 0:
                    self._build(_ON_TOP, base, may_wait=True)
                case 1:
                    name = ("--push", "-t", f"{proxy.host}/hostile/x")
                    self._build(_ON_TOP, [*base, *name], may_wait=True)
                case _:
                    self._run(self._lamina.command("pull", f"{proxy.host}/base"), may_wait=True)
            proxy.always = None
            proxy.stop.set()
            # None of the faulty responses is cached.
            self._build(_ON_TOP, base, must_work=True)

    def client(self) -> None:
        name = self._now.chance.choice(list(CLIENTS))
        CLIENTS[name](self._now.chance, self._bench.daemon)
        self._now.counts[name] += 1
        self._bench.goes_on()

    def nothing_outside(self) -> None:
        """Check that no file outside of the build's directories was created, removed or changed."""
        assert sorted(os.listdir(self._outside)) == ["canary"], os.listdir(self._outside)
        assert (self._outside / "canary").read_text() == "alive"
        assert (self._outside / "canary").stat().st_nlink == 1
        usage = sane(self._lamina("prune", "-af"))
        assert usage.code == 0, f"the store is left unusable: {usage.err}"

    def _base(self, layout: Path) -> list[str]:
        return ["--build-context", f"base=oci-layout://{layout}:base"]

    def _build(
        self,
        dockerfile: str,
        args: Sequence[str],
        *,
        must_work: bool = False,
        may_wait: bool = False,
    ) -> None:
        (self._context / "Dockerfile").write_text(dockerfile)
        args = [*args, "--progress=plain"]
        if "--push" not in args and self._now.likely(0.7):
            args += ["-o", f"type=local,dest={self._now.folder / 'out'}"]
        command = self._lamina.command("build", *args, str(self._context))
        done = self._run(command, whole=must_work, may_wait=may_wait)
        assert done.code == 0 or not must_work, done.err

    def _run(self, command: Sequence[str], *, whole: bool = False, may_wait: bool = False) -> Done:
        """Run a command to its end, or send it a signal."""
        log = self._now.folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        early = not whole and self._now.likely(0.3)
        alone = self._now.chance.uniform(0.3, 3) if early else _WAIT if may_wait else _TIME
        code, usage = _ended(process, alone)
        told = code is None and (early or may_wait)
        if told:
            process.send_signal(signal.SIGTERM)
            code, usage = _ended(process, _END)
            self._now.counts["told to end"] += 1
        said = log.read_text(errors="replace")
        if code is None:
            process.kill()
            process.wait()
            how = "when it is told to" if told else "by itself"
            raise AssertionError(f"does not end {how}: {said}")
        assert usage < _MEMORY, f"{usage >> 20} MiB were used: {said}"
        self._now.counts["refused" if code else "done"] += 1
        if told and code == -signal.SIGTERM:  # before it had begun
            code = 128 + signal.SIGTERM
        return sane(Done(code, "", said))


def _ended(process: subprocess.Popen[bytes], seconds: float) -> tuple[int | None, int]:
    """The exit status, or None if it does not end in that time, and its peak memory."""
    peak = 0

    def ended() -> bool:
        nonlocal peak
        peak = max(peak, _peak_memory(process.pid))
        return process.poll() is not None

    soon(ended, seconds)
    return process.returncode, peak


def _peak_memory(pid: int) -> int:
    """The peak of the resident memory of a process in bytes, 0 if it has ended.

    Not `ru_maxrss`: that is at least the size of the parent process.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            peaks = [line for line in file if line.startswith("VmHWM:")]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(peaks[0].split()[1]) << 10 if peaks else 0


def resident(pid: int) -> int:
    """The resident memory of a process in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _play(bench: _Bench, now: Round) -> None:
    case = _Case(bench, now)
    kinds: dict[str, Callable[[], None]] = {
        "archives": case.archive,
        "layouts": case.layout,
        "packs": case.pack,
        "registries": case.registry,
        "clients": case.client,
    }
    kind = now.chance.choice(list(kinds))
    kinds[kind]()
    now.counts[kind] += 1
    case.nothing_outside()


@contextmanager
def _open(folder: Path, _: int) -> Iterator[Callable[[Round], None]]:
    make_bases(folder / "bases")
    with (
        running_registry(folder / "registry") as registry,
        DaemonProcess(folder / "store") as daemon,
    ):
        fill(registry, folder / "bases", "base", tag="base")
        bench = _Bench(folder, registry, daemon)
        bench.prepare()
        yield lambda now: _play(bench, now)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < _END, "the daemon takes long to end"
        assert "Traceback" not in daemon.log, daemon.log


def campaign() -> Campaign:
    return Campaign(_open)
