"""`lamina images`, `rmi` and `inspect`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound
from lamina.cli.opening import open_local_store
from lamina.cli.tables import chosen_format, is_template, json_lines, print_text, table
from lamina.cli.units import show_ago, show_size, show_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.cli.flags import Parsed
    from lamina.client.contract import ImageSummary

_NONE = "<none>"
_TITLES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "Digest": "DIGEST",
    "Platform": "PLATFORM",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}

_OWN_IMAGES = "build with --load or --output to have images on this machine"
_INSPECT = "use `lamina imagetools inspect` for images in registries"


def list_images(parsed: Parsed) -> int:
    """Print the images of the local store, or those whose name or repository is an argument."""
    with open_local_store(parsed, "list images", _OWN_IMAGES) as builder:
        images = [image for image in builder.images() if _wanted(image, parsed.arguments)]
    whole = parsed.switch("no-trunc")
    form = chosen_format(parsed, "table", "json", "names")
    if parsed.switch("quiet"):
        lines = list(dict.fromkeys(short_id(image.digest, whole=whole) for image in images))
    elif is_template(form):
        lines = [_by_template(form, images, whole=whole)]
    elif form == "json":
        lines = [json_lines(map(_document, images))] if images else []
    elif form == "names":
        lines = [name for image in images if (name := _familiar(image.name))]
    else:
        lines = [show_images(images, time.time(), whole=whole)]
    print_text("\n".join(lines))
    return 0


def _by_template(template: str, images: Sequence[ImageSummary], *, whole: bool) -> str:
    from lamina.cli.format_template import Row, format_rows

    now = time.time()
    rows = []
    for image in images:
        repository, tag = _split(image.name)
        fields = {
            "Repository": repository,
            "Tag": tag,
            "ID": short_id(image.digest, whole=whole),
            "Digest": image.digest,
            "Platform": image.platform,
            "CreatedSince": show_ago(now - image.created),
            "CreatedAt": show_time(image.created),
            "Size": show_size(image.size),
        }
        rows.append(Row(fields, _document(image)))
    return format_rows(template, _TITLES, rows)


def show_images(images: Sequence[ImageSummary], now: float, *, whole: bool = False) -> str:
    """Print the table, in the order given."""
    rows = []
    for image in images:
        repository, tag = _split(image.name)
        identity = short_id(image.digest, whole=whole)
        ago = show_ago(now - image.created)
        rows.append((repository, tag, identity, ago, show_size(image.size)))
    return table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), rows)


def remove_images(parsed: Parsed) -> int:
    """Remove names. Continues after a failure, and returns the exit status."""
    from lamina.cli.errors import report

    status = 0
    with open_local_store(parsed, "remove images", _OWN_IMAGES) as builder:
        for name in parsed.arguments:
            try:
                image = builder.remove_image(name)
                shown = _familiar(image.name)
                print(f"Untagged: {shown}" if shown else f"Deleted: {image.digest}")
            except NotFound as error:
                if not parsed.switch("force"):
                    report(error)
                    status = 1
            except LaminaError as error:
                report(error)
                status = 1
    return status


def inspect_images(parsed: Parsed) -> int:
    """Print a JSON array of the images that exist, or a template for each. Report the others."""
    import json

    from lamina.cli.errors import report
    from lamina.cli.image_document import image_document

    documents = []
    status = 0
    with open_local_store(parsed, "inspect images", _INSPECT) as builder:
        for name in parsed.arguments:
            try:
                documents.append(image_document(builder.inspect(name)))
            except LaminaError as error:
                sys.stdout.flush()
                report(error)
                status = 1
    form = chosen_format(parsed, "json")
    if is_template(form):
        from lamina.base.go_template import GoTemplate

        template = GoTemplate(form)
        print_text("\n".join(map(template.render, documents)))
    else:
        print(json.dumps(documents, indent=4, ensure_ascii=False))
    return status


def prune_images(parsed: Parsed) -> int:
    """Remove images without a name; with `--all` every image."""
    from lamina.cli.terminal import confirmed

    everything = parsed.switch("all")
    what = "all images" if everything else "all images without a name"
    if not parsed.switch("force") and not confirmed(
        f"WARNING! This will remove {what}. Are you sure you want to continue? [y/N] "
    ):
        return 0
    removed = 0
    with open_local_store(parsed, "remove images", _OWN_IMAGES) as builder:
        for image in builder.images():
            if image.name and not everything:
                continue
            builder.remove_image(image.name or image.digest)
            shown = _familiar(image.name)
            print(f"Untagged: {shown}" if shown else f"Deleted: {image.digest}")
            removed += image.size
    print(f"Total: {show_size(removed)}; `lamina prune` frees what builds do not use either")
    return 0


def short_id(digest: str, *, whole: bool = False) -> str:
    """The first twelve digits of a digest, or the digest itself."""
    return digest if whole else digest.partition(":")[2][:12]


def _wanted(image: ImageSummary, names: list[str]) -> bool:
    if not names:
        return True
    from lamina.base.reference import parse_reference

    if not image.name or image.name.startswith(_NONE):
        return False
    mine = parse_reference(image.name)
    for text in names:
        theirs = parse_reference(text)
        has_tag = ":" in text.rpartition("/")[2]
        if mine.name == theirs.name and (not has_tag or mine.tag == theirs.tag):
            return True
    return False


def _familiar(name: str) -> str:
    from lamina.base.reference import parse_reference

    return parse_reference(name).familiar if name and not name.startswith(_NONE) else ""


def _split(name: str) -> tuple[str, str]:
    from lamina.base.reference import parse_reference

    if not name or name.startswith(_NONE):
        return _NONE, _NONE
    reference = parse_reference(name)
    return reference._replace(tag="", digest=None).familiar, reference.tag or _NONE


def _document(image: ImageSummary) -> dict[str, object]:
    repository, tag = _split(image.name)
    return {
        "Repository": repository,
        "Tag": tag,
        "ID": image.digest,
        "Platform": image.platform,
        "CreatedAt": show_time(image.created),
        "Size": image.size,
    }
