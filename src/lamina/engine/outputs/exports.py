"""Exports a result to the requested outputs: images, archives, directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lamina.base.digest import Digest
from lamina.base.errors import InvalidInput
from lamina.base.json_document import load_json_object
from lamina.base.reference import parse_reference
from lamina.engine.outputs.assembly import Assembly
from lamina.engine.steps import step
from lamina.exporters.destination import (
    ArchiveOutput,
    CacheOnlyOutput,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    Output,
    TarOutput,
)
from lamina.stores.images import NAMELESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.events import EventSink
    from lamina.base.reference import Reference
    from lamina.cacheio.solved import SolvedGraph
    from lamina.engine.outputs.assembly import Made
    from lamina.exporters.contract import Artifact, Receiver
    from lamina.refs.manager import RefManager
    from lamina.registry.client import RegistryClient
    from lamina.stores.images import ImageTable
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


class Registries(Protocol):
    """Finds the client for a registry."""

    def __call__(self, domain: str, *, insecure: bool) -> RegistryClient: ...


class Exports:
    """The exports of one build, in the order of the request."""

    def __init__(
        self,
        refs: RefManager,
        store: Store,
        images: ImageTable,
        registries: Registries,
        receiver: Receiver,
        inline: SolvedGraph | None,
        events: EventSink,
        cancel: Cancellation,
    ) -> None:
        self._refs = refs
        self._store = store
        self._images = images
        self._registries = registries
        self._receiver = receiver
        self._inline = inline
        self._events = events
        self._cancel = cancel

    def run(self, outputs: Sequence[Output], made: Made) -> tuple[dict[str, Any], ...]:
        """Write every output. Returns the metadata of each image."""
        assembly = Assembly(made, self._refs, self._inline, self._cancel)
        return tuple(self._make(output, made, assembly) for output in outputs)

    def _make(self, output: Output, made: Made, assembly: Assembly) -> dict[str, Any]:
        match output:
            case ImageOutput():
                return self._to_store(output, assembly)
            case ArchiveOutput():
                return self._to_archive(output, made, assembly)
            case LoadOutput():
                return self._to_docker(output, assembly)
            case LocalOutput():
                self._to_folder(output, made)
            case TarOutput():
                self._to_tar(output, made)
            case CacheOnlyOutput():
                pass
        return {}

    def _to_store(self, output: ImageOutput, assembly: Assembly) -> dict[str, Any]:
        with step("exporting to image", self._events) as shown:
            artifact = _with_dangling_name(output, assembly.artifact(output.form, shown))
            blobs = self._store.blobs
            for document in artifact.documents:
                blobs.put(document.data)
            if artifact.single is None:
                shown.status(f"exporting manifest list {artifact.target.digest}")
            target = artifact.target._replace(annotations=())
            if output.store:
                for name in _stored_names(output, artifact):
                    self._images.put(name, target)
                    if artifact.names:
                        shown.status(f"naming to {name}")
            if output.push:
                from lamina.engine.transfers.image_upload import push
                from lamina.refs.content import StoreContent

                references = [
                    _push_reference(name, target.digest, by_digest=output.by_digest)
                    for name in artifact.names
                ]
                push(
                    references,
                    target,
                    StoreContent(self._refs, blobs),
                    lambda domain: self._registries(domain, insecure=output.insecure),
                    shown,
                    self._cancel,
                )
        return _said_names(output, artifact, assembly)

    def _to_archive(self, output: ArchiveOutput, made: Made, assembly: Assembly) -> dict[str, Any]:
        from lamina.exporters.archive import dated, write_archive

        docker = output.kind == "docker"
        if docker and made.several:
            raise InvalidInput(
                "docker exporter does not currently support exporting manifest lists",
                hint="build one platform, or use type=oci or type=image",
            )
        with step(f"exporting to {output.kind} image format", self._events) as shown:
            artifact = dated(assembly.artifact(output.form, shown))
            if artifact.single is None:
                shown.status(f"exporting manifest list {artifact.target.digest}")
            self._refs.fetch(artifact.layers(), self._cancel)
            with shown.doing("sending tarball" if output.tar else "writing layout"):
                blobs = self._store.blobs
                for document in artifact.documents:  # the history of builds shows them
                    blobs.put(document.data)
                if output.tar:
                    with self._receiver.file(output, artifact.metadata()) as sink:
                        write_archive(artifact, blobs, sink, self._cancel, docker=docker)
                else:
                    self._receiver.layout(output, artifact, blobs, self._cancel)
        return artifact.metadata()

    def _to_docker(self, output: LoadOutput, assembly: Assembly) -> dict[str, Any]:
        import os

        from lamina.exporters.contract import Artifact
        from lamina.exporters.docker_api import DockerApi
        from lamina.exporters.docker_host import find_docker_host
        from lamina.exporters.load import Load

        with step("exporting to docker image format", self._events) as shown:
            host = find_docker_host(os.environ, output.context)
            image = assembly.image(output.form, shown)
            document = load_json_object(image.config, "image config")

            def bring(wanted: frozenset[Digest]) -> None:
                layers = [layer for layer in image.layers if layer.digest in wanted]
                self._refs.fetch(layers, self._cancel)

            load = Load(
                DockerApi(host, self._cancel),
                image,
                list(map(Digest, document["rootfs"]["diff_ids"])),
                self._store.blobs,
                bring,
            )
            with shown.doing(f"loading into {host}"):
                sent = load.run(self._cancel)
            shown.status(f"layers sent: {sent} bytes" if sent else "layers sent: none")
        return Artifact.of(image).metadata()

    def _to_folder(self, output: LocalOutput, made: Made) -> None:
        from lamina.engine.outputs.file_trees import exported_trees

        with step("exporting to client directory", self._events) as shown:
            trees = exported_trees(made, output, self._refs, self._cancel)
            self._receiver.folder(output, trees, shown.transferring, self._cancel)

    def _to_tar(self, output: TarOutput, made: Made) -> None:
        from lamina.engine.outputs.file_trees import exported_trees
        from lamina.exporters.tar import export_tar

        with step("exporting to client tarball", self._events) as shown:
            trees = exported_trees(made, output, self._refs, self._cancel)
            with shown.doing("sending tarball"), self._receiver.file(output, {}) as sink:
                export_tar(trees, sink, self._cancel)


def _with_dangling_name(output: ImageOutput, artifact: Artifact) -> Artifact:
    if not output.dangling or (output.dangling_alone and artifact.names):
        return artifact
    name = f"{output.dangling}@{artifact.target.digest}"
    return artifact._replace(names=(*artifact.names, name))


def _said_names(output: ImageOutput, artifact: Artifact, assembly: Assembly) -> dict[str, Any]:
    """An image's metadata, with the names as the requester wrote them."""
    metadata = artifact.metadata()
    said = list(assembly.said(output.form))
    said += [name for name in artifact.names if name.startswith(f"{output.dangling}@")]
    if said:
        metadata["image.name"] = ",".join(said)
    return metadata


def _stored_names(output: ImageOutput, artifact: Artifact) -> list[str]:
    digest = artifact.target.digest
    if not artifact.names:
        return [f"{NAMELESS}{digest}"]
    plain = [name for name in artifact.names if "@" not in name]
    if output.by_digest:
        plain = []
        names = [name if "@" in name else f"{name}@{digest}" for name in artifact.names]
    else:
        names = list(artifact.names)
    if output.canonical:
        names += [f"{parse_reference(name).name}@{digest}" for name in plain]
    return names


def _push_reference(name: str, digest: Digest, *, by_digest: bool) -> Reference:
    """The reference of a push: the name's tag, or else the digest."""
    reference = parse_reference(name)
    return reference._replace(tag="", digest=digest) if by_digest else reference
