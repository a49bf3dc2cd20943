"""Assembles results into an image, or an index of several, for any output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import IMAGE_CONFIG_KEY, INLINE_KEY, Descriptor, diff_ids_of, platform_to_json
from lamina.exporters.annotations import (
    Level,
    check_platforms,
    of_index,
    of_manifest,
    parse_annotation,
)
from lamina.exporters.contract import Artifact, LayerInfo
from lamina.exporters.destination import FROM_RESULT, epoch_of
from lamina.exporters.image import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.attest.statements import Attested
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.cacheio.solved import SolvedGraph
    from lamina.engine.steps import Step
    from lamina.exporters.annotations import Annotation
    from lamina.exporters.contract import Document, ExportedImage
    from lamina.exporters.destination import ImageForm
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.system.cancel import Cancellation

IMAGE_NAME = "image.name"
_REWRITTEN = "buildkit/rewritten-timestamp"
"""The annotation of a layer with the time that its timestamps were limited to."""


class MadePart(NamedTuple):
    """The result for one platform, solved: see `lamina.engine.build_result.PlatformResult`.

    `attested` returns the statements about it and is called last; whether there are any is known
    before.
    """

    platform: Platform
    ref: Ref
    config: bytes = b""
    base: bytes = b""
    epoch: int | None = None
    attested: Attested | None = None


class Made(NamedTuple):
    """The solved result of a build. `several`: the parts are exported as an index."""

    parts: tuple[MadePart, ...]
    several: bool = False
    metadata: Mapping[str, bytes] = {}


class Assembly:
    """Assembles the images of one result, in the formats that outputs request.

    Args:
        inline: the source of the inline cache, if the images get one.
    """

    def __init__(
        self, made: Made, refs: RefManager, inline: SolvedGraph | None, cancel: Cancellation
    ) -> None:
        self._made = made
        self._refs = refs
        self._inline = inline
        self._cancel = cancel

    def artifact(self, form: ImageForm, shown: Step) -> Artifact:
        """The image, or an index if there are several parts or attestations.

        Raises InvalidInput, Corrupt, Unsupported.
        """
        made = self._made
        metadata = {**made.metadata, **form.metadata}
        annotations = (*form.annotations, *_returned_annotations(metadata))
        check_platforms(annotations, [part.platform for part in made.parts])
        names = _names(form, metadata)
        several = made.several or any(
            part.attested is not None and part.attested.wanted(inline=form.inline_attestations)
            for part in made.parts
        )
        if not several:
            if len(made.parts) != 1:
                raise InvalidInput(
                    "cannot export multiple platforms without multi-platform enabled"
                )
            if any(a.level in (Level.INDEX, Level.INDEX_DESCRIPTOR) for a in annotations):
                raise InvalidInput(
                    "index annotations not supported for single platform export",
                    hint="build several platforms, or annotate the manifest",
                )
            image = self._image(form, made.parts[0], annotations, metadata, shown)
            return Artifact.of(image._replace(names=names))
        from lamina.exporters.image_index import make_index

        images = [self._image(form, part, annotations, metadata, shown) for part in made.parts]
        # Last, because they contain the layers and the time when the build ended.
        attestations = [
            self._attestation(form, part, image, names, shown)
            for part, image in zip(made.parts, images, strict=True)
            if part.attested is not None
        ]
        return make_index(
            images,
            attestations,
            names=names,
            docker_types=form.docker_types,
            annotations=of_index(annotations, Level.INDEX),
            descriptor_annotations=of_index(annotations, Level.INDEX_DESCRIPTOR),
        )

    def said(self, form: ImageForm) -> tuple[str, ...]:
        """The names of the image as the user wrote them, or as the frontend returned them."""
        if form.names != (FROM_RESULT,):
            return form.said
        metadata = {**self._made.metadata, **form.metadata}
        returned = metadata.get(IMAGE_NAME, b"").decode(errors="replace")
        return (returned,) if returned else ()

    def image(self, form: ImageForm, shown: Step) -> ExportedImage:
        """The one image, without attestations. Raises as `artifact` does."""
        alone = Made(
            tuple(part._replace(attested=None) for part in self._made.parts),
            self._made.several,
            self._made.metadata,
        )
        if alone.several:
            raise InvalidInput(
                "docker exporter does not currently support exporting manifest lists",
                hint="build one platform, or use type=oci or type=image",
            )
        single = (
            Assembly(alone, self._refs, self._inline, self._cancel).artifact(form, shown).single
        )
        assert single is not None
        return single

    def _attestation(
        self,
        form: ImageForm,
        part: MadePart,
        image: ExportedImage,
        names: Sequence[str],
        shown: Step,
    ) -> tuple[Document, ...]:
        from lamina.engine.outputs.image_layers import ExportedImageLayers
        from lamina.exporters.attestation import Named, attestation_manifest
        from lamina.exporters.purl import image_purl

        assert part.attested is not None
        if form.docker_types:
            raise InvalidInput(
                'cannot export attestations with "oci-mediatypes=false"', hint="leave it out"
            )
        exported = [Named(image_purl(name, part.platform), image.target.digest) for name in names]
        described = ExportedImageLayers(self._refs, part.ref, image, names, self._cancel)
        statements = [s.to_json(exported) for s in part.attested.statements(described)]
        artifact = form.artifact is not False
        documents = attestation_manifest(image.target, statements, artifact=artifact)
        shown.status(f"exporting attestation manifest {documents[-1].descriptor.digest}")
        return documents

    def _image(
        self,
        form: ImageForm,
        part: MadePart,
        annotations: Sequence[Annotation],
        metadata: Mapping[str, bytes],
        shown: Step,
    ) -> ExportedImage:
        epoch = epoch_of(form.epoch, part.epoch)
        with shown.doing("exporting layers"):
            packed = self._refs.packer.packed(
                part.ref, form.compression, self._cancel, force=form.force_compression
            )
        notes: list[tuple[tuple[str, str], ...]] = [()] * len(packed)
        if form.rewrite_timestamp and epoch is None:
            shown.warn(
                "rewrite-timestamp needs a time: set SOURCE_DATE_EPOCH in the environment or"
                " as a build argument"
            )
        elif form.rewrite_timestamp and epoch is not None:
            name = f"rewriting layers with source-date-epoch {epoch}"
            untouched = _diff_ids(part.base)
            rewritten = ((_REWRITTEN, str(epoch)),)
            notes = [() if layer.diff_id in untouched else rewritten for _, layer in packed]
            with shown.doing(name):
                packed = self._refs.packer.clamped(
                    packed, form.compression, epoch, untouched, self._cancel
                )
        given = _of_platform(metadata, IMAGE_CONFIG_KEY, part.platform) or part.config
        config = self._with_cache(
            given or _plain_config(part.platform), [state.id for state, _ in packed], shown
        )
        layers = [
            LayerInfo(
                Descriptor(
                    layer.descriptor.media_type,
                    layer.descriptor.digest,
                    layer.descriptor.size,
                    note,
                ),
                layer.diff_id,
                self._refs.snapshots.created(state.id),
                self._refs.snapshots.description(state.id),
            )
            for (state, layer), note in zip(packed, notes, strict=True)
        ]
        image = assemble(
            config,
            layers,
            docker_types=form.docker_types,
            annotations=of_manifest(annotations, Level.MANIFEST, part.platform),
            descriptor_annotations=of_manifest(
                annotations, Level.MANIFEST_DESCRIPTOR, part.platform
            ),
            epoch=epoch,
            base=part.base or None,
        )
        shown.status(f"exporting manifest {image.target.digest}")
        shown.status(f"exporting config {image.config_descriptor.digest}")
        return image._replace(target=image.target._replace(platform=part.platform))

    def _with_cache(self, config: bytes, states: list[int], shown: Step) -> bytes:
        """The image's config with its inline cache, and without that of its base image."""
        if self._inline is None and INLINE_KEY.encode() not in config:
            return config
        from base64 import b64encode

        document = load_json_object(config, "image config")
        document.pop(INLINE_KEY, None)
        if self._inline is not None:
            from lamina.cacheio.export import inline_records

            with shown.doing("preparing layers for inline cache"):
                records = inline_records(self._inline, states, self._refs)
            if records is not None:
                document[INLINE_KEY] = b64encode(records).decode()
        return json.dumps(document).encode()


def _names(form: ImageForm, metadata: Mapping[str, bytes]) -> tuple[str, ...]:
    if form.names != (FROM_RESULT,):
        return form.names
    from lamina.base.reference import parse_reference

    returned = metadata.get(IMAGE_NAME, b"").decode(errors="replace")
    return tuple(str(parse_reference(name)) for name in returned.split(",") if name)


def _returned_annotations(metadata: Mapping[str, bytes]) -> list[Annotation]:
    """The annotations that the frontend returned. An output's annotations take precedence."""
    found = []
    for key in sorted(key for key in metadata if key.startswith("annotation")):
        annotation = parse_annotation(key, metadata[key].decode(errors="replace"))
        if annotation is not None:
            found.append(annotation)
    return found


def _of_platform(metadata: Mapping[str, bytes], key: str, platform: Platform) -> bytes:
    """The value of a key, or of the key for one platform."""
    return metadata.get(f"{key}/{platform}") or metadata.get(key, b"")


def _plain_config(platform: Platform) -> bytes:
    """The config of an image if the frontend returned none."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config: dict[str, Any] = {"WorkingDir": "/"}
    if platform.os != "windows":  # Windows has a default
        config["Env"] = [f"PATH={path}"]
    return json.dumps({**platform_to_json(platform), "config": config}).encode()


def _diff_ids(config: bytes) -> frozenset[Digest]:
    """The diff IDs of an image's layers. They do not depend on the time."""
    if not config:
        return frozenset()
    return frozenset(diff_ids_of(load_json_object(config, "base image config")))
