"""The exec op: a command in a sandbox, on top of its inputs."""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING, Any

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, CommandFailed, LaminaError, Unsupported
from lamina.base.events import LogEvent, ResourceEvent
from lamina.base.gojson import encode
from lamina.base.gotext import quote
from lamina.base.redact import redacted
from lamina.llb.gojson import message
from lamina.llb.op import (
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    LLBPlatform,
    Mount,
    MountContentCache,
    MountType,
)
from lamina.ops.debugging import Decision, EndedCommand
from lamina.ops.mounts import is_change
from lamina.ops.secret_env import secret_env
from lamina.refs.ref import Ref
from lamina.refs.selection import Selector, outermost
from lamina.solver.contract import CacheMap, Dependency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.llb.op import ExecOp, LinuxResources, ProxyEnv
    from lamina.ops.bound_folders import BoundFolders
    from lamina.ops.contract import DeviceProvider
    from lamina.ops.debugging import StepDebugger
    from lamina.ops.mounts import Change, MountTable
    from lamina.refs.manager import RefManager
    from lamina.runtime.contract import ExitStatus, Runtime
    from lamina.session.contract import Session
    from lamina.solver.contract import OpContext

_ANY: dict[str, Any] = {
    "input": 0,
    "output": 0,
    "content_cache": MountContentCache.DEFAULT,
}


class ExecOperation:
    """Runs an ExecOp. Its entitlements were checked when the graph was loaded."""

    def __init__(
        self,
        op: ExecOp,
        platform: LLBPlatform | None,
        inputs: int,
        name: str,
        *,
        refs: RefManager,
        mounts: MountTable,
        runtime: Callable[[], Runtime],
        session: Session,
        resources: LinuxResources | None,
        devices: DeviceProvider,
        debugger: Callable[[], StepDebugger | None],
    ) -> None:
        self._op = op
        self._platform = platform
        self._inputs = inputs
        self._name = name
        self._refs = refs
        self._mounts = mounts
        self._runtime = runtime
        self._session = session
        self._resources = resources
        self._devices = devices
        self._debugger = debugger
        self._read: dict[int, list[Selector]] = {}  # the digested part of each input, by index

    def cache_map(self, context: OpContext) -> CacheMap:
        op = self._op
        meta = op.meta
        assert meta is not None
        # Proxies and extra hosts concern connectivity, not the result.
        keyed = op._replace(
            meta=meta._replace(
                proxy_env=None,
                extra_hosts=tuple(host._replace(ip="") for host in meta.extra_hosts),
            ),
            mounts=tuple(_keyed_mount(mount) for mount in op.mounts),
        )
        if op.cdi_devices:
            # The devices of a class or an alias differ between machines.
            keyed = keyed._replace(cdi_devices=tuple(self._devices.named_devices(op.cdi_devices)))
        if len(keyed.mounts) == 1 and keyed.mounts[0]._replace(**_ANY) == Mount(dest="/"):
            # Early keys of BuildKit lacked mounts; without other mounts they still do.
            keyed = keyed._replace(mounts=())
        here = self._platform or _host_platform()
        document = {
            "Type": "buildkit.exec.v0",
            "Exec": message(keyed),
            "OS": here.os,
            "Arch": here.architecture,
            **({"Variant": here.variant} if here.variant else {}),
            **({"OSVersion": here.os_version} if here.os_version else {}),
            **({"OSFeatures": list(here.os_features)} if here.os_features else {}),
        }
        digest = digest_of(encode(document))
        dependencies = tuple(self._dependency(i, context) for i in range(self._inputs))
        return CacheMap(digest, dependencies, unexported=_named_caches(op.mounts))

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        op = self._op
        assert op.meta is not None
        secrets = secret_env(op.secret_env, self._session, context.cancel)
        env = (*op.meta.env, *_proxy_env(op.meta.proxy_env, op.meta.env), *secrets)
        folders = self._bound_folders(context, inputs)
        given = inputs
        if folders is not None:
            inputs = folders.inputs
        while (changes := self._run(context, given, inputs, env, folders)) is None:
            continue
        outputs: dict[int, Ref] = {}
        for change in changes:
            if change.output < 0:
                self._refs.discard(change.staged)
            else:
                # As BuildKit does, for `lamina du`, and for the history of images whose
                # configuration does not describe all layers.
                args = redacted(" ".join(op.meta.args if op.meta else ()))
                made_by = f"mount {change.dest} from exec {args}"
                outputs[change.output] = self._refs.commit(change.staged, change.parent, made_by)
        for mount in op.mounts:
            # A read-only root is passed on unchanged.
            if mount.output >= 0 and not is_change(mount) and mount.input >= 0:
                outputs.setdefault(mount.output, inputs[mount.input])
        return [outputs.get(index, Ref()) for index in range(max(outputs, default=-1) + 1)]

    def _run(
        self,
        context: OpContext,
        given: Sequence[Ref],
        inputs: Sequence[Ref],
        env: tuple[str, ...],
        folders: BoundFolders | None,
    ) -> Sequence[Change] | None:
        """Run the command once. Returns the changes; None if a debugger wants it to run again.

        Args:
            given: the inputs of the op; `inputs` are those of this run.
        """
        from lamina.ops.exec_sandbox import exec_sandbox
        from lamina.runtime.contract import Process

        op = self._op
        meta = op.meta
        assert meta is not None
        failure: LaminaError | None = None
        again = ended = False
        process = Process(meta.args, env, meta.cwd or "/", meta.user)
        with self._mounts.prepare(op, inputs, context.cancel) as prepared:
            try:
                sandbox = exec_sandbox(op, prepared, self._resources, self._devices)
                try:
                    status = self._runtime().run(
                        process,
                        sandbox,
                        stdout=self._log(context, 1),
                        stderr=self._log(context, 2),
                        measured=lambda usage: context.emit(ResourceEvent(context.digest, usage)),
                        cancel=context.cancel,
                    )
                    context.cancel.check()
                    self._accept(status, prepared.rootfs)
                except Cancelled:
                    raise
                except LaminaError as error:
                    foreign = isinstance(error, CommandFailed | Unsupported) and self._foreign()
                    reason = error.reason
                    if not isinstance(error, CommandFailed):
                        reason = f"{self._incomplete}: {reason}"
                    failure = error.with_context(reason=reason, hint=foreign or error.hint)
                debugger = self._debugger()
                if debugger is not None:
                    command = EndedCommand(self._name, process, sandbox, failure)
                    decision = debugger.ended(command, self._runtime(), context.cancel)
                    context.cancel.check()
                    again = decision is Decision.RETRY
                    if decision is Decision.ACCEPT:
                        failure = None
                        context.revise(0, None)  # it is not cached
                    elif decision is Decision.GIVE_UP and failure is None:
                        failure = LaminaError("the build was given up in a shell")
                if folders is not None and failure is None:
                    folders.verify()
                ended = not again
            finally:
                if not ended:
                    for change in prepared.changes:
                        self._refs.discard(change.staged)
        if failure is not None and not again:
            from lamina.ops.failed_exec import failed_step

            step = failed_step(context, op, given, prepared.changes, self._refs)
            raise failure.with_context(step=step) from failure
        return None if again else prepared.changes

    def _foreign(self) -> str:
        """A hint if the platform of the step cannot run on this machine, else ""."""
        from lamina.base.platform import host_platform
        from lamina.llb.platform import op_platform
        from lamina.runtime.emulation import emulation_hint, runs_here

        wanted = op_platform(self._platform, host_platform())
        return "" if runs_here(wanted) else emulation_hint(wanted)

    def _dependency(self, index: int, context: OpContext) -> Dependency:
        """The dependency on an input. One that is only read is keyed by the mounted content."""
        uses = [
            mount
            for mount in self._op.mounts
            if mount.input == index
            and mount.mount_type not in (MountType.SECRET, MountType.SSH, MountType.TMPFS)
        ]
        if not uses:
            return Dependency()
        paths = [posixpath.normpath("/" + mount.selector.lstrip("/")) for mount in uses]
        selector = str(digest_of("\0".join(paths).encode("utf-8", "surrogateescape")))
        if not _by_content(uses[-1], paths[-1]):
            return Dependency(selector)
        chosen = [] if "/" in paths else [Selector(p, follow_links=True) for p in outermost(paths)]

        self._read[index] = chosen

        def digest(ref: Ref) -> Digest:
            return self._refs.digest(ref, chosen, selector, context.cancel)

        return Dependency(selector, digest)

    def _bound_folders(self, context: OpContext, inputs: Sequence[Ref]) -> BoundFolders | None:
        """The inputs, if some of them are clients' directories, which can change meanwhile."""
        if not any(ref.local is not None and ref.local.live for ref in inputs):
            return None
        from lamina.ops.bound_folders import BoundFolders

        return BoundFolders(context, inputs, self._read)

    @property
    def _incomplete(self) -> str:
        assert self._op.meta is not None
        command = quote(" ".join(self._op.meta.args))
        return f"process {command} did not complete successfully"

    def _accept(self, status: ExitStatus, rootfs: str) -> None:
        meta = self._op.meta
        assert meta is not None
        if status.code in (meta.valid_exit_codes or (0,)):
            return
        from lamina.ops.failed_exec import is_full

        reason = f"{self._incomplete}: exit code: {status.code}"
        hint = ""
        if status.out_of_memory:
            reason += " (out of memory)"
            hint = "the kernel killed it: out of memory; give the machine or the step more memory"
        elif is_full(rootfs):
            reason += " (the disk of the store is full)"
            hint = "make room: `lamina prune`, or place the store elsewhere with --root"
        elif status.code == 127:
            hint = "exit code 127 means that a command was not found"
        else:
            hint = self._refs.metadata.limits
        raise CommandFailed(reason, exit_code=status.code, hint=hint)

    @staticmethod
    def _log(context: OpContext, stream: int) -> Callable[[bytes], None]:
        def log(data: bytes) -> None:
            context.emit(LogEvent(context.digest, stream, data, time.time()))

        return log


def _keyed_mount(mount: Mount) -> Mount:
    """The part of a mount that is in the cache key: without the name of a cache mount.

    As in BuildKit, the name is in the key if it is the path of the mount, which is the default of
    the Dockerfile frontend.
    """
    cache = mount.cache
    if cache is not None:
        named_so = mount.dest in (cache.id, cache.id.partition("/")[2]) and bool(mount.dest)
        if not named_so or cache.sharing is not CacheSharing.SHARED:
            cache = CacheOpt()
    return mount._replace(cache=cache, selector="")


def _named_caches(mounts: Sequence[Mount]) -> str:
    """The cache mounts whose id is not their path: BuildKit's keys lack most of these ids."""
    return "\n".join(
        f"{quote(mount.dest)} {quote(mount.cache.id)}"
        for mount in mounts
        if mount.cache is not None and mount.cache.id not in ("", mount.dest)
    )


def _by_content(mount: Mount, path: str) -> bool:
    """Whether an input can be keyed by the content that its mount reads: nothing else of the
    input can get into a result."""
    match mount.content_cache:
        case MountContentCache.OFF:
            return False
        case MountContentCache.DEFAULT if mount.dest == "/":
            return False
    return mount.output == NO_OUTPUT or mount.readonly or path == "/"


def _host_platform() -> LLBPlatform:
    from lamina.base.platform import host_platform

    here = host_platform()
    return LLBPlatform(here.architecture, here.os, here.variant)


def _proxy_env(proxy: ProxyEnv | None, env: Sequence[str]) -> tuple[str, ...]:
    if proxy is None:
        return ()
    have = {entry.partition("=")[0] for entry in env}
    found = []
    for name, value in zip(proxy._fields, proxy, strict=True):
        for spelled in (name.upper(), name):
            if value and spelled not in have:
                found.append(f"{spelled}={value}")
    return tuple(found)
