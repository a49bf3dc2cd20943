"""CNI: plugins are programs that connect a network namespace (CNI specification 1.0.0).

A configuration lists plugins with their options. To connect, they run one after the other, each
with the result of the previous one; to disconnect, in reverse order.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound, Unavailable, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.system.process import pump, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERFACE = "eth0"
_LOOPBACK = "lo"
_TIMEOUT = 30.0  # seconds that a plugin may take


class CniConfig(NamedTuple):
    """A network: the configurations of its plugins, in the order in which they run."""

    name: str
    version: str
    plugins: tuple[dict[str, Any], ...]


class Attachment(NamedTuple):
    """A connected namespace. `arguments` are pairs for the plugins."""

    id: str
    path: str
    arguments: tuple[tuple[str, str], ...] = ()
    result: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


LOOPBACK = CniConfig("cni-loopback", "0.3.1", ({"type": "loopback"},))


def read_cni_config(path: str) -> CniConfig:
    """A file of one plugin, or a list of them (`.conflist`). Raises NotFound, InvalidInput."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise from_os_error(error, "read the CNI configuration") from error
    except ValueError as error:
        raise InvalidInput(f"malformed CNI configuration {path}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"malformed CNI configuration {path}: not an object")
    plugins = document.get("plugins", [document])
    if not isinstance(plugins, list) or not all(map(_is_plugin, plugins)) or not plugins:
        raise InvalidInput(f'malformed CNI configuration {path}: plugins without a "type"')
    name, version = document.get("name"), document.get("cniVersion", "0.1.0")
    if not isinstance(name, str) or not name or not isinstance(version, str):
        raise InvalidInput(f'malformed CNI configuration {path}: it needs a "name"')
    return CniConfig(name, version, tuple(plugins))


def bridge_config(bridge: str, subnet: str) -> CniConfig:
    """A network behind NAT, whose members can reach each other."""
    return CniConfig(
        "buildkit",
        "1.0.0",
        (
            {
                "type": "bridge",
                "bridge": bridge,
                "isDefaultGateway": True,
                "ipMasq": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
            },
            {"type": "firewall", "ingressPolicy": "same-bridge"},
        ),
    )


class CniPlugins:
    """Connects namespaces to one network, beside their own loopback device.

    Args:
        folders: directories with plugins. As in BuildKit's images, plugins can also be programs
            `buildkit-cni-<type>` on PATH.

    Raises NotFound if a plugin is missing.
    """

    def __init__(self, config: CniConfig, folders: Sequence[str]) -> None:
        self._config = config
        self._folders = tuple(folders)
        for plugin in (*LOOPBACK.plugins, *config.plugins):
            self._program(plugin["type"])

    def connect(self, target: Attachment) -> Attachment:
        """Connect the namespace. Returns it with the data for `disconnect`. Raises Unavailable.

        If a plugin fails, the work of the earlier ones is undone.
        """
        self._add(LOOPBACK, _LOOPBACK, target)
        try:
            return target._replace(result=self._add(self._config, _INTERFACE, target))
        except Unavailable:
            self.disconnect(target)
            raise

    def disconnect(self, target: Attachment) -> None:
        """Release the addresses of the namespace, even if it no longer exists.

        Raises nothing: a build could not handle the error.
        """
        for config, interface, result in (
            (self._config, _INTERFACE, target.result),
            (LOOPBACK, _LOOPBACK, {}),
        ):
            for plugin in reversed(config.plugins):
                try:
                    self._run("DEL", config, plugin, interface, target, result)
                except Unavailable:
                    continue

    def _add(self, config: CniConfig, interface: str, target: Attachment) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for plugin in config.plugins:
            result = self._run("ADD", config, plugin, interface, target, result)
        return result

    def _run(
        self,
        command: str,
        config: CniConfig,
        plugin: dict[str, Any],
        interface: str,
        target: Attachment,
        previous: dict[str, Any],
    ) -> dict[str, Any]:
        kind = plugin["type"]
        program = self._program(kind)
        given = {**plugin, "name": config.name, "cniVersion": config.version}
        if previous:
            given["prevResult"] = previous
        # The programs of others that a plugin calls (for addresses) may have such a name too.
        if (ipam := given.get("ipam", {})) and "type" in ipam:
            called = os.path.basename(self._program(ipam["type"]))
            given["ipam"] = {**ipam, "type": called}
        env = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": target.id,
            "CNI_NETNS": target.path,
            "CNI_IFNAME": interface,
            "CNI_ARGS": ";".join(f"{name}={value}" for name, value in target.arguments),
            "CNI_PATH": ":".join((*self._folders, os.path.dirname(program))),
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        }
        code, out, complaints = _call([program], json.dumps(given).encode(), env)
        try:
            answer = json.loads(out) if out.strip() else {}
        except ValueError:
            answer = {}
        if code or not isinstance(answer, dict):
            details = answer if isinstance(answer, dict) else {}
            reason = " ".join(str(details[key]) for key in ("msg", "details") if details.get(key))
            reason = reason or complaints.decode("utf-8", "replace").strip()
            reason = reason or f"exit status {code}"
            raise Unavailable(f'CNI plugin "{kind}" failed to {command} a network: {reason}')
        return answer

    def _program(self, kind: str) -> str:
        paths = [os.path.join(folder, kind) for folder in self._folders]
        on_path = os.environ.get("PATH", "").split(":")
        paths += [os.path.join(folder, f"buildkit-cni-{kind}") for folder in on_path if folder]
        for path in paths:
            if os.access(path, os.X_OK):
                return path
        raise NotFound(
            f'CNI plugin "{kind}" is not in {", ".join(self._folders)}',
            hint="install it (Debian: containernetworking-plugins), or set cniBinaryPath",
        )


def _call(command: list[str], given: bytes, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Run a program with an input. Returns its exit status and output."""
    out: list[bytes] = []
    complaints: list[bytes] = []
    with ExitStack() as opened:
        stdin = os.memfd_create("cni", os.MFD_CLOEXEC)
        opened.callback(os.close, stdin)
        os.write(stdin, given)
        os.lseek(stdin, 0, os.SEEK_SET)
        with ExitStack() as handed_over:
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, out_read)
            handed_over.callback(os.close, out_write)
            err_read, err_write = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, err_read)
            handed_over.callback(os.close, err_write)
            child = spawn(command, stdin=stdin, stdout=out_write, stderr=err_write, env=env)
        timer = threading.Timer(_TIMEOUT, child.kill)
        with child:
            timer.start()
            try:
                pump({out_read: out.append, err_read: complaints.append})
                code = child.wait()
            finally:
                timer.cancel()
                timer.join()
    return code, b"".join(out), b"".join(complaints)


def _is_plugin(value: object) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and bool(kind) and "/" not in kind
