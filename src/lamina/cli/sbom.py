"""`lamina sbom`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, NotFound
from lamina.base.platform import host_platform, parse_platform
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_history, open_local_store
from lamina.cli.result_files import write_file
from lamina.cli.tables import print_text, table
from lamina.client.contract import BuildRequest, ContextSpec, NamedContext
from lamina.client.frontend_attributes import plain_text
from lamina.dockerfile.options import FrontendOptions
from lamina.records.naming import LATEST
from lamina.sbom import cyclonedx, spdx
from lamina.sbom.licences import declared

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.contract import LocalStore
    from lamina.client.scanning import ScannedImage
    from lamina.system.cancel import Cancellation

_DOCUMENTS = {"spdx": spdx.spdx_document, "cyclonedx": cyclonedx.cyclonedx_document}
_TABLE = "table"
_STDERR = 2
_LONGEST_LICENCE = 50
_REGISTRY = "docker://"
_LAYOUTS = ("oci-layout://", "oci:")
_SCANNED = "scanned"


def run(parsed: Parsed) -> int:
    """Scan, and print the packages or a document."""
    name = parsed.arguments[0]
    folder = name if name.startswith(("/", "./", "../")) or name in (".", "..") else ""
    with interruptible() as interruption:
        try:
            if folder:
                found = _in_folder(folder, interruption.cancel)
            else:
                found = _in_image(parsed, name, interruption.cancel)
        except Cancelled as error:
            return interruption.exit_status(error)
    form = parsed.text("format") or _TABLE
    if form == _TABLE:
        text = _text(found)
    else:
        text = json.dumps(_DOCUMENTS[form](*found), indent=2, ensure_ascii=False)
    if parsed.given("output"):
        write_file(parsed.text("output"), f"{text}\n")
    else:
        print_text(text)
    _report_problems(found)
    return 0


def _in_folder(path: str, cancel: Cancellation) -> ScannedImage:
    import time

    from lamina.client.scanning import ScannedImage
    from lamina.refs.tree import Tree
    from lamina.sbom.scanner import scan
    from lamina.sbom.subject import Subject

    if not os.path.isdir(path):
        raise NotFound(
            f"{path} is not a directory",
            hint="name a directory, or an image: NAME, docker://NAME, oci-layout://DIR",
        )
    found = scan(Tree(os.path.abspath(path), live=True), (), cancel)
    return ScannedImage(found, Subject(path, time.time(), container=False))


def _in_image(parsed: Parsed, name: str, cancel: Cancellation) -> ScannedImage:
    platform = parse_platform(parsed.text("platform")) if parsed.given("platform") else None
    shown = name
    if name.startswith(LATEST):
        name = _image_of_build(parsed, name)
    instead = "name a directory, or a result of `lamina build`"
    with open_local_store(parsed, "scan images", instead) as store:
        if not name.startswith((_REGISTRY, *_LAYOUTS)):
            try:
                return store.scan(name, platform or host_platform(), cancel)
            except NotFound as error:
                if shown != name:
                    raise error.with_context(
                        reason=f"the image of build {shown} is not in the local store any more",
                        hint="build again, or name the image in its registry: docker://NAME",
                    ) from error
        return _elsewhere(parsed, store, name, cancel)


def _elsewhere(parsed: Parsed, store: LocalStore, name: str, cancel: Cancellation) -> ScannedImage:
    """Scan an image in a registry or an OCI layout."""
    from lamina.cli.build_command import progress_mode
    from lamina.cli.progress.choose import open_display

    request = BuildRequest(
        ContextSpec("", dockerfile_data=f"FROM {_SCANNED}\n".encode(), named=(_context(name),)),
        FrontendOptions(platforms=tuple(filter(None, (parsed.text("platform"),)))),
    )
    with closing(open_display(progress_mode(parsed), _STDERR, os.environ)) as display:
        return store.scan_base(request, name, display, cancel)


def _context(name: str) -> NamedContext:
    for scheme in _LAYOUTS:
        if name.startswith(scheme):
            return NamedContext(_SCANNED, "oci-layout", os.path.abspath(name.removeprefix(scheme)))
    return NamedContext(_SCANNED, "docker-image", name.removeprefix(_REGISTRY))


def _image_of_build(parsed: Parsed, name: str) -> str:
    """The digest of the image that a build made. Raises NotFound, InvalidInput."""
    from lamina.cli.recorded import ended_record
    from lamina.records.build_outputs import outputs_of

    with open_history(parsed) as history:
        record = ended_record(history, history.rows(), name, "wait for it to end")
        digests = [output.digest for output in outputs_of(record, history.blob) if output.digest]
    if not digests:
        raise InvalidInput(
            f"build {name} made no image",
            hint="scan the directory that it made, or build with --sbom",
        )
    return digests[0]


def _text(found: ScannedImage) -> str:
    rows = []
    for one in found.scan.packages:
        package = one.package
        licence = declared(package.licences).expression
        if len(licence) > _LONGEST_LICENCE:
            licence = f"{licence[: _LONGEST_LICENCE - 1]}…"
        layer = "" if one.layer is None else str(one.layer + 1)
        columns = (package.kind, package.full_name, package.version, licence, layer)
        rows.append(tuple(map(plain_text, columns)))
    return table(("TYPE", "NAME", "VERSION", "LICENCE", "LAYER"), rows)


def _report_problems(found: ScannedImage) -> None:
    for path, reason in found.scan.problems:
        print(plain_text(f"WARNING: {path} could not be read: {reason}"), file=sys.stderr)
