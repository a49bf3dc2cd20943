"""From a result to what was asked for: images, archives, folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lamina.base.digest import Digest
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.oci import Descriptor, load_json_object
from lamina.base.reference import parse_reference
from lamina.engine.steps import Step, step
from lamina.exporters.contract import ExportedTree, LayerInfo
from lamina.exporters.destination import (
    ArchiveOutput,
    CacheOnlyOutput,
    ImageForm,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    Output,
    TarOutput,
)
from lamina.exporters.image import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.cacheio.export import SolvedGraph
    from lamina.exporters.contract import ExportedImage, Receiver
    from lamina.refs.pool import RefPool
    from lamina.refs.ref import Ref
    from lamina.registry.client import RegistryClient
    from lamina.stores.images import ImageTable
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


class Registries(Protocol):
    """Finds the client for a registry."""

    def __call__(self, domain: str, *, insecure: bool) -> RegistryClient: ...


class MadePart(NamedTuple):
    """One platform's result, made: see `lamina.engine.result.PlatformResult`."""

    platform: Platform
    ref: Ref
    config: bytes = b""
    base: bytes = b""


class Exports:
    """The exports of one build, in the order they were asked for."""

    def __init__(
        self,
        pool: RefPool,
        store: Store,
        images: ImageTable,
        registries: Registries,
        receiver: Receiver,
        inline: SolvedGraph | None,
        events: EventSink,
        cancel: Cancellation,
    ) -> None:
        self._pool = pool
        self._store = store
        self._images = images
        self._registries = registries
        self._receiver = receiver
        self._inline = inline
        self._events = events
        self._cancel = cancel

    def run(
        self, outputs: Sequence[Output], parts: Sequence[MadePart], *, several: bool
    ) -> dict[str, Any]:
        """Make every output. Returns the metadata of the last image among them.

        `several`: the parts belong in an index.
        """
        metadata: dict[str, Any] = {}
        for output in outputs:
            match output:
                case ImageOutput():
                    metadata.update(self._to_store(output, self._one(parts, several)))
                case ArchiveOutput():
                    metadata.update(self._to_archive(output, self._one(parts, several)))
                case LoadOutput():
                    metadata.update(self._to_docker(output, self._one(parts, several)))
                case LocalOutput():
                    self._to_folder(output, parts, several)
                case TarOutput():
                    self._to_tar(output, parts, several)
                case CacheOnlyOutput():
                    continue
        return metadata

    def _one(self, parts: Sequence[MadePart], several: bool) -> MadePart:
        if several or len(parts) != 1:
            raise Unsupported("images of several platforms are not supported yet")
        return parts[0]

    def _to_store(self, output: ImageOutput, part: MadePart) -> dict[str, Any]:
        with step("exporting to image", self._events) as shown:
            image = self._assemble(output.form, part, shown)
            blobs = self._store.blobs
            for data in (image.config, image.manifest):
                blobs.put(data)
            shown.status(f"exporting manifest {image.target.digest}")
            shown.status(f"exporting config {image.config_descriptor.digest}")
            target = image.target._replace(annotations=())
            if output.store:
                for name in _stored_names(output, image):
                    self._images.put(name, target)
                    if image.names:
                        shown.status(f"naming to {name}")
            if output.push:
                from lamina.engine.pushes import push
                from lamina.refs.content import StoreContent

                references = [
                    _push_reference(name, image.target.digest, by_digest=output.by_digest)
                    for name in image.names
                ]
                push(
                    references,
                    target,
                    StoreContent(self._pool, blobs),
                    lambda domain: self._registries(domain, insecure=output.insecure),
                    shown,
                    self._cancel,
                )
        return image.metadata()

    def _to_archive(self, output: ArchiveOutput, part: MadePart) -> dict[str, Any]:
        from lamina.exporters.archive import write_archive, write_layout

        docker = output.kind == "docker"
        with step(f"exporting to {output.kind} image format", self._events) as shown:
            image = self._assemble(output.form, part, shown)
            self._present(image)
            with shown.doing("sending tarball" if output.tar else "writing layout"):
                if output.tar:
                    with self._receiver.file(output) as sink:
                        write_archive(image, self._store.blobs, sink, self._cancel, docker=docker)
                else:
                    write_layout(image, self._store.blobs, output.dest, self._cancel)
        return image.metadata()

    def _to_docker(self, output: LoadOutput, part: MadePart) -> dict[str, Any]:
        import os

        from lamina.exporters.docker_api import DockerApi
        from lamina.exporters.docker_host import find_docker_host
        from lamina.exporters.load import Load

        with step("exporting to docker image format", self._events) as shown:
            host = find_docker_host(os.environ, output.context)
            image = self._assemble(output.form, part, shown)
            document = load_json_object(image.config, "image config")

            def bring(wanted: frozenset[Digest]) -> None:
                layers = [layer for layer in image.layers if layer.digest in wanted]
                self._pool.bring(layers, self._cancel)

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
        return image.metadata()

    def _to_folder(self, output: LocalOutput, parts: Sequence[MadePart], several: bool) -> None:
        with step("exporting to client directory", self._events) as shown:
            trees = self._trees(output.split, parts, several)
            with shown.doing("copying files"):
                self._receiver.folder(output, trees, self._cancel)

    def _to_tar(self, output: TarOutput, parts: Sequence[MadePart], several: bool) -> None:
        from lamina.exporters.tar import export_tar

        with step("exporting to client tarball", self._events) as shown:
            trees = self._trees(output.split, parts, several)
            with shown.doing("sending tarball"), self._receiver.file(output) as sink:
                export_tar(trees, sink, self._cancel, epoch=output.epoch)

    def _trees(
        self, split: bool | None, parts: Sequence[MadePart], several: bool
    ) -> list[ExportedTree]:
        """Each part's files, in a folder named after its platform if they are not to mix."""
        apart = several if split is None else split
        return [
            ExportedTree(
                str(part.platform).replace("/", "_") if apart else "", self._root(part.ref)
            )
            for part in parts
        ]

    def _root(self, ref: Ref) -> str | None:
        if ref.snapshot is None and ref.local is None:
            return None
        return self._pool.tree(ref, self._cancel).root

    def _assemble(self, form: ImageForm, part: MadePart, shown: Step) -> ExportedImage:
        with shown.doing("exporting layers"):
            packed = self._pool.packed(
                part.ref, form.compression, self._cancel, force=form.force_compression
            )
        if form.rewrite_timestamp:
            if form.epoch is None:
                raise InvalidInput(
                    "rewrite-timestamp=true without a time",
                    hint="set SOURCE_DATE_EPOCH in the environment or as a build argument",
                )
            name = f"rewriting layers with source-date-epoch {form.epoch}"
            with shown.doing(name):
                packed = self._pool.dated(
                    packed, form.compression, form.epoch, _diff_ids(part.base), self._cancel
                )
        config = self._with_cache(part.config, [state.id for state, _ in packed], shown)
        layers = [
            LayerInfo(
                Descriptor(
                    layer.descriptor.media_type, layer.descriptor.digest, layer.descriptor.size
                ),
                layer.diff_id,
                self._pool.snapshots.created(state.id),
            )
            for state, layer in packed
        ]
        return assemble(
            config,
            layers,
            names=form.names,
            docker_types=form.docker_types,
            annotations=form.annotations,
            descriptor_annotations=form.descriptor_annotations,
            epoch=form.epoch,
            base=part.base or None,
        )

    def _with_cache(self, config: bytes, states: list[int], shown: Step) -> bytes:
        """The image's config with its own cache in it, and no other image's."""
        from lamina.cacheio.config import INLINE_KEY

        if self._inline is None and INLINE_KEY.encode() not in config:
            return config
        import json
        from base64 import b64encode

        document = load_json_object(config, "image config")
        document.pop(INLINE_KEY, None)
        if self._inline is not None:
            from lamina.cacheio.export import inline_records

            with shown.doing("preparing layers for inline cache"):
                records = inline_records(self._inline, states, self._pool)
            if records is not None:
                document[INLINE_KEY] = b64encode(records).decode()
        return json.dumps(document).encode()

    def _present(self, image: ExportedImage) -> None:
        """Bring blobs of the base image that nobody has needed so far."""
        self._pool.bring(image.layers, self._cancel)


def _stored_names(output: ImageOutput, image: ExportedImage) -> list[str]:
    digest = image.target.digest
    if not image.names:
        return [f"<none>@{digest}"]
    if output.by_digest:
        return [f"{name}@{digest}" for name in image.names]
    canonical = [f"{parse_reference(name).name}@{digest}" for name in image.names]
    return [*image.names, *(canonical if output.canonical else ())]


def _diff_ids(config: bytes) -> frozenset[Digest]:
    """Of an image's layers, which are what they are whatever time it is."""
    if not config:
        return frozenset()
    rootfs = load_json_object(config, "base image config").get("rootfs") or {}
    return frozenset(map(Digest, rootfs.get("diff_ids") or ()))


def _push_reference(name: str, digest: Digest, *, by_digest: bool) -> Reference:
    """What a push addresses: the name's tag, or else the digest itself."""
    reference = parse_reference(name)
    return reference._replace(tag="", digest=digest) if by_digest else reference
