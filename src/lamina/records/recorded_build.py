"""A recorded build as explanations compare it: its request, its Dockerfile and its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.llb.codec import decode_definition
from lamina.records.steps import read_log, steps_of

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.llb.op import Definition
    from lamina.records.steps import Step
    from lamina.stores.blobs import BlobStore

_DEFINITION_LIMIT = 64 << 20  # bytes


class RecordedBuild(NamedTuple):
    """`started` is in seconds since the epoch, `attributes` are the frontend's, by name.

    `imports` says whether caches were imported. `dockerfile` is the text that the steps were made
    from, "" if it is not known.
    """

    ref: str
    started: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()
    imports: bool = False
    steps: tuple[Step, ...] = ()
    dockerfile: str = ""


def read_build(blobs: BlobStore, record: BuildHistoryRecord) -> RecordedBuild:
    """The build of a record that has ended. Raises NotFound, Corrupt."""
    texts: list[str] = []

    def load(digest: str) -> Definition | None:
        try:
            data = blobs.read(parse_digest(digest), _DEFINITION_LIMIT)
            definition = decode_definition(data)
        except LaminaError:
            return None  # the disk was full, or it was removed by hand
        texts.append(dockerfile_of(definition))
        return definition

    steps = steps_of(read_log(blobs, record), load)
    return build_of(record, steps, next(filter(None, texts), ""))


def build_of(record: BuildHistoryRecord, steps: tuple[Step, ...], dockerfile: str) -> RecordedBuild:
    """A build from its record and what is known of its steps so far."""
    created = record.created_at
    return RecordedBuild(
        record.ref,
        0.0 if created is None else created.nanoseconds / 1e9,
        record.frontend_attrs,
        bool(record.cache_imports),
        steps,
        dockerfile,
    )


def dockerfile_of(definition: Definition) -> str:
    """The Dockerfile that a definition was made from, "" if it does not say."""
    source = definition.source
    for info in () if source is None else source.infos:
        if info.data:
            return info.data.decode("utf-8", "replace")
    return ""
