"""`lamina imagetools create`."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lamina.base.digest import digest_of, parse_digest
from lamina.base.errors import InvalidInput, LaminaError, Unsupported, from_os_error
from lamina.base.events import LogEvent, VertexEvent
from lamina.base.json_document import members, text, text_pairs, whole_number
from lamina.base.oci import platform_from_json
from lamina.base.platform import parse_platform
from lamina.base.reference import parse_reference
from lamina.cli.imagetools.registries import registry_client
from lamina.cli.progress.choose import open_display
from lamina.cli.values import parse_annotation
from lamina.exporters.index import Described, IndexAnnotations, Source, combine, publish
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.reference import Reference
    from lamina.cli.flags import Parsed
    from lamina.exporters.index import Combined
    from lamina.registry.client import RegistryClient

_STDERR = 2
_INDEX, _ENTRY = "annotation-index", "annotation-manifest-descriptor"


def run(parsed: Parsed) -> int:
    """Make an index of images in registries, and push it under each name, or print it."""
    targets = [parse_reference(name) for name in parsed.all("tag")]
    dry = parsed.switch("dry-run")
    texts = [*map(_read, parsed.all("file")), *parsed.arguments]
    if not texts:
        raise InvalidInput("no images to combine", hint="name at least one image")
    if not targets and not dry:
        raise InvalidInput("no name for the index", hint="add -t NAME, or --dry-run")
    if parsed.switch("append"):
        if not targets:
            raise InvalidInput("--append requires a name", hint="add -t NAME")
        texts.insert(0, parsed.all("tag")[0])
    sources = _sources(texts, targets)
    annotations = _annotations(parsed.all("annotation"))
    platforms = [
        parse_platform(part) for given in parsed.all("platform") for part in given.split(",")
    ]
    cancel = Cancellation()
    with registry_client(parsed, *targets, *(source.reference for source in sources)) as client:
        made = combine(
            client,
            sources,
            cancel,
            annotations=annotations,
            prefer_index=not parsed.given("prefer-index") or parsed.switch("prefer-index"),
            platforms=platforms,
        )
        if dry:
            print(made.data.decode())
            return 0
        _push(parsed, client, made, targets, cancel)
    if path := parsed.text("metadata-file"):
        _write_metadata(path, made, targets)
    return 0


def _push(
    parsed: Parsed,
    client: RegistryClient,
    made: Combined,
    targets: Sequence[Reference],
    cancel: Cancellation,
) -> None:
    """Push to one repository after the other, and show each as a step."""
    import time

    mode = parsed.text("progress", "auto")
    repositories: dict[str, list[Reference]] = {}
    for target in targets:
        repositories.setdefault(target.name, []).append(target)
    with closing(open_display(mode, _STDERR, os.environ)) as display:
        for name, names in repositories.items():
            vertex = VertexEvent(digest_of(name.encode()), f"[internal] pushing {name}")
            started = time.time()
            display(vertex._replace(started=started))
            error = ""
            try:
                publish(client, made, names, cancel)
                for target in names:
                    line = f"pushing {made.target.digest} to {target}\n".encode()
                    display(LogEvent(vertex.digest, 1, line, time.time()))
            except LaminaError as failure:
                error = failure.reason
                raise
            finally:
                done = vertex._replace(started=started, completed=time.time(), error=error)
                display(done)


def _write_metadata(path: str, made: Combined, targets: Sequence[Reference]) -> None:
    from lamina.cli.result_files import write_file

    repositories = sorted({target.name for target in targets})
    document = {
        "containerimage.descriptor": made.target.to_json(),
        "image.name": ",".join(repositories),
    }
    write_file(path, json.dumps(document, indent=2))


def _annotations(texts: Sequence[str]) -> IndexAnnotations:
    """Annotations of the index, unless they name another type. Raises InvalidInput, Unsupported."""
    index: list[tuple[str, str]] = []
    entries: list[tuple[str, str, str]] = []
    for given in texts:
        typed = given if ":" in given.partition("=")[0] else f"index:{given}"
        for key, value in parse_annotation(typed):
            kind, _, name = key.partition(".")
            kind, _, platform = kind.partition("[")
            if kind == _INDEX:
                index.append((name, value))
            elif kind == _ENTRY:
                wanted = str(parse_platform(platform.removesuffix("]"))) if platform else ""
                entries.append((wanted, name, value))
            else:
                raise Unsupported(
                    f"--annotation {given}: an index of existing manifests cannot carry it",
                    hint="use index: or manifest-descriptor:",
                )
    return IndexAnnotations(tuple(index), tuple(entries))


def _sources(texts: Sequence[str], targets: Sequence[Reference]) -> list[Source]:
    """References, digests, and descriptors. A digest is of the only repository that is named.

    Raises InvalidInput.
    """
    parsed = [_parse_source(given) for given in texts]
    named = [reference for reference, _, _ in parsed if reference is not None]
    repositories = {r.name for r in (*named, *targets)}
    sources = []
    for given, (reference, digest, described) in zip(texts, parsed, strict=True):
        if reference is None:
            if len(repositories) != 1:
                raise InvalidInput(
                    f"{given[:80]} can be in several repositories"
                    if repositories
                    else f"{given[:80]} names no repository",
                    hint="write it as NAME@DIGEST",
                )
            (repository,) = repositories
            reference = parse_reference(f"{repository}@{digest}")
        sources.append(Source(reference, described))
    return sources


def _parse_source(given: str) -> tuple[Reference | None, str, Described | None]:
    """The reference of a source, or the digest and its descriptor. Raises InvalidInput."""
    if given.startswith("{"):
        return _from_json(given)
    if given.startswith("sha256:"):
        return None, str(parse_digest(given)), None
    return parse_reference(given), "", None


def _from_json(given: str) -> tuple[Reference | None, str, Described | None]:
    """A descriptor, or the metadata that `--metadata-file` wrote."""
    try:
        document: dict[str, Any] = members(json.loads(given))
        if "containerimage.digest" in document:
            name = text(document.get("image.name")).partition(",")[0]
            if not name:
                raise InvalidInput("the metadata has no image.name", hint="build with -t NAME")
            digest = parse_digest(text(document["containerimage.digest"]))
            return parse_reference(f"{parse_reference(name).name}@{digest}"), "", None
        if document.get("schemaVersion"):
            raise InvalidInput("a source is a manifest, not its descriptor", hint="name the image")
        platform = members(document.get("platform"))
        described = Described(
            text(document.get("mediaType")),
            whole_number(document.get("size")),
            text_pairs(document.get("annotations")),
            platform_from_json(platform) if platform else None,
        )
        return None, str(parse_digest(text(document.get("digest")))), described
    except ValueError as error:
        raise InvalidInput(f"a source is no valid descriptor: {error}") from error


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise from_os_error(error, "read") from error
