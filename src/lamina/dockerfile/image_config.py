"""The image configuration that a stage makes (OCI image spec, `config.md`; Docker's additions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt
from lamina.base.gojson import encode
from lamina.base.json_document import load_json_object
from lamina.base.oci import platform_from_json, platform_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.platform import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HISTORY_COMMENT = "buildkit.dockerfile.v0"
# The order in Docker's own documents.
_SETTINGS = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
)
_TYPES: Mapping[str, type] = {
    "User": str,
    "ExposedPorts": dict,
    "Env": list,
    "Entrypoint": list,
    "Cmd": list,
    "Volumes": dict,
    "WorkingDir": str,
    "Labels": dict,
    "StopSignal": str,
    "ArgsEscaped": bool,
    "Healthcheck": dict,
    "OnBuild": list,
    "Shell": list,
}
_SORTED = frozenset(("ExposedPorts", "Volumes", "Labels"))


class ImageConfig:
    """A configuration that instructions change. A stage that builds on another starts with a
    `copy`.

    `settings` is the document's `config`. Lists and objects in it are replaced, never changed
    in place, so that copies may share them.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.author = ""
        self.settings: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []

    @classmethod
    def empty(cls, platform: Platform) -> ImageConfig:
        """The configuration of `FROM scratch`."""
        config = cls(platform)
        config.settings["WorkingDir"] = "/"
        if platform.os != "windows":  # Windows has a default
            config.set_env("PATH", DEFAULT_PATH)
        return config

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """Read an image's configuration, without fields that do not apply to a new image.

        Raises Corrupt.
        """
        document = load_json_object(data, "image configuration")
        config = cls(platform_from_json(document))
        settings = document.get("config") or {}
        history = document.get("history") or []
        if not isinstance(settings, dict) or not isinstance(history, list):
            raise Corrupt("malformed image configuration: config or history has the wrong type")
        for key in _SETTINGS:
            value = settings.get(key)
            if not value:
                continue
            if not isinstance(value, _TYPES[key]):
                raise Corrupt(f"malformed image configuration: {key} has the wrong type")
            if isinstance(value, list) and not all(isinstance(item, str) for item in value):
                raise Corrupt(f"malformed image configuration: {key} is not a list of strings")
            config.settings[key] = value
        config.author = str(document.get("author") or "")
        config.history = [entry for entry in history if isinstance(entry, dict)]
        return config

    def copy(self) -> ImageConfig:
        duplicate = ImageConfig(self.platform)
        duplicate.author = self.author
        duplicate.settings = dict(self.settings)
        duplicate.history = list(self.history)
        return duplicate

    @property
    def env(self) -> list[tuple[str, str]]:
        pairs = (entry.partition("=") for entry in self.settings.get("Env") or ())
        return [(name, value) for name, _, value in pairs]

    def set_env(self, name: str, value: str) -> None:
        """Replace a variable in its position, or add it at the end."""
        env = list(self.settings.get("Env") or ())
        for index, entry in enumerate(env):
            if entry.partition("=")[0] == name:
                env[index] = f"{name}={value}"
                break
        else:
            env.append(f"{name}={value}")
        self.settings["Env"] = env

    @property
    def working_dir(self) -> str:
        return str(self.settings.get("WorkingDir") or "")

    @property
    def user(self) -> str:
        return str(self.settings.get("User") or "")

    def shell_command(self, words: Iterable[str]) -> tuple[str, ...]:
        """Words in shell form: the shell with the words as one argument."""
        shell = self.settings.get("Shell")
        if not shell:
            windows = self.platform.os == "windows"
            shell = ("cmd", "/S", "/C") if windows else ("/bin/sh", "-c")
        return (*shell, " ".join(words))

    def set_labels(self, labels: Iterable[tuple[str, str]]) -> None:
        self.settings["Labels"] = {**(self.settings.get("Labels") or {}), **dict(labels)}

    def add_names(self, key: str, names: Iterable[str]) -> None:
        """ExposedPorts and Volumes: objects used as sets."""
        self.settings[key] = {
            **(self.settings.get(key) or {}),
            **{name: {} for name in names},
        }

    def note(self, created_by: str, *, layer: bool = False, epoch: int | None = None) -> None:
        """Add an entry of history; `layer` if the step made one, `epoch` its time in seconds."""
        entry: dict[str, Any] = {}
        if epoch is not None:
            entry["created"] = _format_time(epoch)
        entry["created_by"] = created_by
        entry["comment"] = HISTORY_COMMENT
        if not layer:
            entry["empty_layer"] = True
        self.history.append(entry)

    def to_bytes(self) -> bytes:
        """The document as JSON, without `rootfs` and `created`: the exporter knows those."""
        settings: dict[str, Any] = {}
        for key in _SETTINGS:
            value = self.settings.get(key)
            if value:
                settings[key] = dict(sorted(value.items())) if key in _SORTED else value
        document: dict[str, Any] = {"author": self.author} if self.author else {}
        document.update(platform_to_json(self.platform))
        document["config"] = settings
        if self.history:
            document["history"] = self.history
        # Bytes of the Dockerfile that are not UTF-8 become replacement characters, as in Go.
        return encode(document)


def _format_time(epoch: int) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
