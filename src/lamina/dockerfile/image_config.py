"""The image configuration that instructions build up (OCI image spec, `config.md`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt
from lamina.base.oci import load_json_object, platform_to_json

if TYPE_CHECKING:
    from lamina.base.platform import Platform

_COMMENT = "buildkit.dockerfile.v0"
_KEYS = (
    "architecture",
    "author",
    "config",
    "created",
    "history",
    "os",
    "os.features",
    "os.version",
    "variant",
)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageConfig:
    """Mutable while a stage is converted; `copy` for a stage that builds on another."""

    def __init__(self, document: dict[str, Any], platform: Platform) -> None:
        self._document = document
        document.setdefault("config", {})
        if document["config"] is None:
            document["config"] = {}
        document.update(platform_to_json(platform))
        self.history: list[dict[str, Any]] = list(document.get("history") or [])

    @classmethod
    def scratch(cls, platform: Platform) -> ImageConfig:
        config = cls({}, platform)
        config.set_env("PATH", DEFAULT_PATH)
        config.settings["WorkingDir"] = "/"
        return config

    @classmethod
    def parse(cls, data: bytes, platform: Platform) -> ImageConfig:
        """Raises Corrupt."""
        document = load_json_object(data, "image configuration")
        if not isinstance(document.get("config") or {}, dict):
            raise Corrupt("malformed image configuration: config is not an object")
        config = cls({key: document[key] for key in _KEYS if key in document}, platform)
        config._document.pop("created", None)
        if not any(entry.startswith("PATH=") for entry in config.env):
            config.set_env("PATH", DEFAULT_PATH)
        return config

    def copy(self) -> ImageConfig:
        duplicate = ImageConfig.__new__(ImageConfig)
        duplicate._document = json.loads(json.dumps(self._document))
        duplicate.history = list(self.history)
        return duplicate

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self._document["config"]
        return settings

    @property
    def env(self) -> list[str]:
        return list(self.settings.get("Env") or [])

    def set_env(self, name: str, value: str) -> None:
        env = self.env
        for index, entry in enumerate(env):
            if entry.partition("=")[0] == name:
                env[index] = f"{name}={value}"
                break
        else:
            env.append(f"{name}={value}")
        self.settings["Env"] = env

    @property
    def working_dir(self) -> str:
        return str(self.settings.get("WorkingDir") or "/")

    @property
    def user(self) -> str:
        return str(self.settings.get("User") or "")

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.settings.get("Shell") or ("/bin/sh", "-c"))

    def set_author(self, name: str) -> None:
        self._document["author"] = name

    def add_history(self, created_by: str, *, layer: bool) -> None:
        entry: dict[str, Any] = {"created_by": created_by, "comment": _COMMENT}
        if not layer:
            entry["empty_layer"] = True
        self.history.append(entry)

    def add_to_set(self, key: str, names: tuple[str, ...]) -> None:
        """ExposedPorts and Volumes: JSON objects used as sets."""
        members = dict(self.settings.get(key) or {})
        members.update({name: {} for name in names})
        self.settings[key] = dict(sorted(members.items()))

    def to_bytes(self) -> bytes:
        document = {**self._document, "history": self.history}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogateescape"
        )
