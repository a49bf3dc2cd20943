"""`lamina imagetools inspect` and `create`: images in registries."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.json_document import load_json_object
from lamina.base.oci import Index, parse_manifest
from lamina.base.reference import parse_reference
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.cli.flags import Parsed
    from lamina.registry.client import RegistryClient


def run(parsed: Parsed) -> int:
    """Run the action in the first argument."""
    action, *names = parsed.arguments
    match action:
        case "inspect":
            if len(names) != 1:
                raise InvalidInput("`lamina imagetools inspect` takes exactly 1 name")
            return _inspect(parsed, parse_reference(names[0]))
        case "create":
            return _create(parsed, names)
    raise InvalidInput(f'unknown command "imagetools {action}"', hint="use inspect or create")


def _client(parsed: Parsed, *references: Reference) -> RegistryClient:
    from lamina.registry.client import RegistryClient
    from lamina.registry.hosts import configured_hosts

    hosts = configured_hosts()
    if parsed.switch("insecure"):
        for reference in references:
            hosts = hosts.trusting(reference.domain)
    return RegistryClient(hosts)


def _inspect(parsed: Parsed, reference: Reference) -> int:
    with _client(parsed, reference) as client:
        found = client.resolve(reference)
        data = client.manifest(reference, found.digest)
        if parsed.switch("raw"):
            if sys.stdout.isatty():
                print(data.decode("utf-8", "replace"))
            else:
                sys.stdout.buffer.write(data)
            return 0
        if parsed.given("format"):
            fields = {
                "Name": str(reference),
                "Manifest": {**load_json_object(data, "manifest"), **found.to_json()},
                "Image": _Images(client, reference, found, data),
            }
            print(_render(parsed.text("format"), fields))
            return 0
    print("\n".join(_lines(reference, found, data)))
    return 0


def _lines(reference: Reference, found: Descriptor, data: bytes) -> list[str]:
    lines = [
        f"Name:      {reference}",
        f"MediaType: {found.media_type}",
        f"Digest:    {found.digest}",
    ]
    document = parse_manifest(data, found.media_type)
    if not isinstance(document, Index):
        return lines
    lines += [f"  {key}: {value}" for key, value in document.annotations]
    lines += ["", "Manifests:"]
    for entry in document.manifests:
        name = reference._replace(digest=entry.digest)
        lines += [f"  Name:        {name}", f"  MediaType:   {entry.media_type}"]
        if entry.platform is not None:
            lines.append(f"  Platform:    {entry.platform}")
        if entry.annotations:
            lines.append("  Annotations:")
            lines += [f"    {key}: {value}" for key, value in entry.annotations]
        lines.append("")
    return lines[:-1] if document.manifests else lines


class _Images(Mapping[str, Any]):
    """The configurations, fetched only if a template asks for them.

    One configuration, or for an index one for each platform.
    """

    def __init__(
        self, client: RegistryClient, reference: Reference, found: Descriptor, data: bytes
    ) -> None:
        self._client = client
        self._reference = reference
        self._found = found
        self._data = data

    def __getitem__(self, key: str) -> Any:
        return self._loaded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        document = parse_manifest(self._data, self._found.media_type)
        if not isinstance(document, Index):
            return self._config(self._data)
        return {
            str(entry.platform): self._config(self._client.manifest(self._reference, entry.digest))
            for entry in document.manifests
            if entry.platform is not None and entry.platform.os != "unknown"
        }

    def _config(self, data: bytes) -> dict[str, Any]:
        manifest = parse_manifest(data)
        assert not isinstance(manifest, Index)
        config = b"".join(self._client.blob(self._reference, manifest.config))
        return load_json_object(config, "image config")


def _render(template: str, fields: Mapping[str, Any]) -> str:
    """With buildx's `json`, which indents."""
    from lamina.base.go_template import GoTemplate, Struct, json_indented

    text = "{{json .}}" if template == "json" else template
    return GoTemplate(text, {"json": json_indented}).render(Struct(fields))


def _create(parsed: Parsed, names: list[str]) -> int:
    from lamina.cli.values import parse_annotation
    from lamina.exporters.index import combine, publish

    targets = [parse_reference(name) for name in parsed.all("tag")]
    sources = [*_from_files(parsed.all("file")), *map(parse_reference, names)]
    if parsed.switch("append"):
        if not targets:
            raise InvalidInput("--append requires a name", hint="add -t NAME")
        sources.insert(0, targets[0])
    if not targets and not parsed.switch("dry-run"):
        raise InvalidInput("no name for the index", hint="add -t NAME, or --dry-run")
    index: list[tuple[str, str]] = []
    descriptor: list[tuple[str, str]] = []
    for text in parsed.all("annotation"):
        typed = text if ":" in text.partition("=")[0] else f"index:{text}"
        for key, value in parse_annotation(typed):
            kind, _, name = key.partition(".")
            chosen = {
                "annotation-index": index,
                "annotation-manifest-descriptor": descriptor,
            }.get(kind)
            if chosen is None:
                raise Unsupported(
                    f"--annotation {text}: an index of existing manifests cannot carry it",
                    hint="use index: or manifest-descriptor:",
                )
            chosen.append((name, value))
    cancel = Cancellation()
    with _client(parsed, *targets, *sources) as client:
        made = combine(
            client,
            sources,
            cancel,
            annotations=index,
            descriptor_annotations=descriptor,
            prefer_index=parsed.switch("prefer-index"),
        )
        if parsed.switch("dry-run"):
            print(made.data.decode())
            return 0
        publish(client, made, targets, cancel)
        for target in targets:
            print(f"{target}@{made.target.digest}")
    return 0


def _from_files(paths: list[str]) -> list[Reference]:
    """Read files with a name, a descriptor, or the JSON of a metadata file."""
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read().strip()
        except OSError as error:
            from lamina.base.errors import from_os_error

            raise from_os_error(error, "read") from error
        if text.startswith("{"):
            import json

            document = json.loads(text)
            name = str(document.get("image.name", "")).partition(",")[0]
            digest = str(document.get("containerimage.digest", ""))
            if not name or not digest:
                raise InvalidInput(
                    f"{path} has no image.name and containerimage.digest",
                    hint="use a file that --metadata-file wrote, or that has an image name",
                )
            text = f"{parse_reference(name).name}@{digest}"
        found.append(parse_reference(text))
    return found
