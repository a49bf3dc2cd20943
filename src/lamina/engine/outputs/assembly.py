"""From made parts to an image, or an index of several, ready to go anywhere."""

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
"""A layer's annotation: what its times were cut off at."""


class MadePart(NamedTuple):
    """One platform's result, made: see `lamina.engine.build_result.PlatformResult`.

    `attested` is asked for the statements about it when everything else is done; whether there
    are any is known before.
    """

    platform: Platform
    ref: Ref
    config: bytes = b""
    base: bytes = b""
    epoch: int | None = None
    attested: Attested | None = None


class Made(NamedTuple):
    """A build's result, made. `several`: the parts belong in an index."""

    parts: tuple[MadePart, ...]
    several: bool = False
    metadata: Mapping[str, bytes] = {}


class Assembly:
    """Makes images of one result, in whatever forms outputs want.

    Args:
        inline: where the image's own cache comes from, if it is to have one.
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
        # The last things made: they tell of the layers, and of when the build ended.
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
        """The names of the image as they were written, or as the frontend returned them."""
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
        from lamina.exporters.attestation import Named, attestation_manifest
        from lamina.exporters.purl import image_purl

        assert part.attested is not None
        if form.docker_types:
            raise InvalidInput(
                'cannot export attestations with "oci-mediatypes=false"', hint="leave that out"
            )
        exported = [Named(image_purl(name, part.platform), image.target.digest) for name in names]
        statements = [s.to_json(exported) for s in part.attested.statements()]
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
                "rewrite-timestamp is set, but no time is: SOURCE_DATE_EPOCH in the environment or"
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
        """The image's config with its own cache in it, and no other image's."""
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
    """Those that the frontend returned; they count after what the output says."""
    found = []
    for key in sorted(key for key in metadata if key.startswith("annotation")):
        annotation = parse_annotation(key, metadata[key].decode(errors="replace"))
        if annotation is not None:
            found.append(annotation)
    return found


def _of_platform(metadata: Mapping[str, bytes], key: str, platform: Platform) -> bytes:
    """A value under a key, or under the key for one platform."""
    return metadata.get(f"{key}/{platform}") or metadata.get(key, b"")


def _plain_config(platform: Platform) -> bytes:
    """What an image gets whose maker said nothing of its configuration."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config: dict[str, Any] = {"WorkingDir": "/"}
    if platform.os != "windows":  # Windows knows its own
        config["Env"] = [f"PATH={path}"]
    return json.dumps({**platform_to_json(platform), "config": config}).encode()


def _diff_ids(config: bytes) -> frozenset[Digest]:
    """Of an image's layers, which are what they are whatever time it is."""
    if not config:
        return frozenset()
    return frozenset(diff_ids_of(load_json_object(config, "base image config")))
