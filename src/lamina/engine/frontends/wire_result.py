"""Results in the gateway API: refs by ID, with metadata.

`containerimage.config` and `containerimage.base.config` are image configurations, with `/<platform
ID>` appended if there are several. `refs.platforms` lists the platforms by ID (BuildKit's
`exporter/containerimage/exptypes`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.oci import IMAGE_CONFIG_KEY, platform_from_json, platform_to_json
from lamina.base.platform import host_platform, normalise
from lamina.engine.build_result import BuildResult, PlatformResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import Attestation
    from lamina.base.platform import Platform
    from lamina.engine.build_result import Solvable

BASE_CONFIG = "containerimage.base.config"
PLATFORMS = "refs.platforms"
EPOCH = "source.date.epoch"


def read_result(
    single: Solvable | None,
    several: Mapping[str, Solvable] | None,
    metadata: Mapping[str, bytes],
    attestations: Mapping[str, tuple[Attestation, ...]] = {},
) -> BuildResult:
    """Read a frontend's result: one ref, several by platform ID, or none. Raises InvalidInput.

    `attestations` are by platform ID.
    """
    platforms = _platforms(metadata)
    if several is None:
        if single is None:
            return BuildResult((), metadata=metadata)
        config = metadata.get(IMAGE_CONFIG_KEY, b"")
        platform = next(iter(platforms.values()), None) or _platform_of(config)
        base = metadata.get(BASE_CONFIG, b"")
        key = next(iter(platforms), str(platform))
        part = PlatformResult(
            platform,
            single,
            config,
            base,
            epoch=_epoch(metadata, key),
            attestations=attestations.get(key, ()),
        )
        return BuildResult((part,), metadata=metadata)
    parts = []
    for key in [
        *(k for k in platforms if k in several),
        *(k for k in several if k not in platforms),
    ]:
        config = metadata.get(f"{IMAGE_CONFIG_KEY}/{key}", b"") or metadata.get(
            IMAGE_CONFIG_KEY, b""
        )
        parts.append(
            PlatformResult(
                platforms.get(key) or _platform_of(config),
                several[key],
                config,
                metadata.get(f"{BASE_CONFIG}/{key}", b""),
                key,
                _epoch(metadata, key),
                attestations.get(key, ()),
            )
        )
    return BuildResult(tuple(parts), True, metadata)


def result_metadata(result: BuildResult) -> dict[str, bytes]:
    """The metadata of a result."""
    metadata = dict(result.metadata)
    for part in result.parts:
        suffix = f"/{part.key}" if result.several else ""
        if part.config:
            metadata.setdefault(IMAGE_CONFIG_KEY + suffix, part.config)
        if part.base:
            metadata.setdefault(BASE_CONFIG + suffix, part.base)
        if part.epoch is not None:
            metadata.setdefault(EPOCH + suffix, str(part.epoch).encode())
    if result.parts and PLATFORMS not in metadata:
        listed = [
            {"ID": part.key, "Platform": platform_to_json(part.platform)} for part in result.parts
        ]
        metadata[PLATFORMS] = json.dumps({"Platforms": listed}, separators=(",", ":")).encode()
    return metadata


def _epoch(metadata: Mapping[str, bytes], key: str) -> int | None:
    text = (metadata.get(f"{EPOCH}/{key}") or metadata.get(EPOCH, b"")).decode(errors="replace")
    try:
        return int(text) if text else None
    except ValueError:
        raise InvalidInput(f'invalid SOURCE_DATE_EPOCH from frontend: "{text}"') from None


def _platforms(metadata: Mapping[str, bytes]) -> dict[str, Platform]:
    text = metadata.get(PLATFORMS)
    if not text:
        return {}
    try:
        document: dict[str, Any] | None = json.loads(text)
        listed: list[dict[str, Any]] = (document or {}).get("Platforms") or []
        found = {}
        for entry in listed:
            platform = entry.get("Platform") or {}
            if not entry.get("ID"):
                raise InvalidInput("invalid empty platform key for exporter")
            if not platform.get("os") or not platform.get("architecture"):
                raise InvalidInput(f"invalid platform value {json.dumps(platform)}")
            found[str(entry["ID"])] = normalise(platform_from_json(platform))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(f"malformed {PLATFORMS} in a frontend's result: {error!r}") from error
    if not found:
        raise InvalidInput("invalid empty platforms index for exporter")
    return found


def _platform_of(config: bytes) -> Platform:
    if not config:
        return host_platform()
    try:
        document = json.loads(config)
        if document is None:
            raise InvalidInput("invalid null image config for export")
        platform = platform_from_json(document)
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"malformed image config in a frontend's result: {error}") from error
    if bool(platform.os) != bool(platform.architecture):
        raise InvalidInput("invalid image config: os and architecture must be specified together")
    return normalise(platform) if platform.architecture else host_platform()
