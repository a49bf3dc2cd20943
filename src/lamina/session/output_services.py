"""Receives file outputs at the client: into directories, or as the bytes of one file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from lamina.api import filesync
from lamina.api.message import first
from lamina.api.stream import chunks
from lamina.base.errors import from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.session.folder_receiver import Policy, receive
from lamina.session.services import decoded_values
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from lamina.wire.contract import Handler, Metadata, ServerCall


class FolderTarget(NamedTuple):
    """A destination directory. With `delete`, all other files are removed from it."""

    path: str
    delete: bool = False


class ByteSink(Protocol):
    """Receives all bytes of a file."""

    def write(self, chunk: bytes, /) -> object: ...


class FileTarget(NamedTuple):
    """`open` is called with the daemon's metadata of the output (`containerimage.digest`, …).

    The sink's bytes are complete when the block ends without an error.
    """

    open: Callable[[Mapping[str, str]], AbstractContextManager[ByteSink]]


Target = FolderTarget | FileTarget


def take_outputs(targets: Mapping[int, Target]) -> dict[str, Handler]:
    """The service that receives outputs, by their numbers in the build request."""

    def diff_copy(call: ServerCall) -> None:
        number = first(call.metadata, filesync.KEY_EXPORTER_ID) or "0"
        target = targets.get(int(number)) if number.isdecimal() else None
        if target is None:
            raise StatusError(Code.NOT_FOUND, f"no output {number} is expected")
        if isinstance(target, FolderTarget):
            _take_folder(call, target)
        else:
            with target.open(_exporter_metadata(call.metadata)) as sink:
                for chunk in chunks(call):
                    sink.write(chunk)

    return {filesync.SEND_DIFF_COPY: diff_copy}


def _take_folder(call: ServerCall, target: FolderTarget) -> None:
    several = first(call.metadata, filesync.KEY_EXPORTER_MULTI_PLATFORM) == "1"
    if target.delete and not several:
        # Each platform would be sent separately, and delete the previous ones.
        raise StatusError(
            Code.FAILED_PRECONDITION,
            "mode=delete requires a daemon that sends all platforms in one transfer",
        )
    try:
        os.makedirs(target.path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, "create the output's directory") from error
    # All files belong to the current user. No existing file is assumed to have the same content.
    owner = (os.geteuid(), os.getegid())
    receive(call, target.path, Policy(delete=target.delete, trust_metadata=False, owner=owner))
    while call.receive() is not None:  # the sender's end
        continue


def _exporter_metadata(metadata: Metadata) -> dict[str, str]:
    found = {}
    prefix = filesync.KEY_EXPORTER_META_PREFIX
    for key, _ in metadata:
        if key.startswith(prefix) and not key.endswith("-encoded"):
            found[key.removeprefix(prefix)] = ",".join(decoded_values(metadata, key))
    return found
