"""The document of `lamina inspect IMAGE`: the members of `docker image inspect`, and lamina's own.

| member | content |
|---|---|
| `name`, `digest`, `manifest`, `config` | as in the store; `images` for those of an index |
| `Id`, `RepoTags`, `Config`, `RootFS`, … | as Docker has them; of an index, those of one image |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.platform import Platform, host_platform, normalise
from lamina.base.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLATFORM = ("os", "architecture", "variant")


def image_document(found: Mapping[str, Any]) -> dict[str, Any]:
    """Both kinds of members, Docker's first."""
    image = _shown(found)
    config = image.get("config") or {}
    names = [parse_reference(found["name"]).familiar] if found.get("name") else []
    layers = list((config.get("rootfs") or {}).get("diff_ids") or ())
    manifest = image.get("manifest") or {}
    sizes = [int(layer.get("size") or 0) for layer in manifest.get("layers") or ()]
    own = found["digest"] if "images" in found else (manifest.get("config") or {}).get("digest")
    docker = {
        "Id": own or found["digest"],
        "RepoTags": names,
        "RepoDigests": [f"{name.rpartition(':')[0] or name}@{found['digest']}" for name in names],
        "Comment": _comment(config),
        "Created": config.get("created") or "",
        "Author": config.get("author") or "",
        "Config": config.get("config") or {},
        "Architecture": config.get("architecture") or "",
        "Variant": config.get("variant") or "",
        "Os": config.get("os") or "",
        "Size": sum(sizes),
        "RootFS": {"Type": "layers", "Layers": layers},
    }
    return {**{key: value for key, value in docker.items() if key != "Variant" or value}, **found}


def _shown(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The image of an index for this machine, else its first one."""
    images: list[Mapping[str, Any]] = found.get("images") or []
    here = str(host_platform())
    for image in images:
        config = image.get("config") or {}
        system, machine, variant = (str(config.get(key) or "") for key in _PLATFORM)
        if str(normalise(Platform(system, machine, variant))) == here:
            return image
    return images[0] if images else found


def _comment(config: Mapping[str, Any]) -> str:
    history = config.get("history") or [{}]
    return str(history[-1].get("comment") or "")
