"""Results as files: the trees that directory and tar outputs export, with attestations."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import InvalidInput
from lamina.exporters.contract import AddedFile, ExportedTree
from lamina.exporters.destination import epoch_of
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.engine.outputs.assembly import Made, MadePart
    from lamina.exporters.destination import LocalOutput, TarOutput
    from lamina.refs.manager import RefManager
    from lamina.system.cancel import Cancellation


def exported_trees(
    made: Made, output: LocalOutput | TarOutput, refs: RefManager, cancel: Cancellation
) -> list[ExportedTree]:
    """The files of each part, in a directory per platform if they must be separate.

    Raises InvalidInput if parts in one directory have a file in common.
    """
    apart = made.several if output.split is None else output.split
    trees = []
    taken: dict[str, str] = {}
    for part in made.parts:
        platform = str(part.platform)
        name = platform.replace("/", "_")
        root = _root(part, refs, cancel)
        added: tuple[AddedFile, ...] = ()
        if part.attested is not None and part.attested.wanted(inline=False):
            label = name if made.several and not apart else ""
            added = _attestations(part, root, output.attestation_prefix, label, cancel)
        if not apart and len(made.parts) > 1:
            for path in (*(path for path, _ in _files(root)), *(file.name for file in added)):
                if path in taken:
                    raise InvalidInput(
                        f"cannot overwrite {path} from {taken[path]} with {platform}"
                        " when split option is disabled"
                    )
                taken[path] = platform
        epoch = epoch_of(output.epoch, part.epoch)
        trees.append(
            ExportedTree(name, root, added, epoch, platform, refs.metadata)
            if apart
            else ExportedTree("", root, added, epoch, metadata=refs.metadata)
        )
    return trees


def _root(part: MadePart, refs: RefManager, cancel: Cancellation) -> str | None:
    if part.ref.snapshot is None and part.ref.local is None:
        return None
    return refs.tree(part.ref, cancel).root


def _files(root: str | None) -> Iterator[tuple[str, bool]]:
    """Everything except directories: the path below the root, and whether it is a regular file."""
    folders = [""] if root is not None else []
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(str(root), folder)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = posixpath.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                else:
                    yield path, stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)


def _attestations(
    part: MadePart, root: str | None, prefix: str, label: str, cancel: Cancellation
) -> tuple[AddedFile, ...]:
    """A file for each statement, about every file of the part. `label` goes before the suffix."""
    from lamina.base.gojson import encode_indented
    from lamina.exporters.attestation import Named

    assert part.attested is not None
    exported = []
    for path, regular in sorted(_files(root)):
        cancel.check()
        if regular:
            with open(open_regular(f"{root}/{path}"), "rb") as file:
                hashed = hashlib.file_digest(file, "sha256").hexdigest()
            exported.append(Named(path, Digest(f"sha256:{hashed}")))
    added: dict[str, AddedFile] = {}
    for statement in part.attested.statements(inline=False):
        name = prefix + posixpath.basename(statement.path)
        if label:
            stem, suffix = posixpath.splitext(name)
            name = f"{stem}.{label}{suffix}"
        if name in added:
            raise InvalidInput(f"duplicate attestation path name {name}")
        if not name or "/" in name or name in (".", ".."):
            raise InvalidInput(f'"{name}" is not a valid file name for an attestation')
        added[name] = AddedFile(name, encode_indented(statement.to_json(exported)))
    return tuple(added.values())
