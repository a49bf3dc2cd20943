"""What an editor shows of a paused step: variables, files, and the output of commands."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from lamina.api import container as api
from lamina.api import filemode
from lamina.base.errors import InvalidInput
from lamina.base.oci import IMAGE_CONFIG_KEY
from lamina.client.remote_debug import container_of
from lamina.dockerfile.image_config import DEFAULT_PATH
from lamina.llb.op import NO_INPUT, ExecMeta, Mount, MountType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.api.filesync import Stat
    from lamina.dap.debugger import Debugger, Paused
    from lamina.dap.program import Step

    Variable = dict[str, Any]
    Children = Callable[[], Sequence[Variable]]

_BUILD_ARG = "build-arg:"
_MOST_OUTPUT = 1 << 20


class Inspection:
    """The variables of one pause. References are valid until the build goes on."""

    def __init__(self, debugger: Debugger, state: Paused) -> None:
        self._debugger = debugger
        self._state = state
        self._children: list[Children] = []

    def scopes(self, index: int) -> list[Variable]:
        """The scopes of a step of the stack."""
        step = self._debugger.program.steps[index]
        scopes = [
            self._scope("Step", partial(self._step, step), hint="locals"),
            self._scope("Environment", partial(_environment, step)),
            self._scope("Build arguments", self._arguments, hint="arguments"),
            self._scope("Image configuration", self._configuration),
        ]
        if index == self._state.at and self._state.error is None:
            scopes.append(self._scope("Files", partial(self._folder, step, "/"), expensive=True))
        return scopes

    def variables(self, reference: int) -> Sequence[Variable]:
        """Raises InvalidInput, and errors of the builder."""
        if not 0 < reference <= len(self._children):
            raise InvalidInput(f"no variables have the reference {reference}")
        return self._children[reference - 1]()

    def run(self, command: str) -> str:
        """The output of a command in the paused step, whose changes are discarded.

        Raises InvalidInput (the file system is empty), and errors of the builder.
        """
        step = self._debugger.program.steps[self._state.at]
        gateway = self._debugger.gateway
        assert gateway is not None
        op = step.vertex.op
        meta = (op.exec.meta if op.exec is not None else None) or ExecMeta(
            env=(f"PATH={DEFAULT_PATH}",)
        )
        output = bytearray()

        def show(data: bytes) -> None:
            if len(output) < _MOST_OUTPUT:
                output.extend(data)

        containers = gateway.containers()
        with containers.container(self._container(step)) as name:
            init = api.InitMessage(
                name,
                meta._replace(args=("/bin/sh", "-c", command)),
                (1, 2),
            )
            if op.exec is not None:
                init = init._replace(security=op.exec.security, secret_env=op.exec.secret_env)
            with containers.running(init, show) as process:
                ended = process.wait()
        text = output.decode("utf-8", "replace")
        if ended.error is not None and not text:
            text = ended.error.message
        return text if not ended.code else f"{text.rstrip()}\n[exit code {ended.code}]".lstrip()

    def _container(self, step: Step) -> api.NewContainerRequest:
        op = step.vertex.op
        failed = self._state.failed
        if failed is not None and failed.op.exec is not None:
            return container_of(failed, failed.op.exec)
        if op.exec is None:
            root = self._debugger.ref_of(step.parent)
            if not root:
                raise InvalidInput("the file system is empty: there is no shell")
            whole = Mount(NO_INPUT, dest="/", result_id=root)
            return api.NewContainerRequest(mounts=(whole,), platform=op.platform)
        mounts = tuple(
            mount._replace(result_id=self._debugger.ref_of(step.vertex.parents[mount.input]))
            if mount.mount_type is MountType.BIND and mount.input != NO_INPUT
            else mount
            for mount in op.exec.mounts
        )
        meta = op.exec.meta or ExecMeta()
        return api.NewContainerRequest(
            mounts=mounts,
            network=op.exec.network,
            platform=op.platform,
            extra_hosts=meta.extra_hosts,
            hostname=meta.hostname,
        )

    def _scope(
        self, name: str, children: Children, *, hint: str = "", expensive: bool = False
    ) -> Variable:
        scope = {"name": name, "expensive": expensive, **self._reference(children)}
        return {**scope, "presentationHint": hint} if hint else scope

    def _reference(self, children: Children) -> Variable:
        self._children.append(children)
        return {"variablesReference": len(self._children)}

    def _step(self, step: Step) -> list[Variable]:
        op = step.vertex.op
        found = {"name": step.name}
        if op.platform is not None:
            found["platform"] = f"{op.platform.os}/{op.platform.architecture}"
        if op.exec is not None and op.exec.meta is not None:
            meta = op.exec.meta
            found["command"] = " ".join(meta.args)
            found["directory"] = meta.cwd or "/"
            found["user"] = meta.user or "root"
        if self._state.error is not None:
            found["error"] = self._state.error.reason
        return _flat(found)

    def _arguments(self) -> list[Variable]:
        attributes = self._debugger.attributes
        arguments = {
            key.removeprefix(_BUILD_ARG): value
            for key, value in attributes.items()
            if key.startswith(_BUILD_ARG)
        }
        named = {key: attributes[key] for key in ("target", "platform") if key in attributes}
        return _flat({**named, **arguments})

    def _configuration(self) -> list[Variable]:
        data = next(
            (v for k, v in self._debugger.metadata.items() if k.startswith(IMAGE_CONFIG_KEY)), b"{}"
        )
        try:
            document = json.loads(data)
        except ValueError:
            return []
        return self._members(document)

    def _members(self, value: Any) -> list[Variable]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [self._member(str(name), member) for name, member in pairs]

    def _member(self, name: str, value: Any) -> Variable:
        if isinstance(value, dict | list):
            shown = f"{len(value)} entries"
            return _variable(name, shown) | self._reference(partial(self._members, value))
        return _variable(name, value if isinstance(value, str) else json.dumps(value))

    def _folder(self, step: Step, path: str) -> list[Variable]:
        ref = self._debugger.ref_of(step.parent)
        gateway = self._debugger.gateway
        if not ref or gateway is None:
            return []
        return [self._file(step, path, entry) for entry in gateway.read_directory(ref, path)]

    def _file(self, step: Step, folder: str, entry: Stat) -> Variable:
        name = entry.path.rpartition("/")[2]
        if entry.mode & filemode.DIRECTORY:
            children = partial(self._folder, step, f"{folder.rstrip('/')}/{name}")
            return _variable(name, "directory") | self._reference(children)
        if entry.mode & filemode.SYMLINK:
            return _variable(name, f"-> {entry.linkname}")
        return _variable(name, f"{entry.size} bytes, {filemode.permissions(entry.mode):04o}")


def _environment(step: Step) -> list[Variable]:
    op = step.vertex.op
    meta = op.exec.meta if op.exec is not None else None
    pairs = (entry.partition("=")[::2] for entry in (meta.env if meta is not None else ()))
    return _flat(dict(pairs))


def _flat(values: Mapping[str, str]) -> list[Variable]:
    return [_variable(name, value) for name, value in values.items()]


def _variable(name: str, value: str) -> Variable:
    return {"name": name, "value": value, "variablesReference": 0}
