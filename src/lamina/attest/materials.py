"""The materials of a build: sources by digest, secrets, SSH agents and network access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.base.reference import parse_reference
from lamina.llb.codec import decode_op
from lamina.llb.op import MountType, NetMode
from lamina.sources.material import (
    BlobMaterial,
    GitMaterial,
    HttpMaterial,
    ImageMaterial,
    LocalMaterial,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.platform import Platform
    from lamina.llb.op import ExecOp
    from lamina.sources.material import Material


class Materials(NamedTuple):
    """The materials, sorted and without duplicates.

    `secrets` and `agents` are (ID, whether it is optional). `complete` is False if a step may have
    read something that is not recorded.
    """

    images: tuple[ImageMaterial, ...] = ()
    blobs: tuple[BlobMaterial, ...] = ()
    git: tuple[GitMaterial, ...] = ()
    http: tuple[HttpMaterial, ...] = ()
    folders: tuple[str, ...] = ()
    secrets: tuple[tuple[str, bool], ...] = ()
    agents: tuple[tuple[str, bool], ...] = ()
    network: bool = False
    complete: bool = True


def materials_of(vertices: Iterable[bytes], sources: Iterable[Material]) -> Materials:
    """The materials of a build's vertices, whether they ran or were cached.

    Args:
        vertices: the encoded ops.
        sources: the resolved sources among them, and those that frontends read.
    """
    found = list(sources)
    secrets: dict[str, bool] = {}
    agents: dict[str, bool] = {}
    network, complete = False, True
    for data in vertices:
        op = decode_op(data)
        if op.source is not None:
            _add_access(dict(op.source.attrs), secrets, agents)
        elif op.exec is not None:
            network |= op.exec.network is not NetMode.NONE
            _add_session_use(op.exec, secrets, agents)
        elif op.build is not None:
            complete = False
    folders = {m.name for m in found if isinstance(m, LocalMaterial)}
    git = {_redact_git(m): None for m in found if isinstance(m, GitMaterial)}
    http = {m._replace(url=redacted(m.url)): None for m in found if isinstance(m, HttpMaterial)}
    images = dict.fromkeys(m for m in found if isinstance(m, ImageMaterial))
    return Materials(
        tuple(sorted(_without_duplicates(images), key=lambda image: image.name)),
        tuple(sorted({m for m in found if isinstance(m, BlobMaterial)})),
        tuple(sorted(git, key=lambda m: (m.url, m.commit, m.bundle or ()))),
        tuple(sorted(http)),
        tuple(sorted(folders)),
        tuple(sorted(secrets.items())),
        tuple(sorted(agents.items())),
        network,
        complete and not folders,
    )


def of_platform(
    noted: Iterable[Material], platform: Platform, every: Iterable[Platform]
) -> list[Material]:
    """The sources that were read for one platform, without images that were read for each of them
    separately."""
    noted, every = list(noted), list(every)
    platforms: dict[str, set[Platform | None]] = {}
    for material in noted:
        if isinstance(material, ImageMaterial):
            platforms.setdefault(material.name, set()).add(material.platform)
    return [
        material
        for material in noted
        if not isinstance(material, ImageMaterial)
        or not platforms[material.name].issuperset(every)
        or material.platform == platform
    ]


def _add_session_use(op: ExecOp, secrets: dict[str, bool], agents: dict[str, bool]) -> None:
    for mount in op.mounts:
        if mount.mount_type is MountType.SECRET and mount.secret is not None:
            _add(secrets, mount.secret.id, optional=mount.secret.optional)
        if mount.mount_type is MountType.SSH and mount.ssh is not None:
            _add(agents, mount.ssh.id or "default", optional=mount.ssh.optional)
    for variable in op.secret_env:
        _add(secrets, variable.id, optional=variable.optional)


def _add_access(
    attrs: Mapping[str, str], secrets: dict[str, bool], agents: dict[str, bool]
) -> None:
    """Add the credentials of a git repository, if it needs some."""
    for key in ("git.authtokensecret", "git.authheadersecret"):
        if name := attrs.get(key):
            _add(secrets, name, optional=True)
    if agent := attrs.get("git.mountsshsock"):
        _add(agents, agent, optional=True)


def _add(found: dict[str, bool], name: str, *, optional: bool) -> None:
    found[name] = found.get(name, True) and optional


def _redact_git(material: GitMaterial) -> GitMaterial:
    return material._replace(url=redacted(material.url))


def _without_duplicates(images: Mapping[ImageMaterial, None]) -> list[ImageMaterial]:
    """Remove an image by digest if the tag that it was resolved from is present."""
    tagged = set()
    for image in images:
        reference = parse_reference(image.name)
        if reference.digest is None:
            tagged.add((reference.name, reference.tag))
    kept = []
    for image in images:
        reference = parse_reference(image.name)
        name = (reference.name, reference.tag or "latest")
        if reference.digest is None or name not in tagged:
            kept.append(image)
    return kept
