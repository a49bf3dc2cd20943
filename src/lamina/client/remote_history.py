"""The records of builds in a daemon: lamina's or buildkitd."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, TypeVar

from lamina.api import content, history, records
from lamina.api.control import SCHEMA as CONTROL
from lamina.api.control import STATUS, StatusRequest
from lamina.api.failures import from_status
from lamina.api.message import receive, unary
from lamina.api.progress import SCHEMA as PROGRESS
from lamina.api.progress import StatusResponse
from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, Corrupt, LaminaError, NotFound, Unsupported
from lamina.client.remote import open_channel
from lamina.records.table import References, StepCounts, named_blobs, row_of, target_of
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError, send_request
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.client.remote_contents import RemoteContents
    from lamina.llb.op import Definition
    from lamina.records.content_changes import ContentChanges
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.rows import RecordRow
    from lamina.stores.contents import ContentEntry
    from lamina.wire.contract import Channel

M = TypeVar("M")

_BLOB_LIMIT = 256 << 20
_CHUNK = 1 << 20
_NAMESPACE = (("containerd-namespace", "buildkit"),)


@contextmanager
def open_remote_history(
    address: str, tls: ssl.SSLContext | None = None, *, server_name: str = ""
) -> Iterator[RemoteHistory]:
    """Connect to a daemon for the block.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    with open_channel(address, tls, server_name=server_name) as channel:
        yield RemoteHistory(channel)


class RemoteHistory:
    """Implements `lamina.client.build_history.BuildHistory`. Requests the records once."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._known: dict[str, BuildHistoryRecord] | None = None

    def rows(self) -> Sequence[RecordRow]:
        rows = map(row_of, self._records.values())
        return sorted(rows, key=lambda row: (-row.created, row.ref))

    def counts(self) -> Mapping[str, StepCounts]:
        return {
            ref: StepCounts(
                record.num_cached_steps,
                record.num_total_steps,
                record.num_completed_steps,
                record.num_warnings,
            )
            for ref, record in self._records.items()
            if record.completed_at is not None
        }

    def contexts(self) -> Mapping[str, str]:
        return {
            ref: record.context_path or dict(record.frontend_attrs).get("context", "")
            for ref, record in self._records.items()
        }

    def record(self, ref: str) -> BuildHistoryRecord:
        record = self._records.get(ref)
        if record is None:
            raise NotFound(f"no record of a build {ref}")
        return record

    def log(
        self, record: BuildHistoryRecord, *, follow: Cancellation | None = None
    ) -> Iterator[StatusResponse]:
        if record.completed_at is None and follow is None:
            return
        request = encode(StatusRequest(record.ref), CONTROL)
        try:
            yield from self._stream(STATUS, request, _STATUS, follow)
        except Cancelled:
            return

    def blob(self, digest: str) -> bytes:
        request = encode(content.ReadContentRequest(digest), content.SCHEMA)
        parts: list[bytes] = []
        size = 0
        for part in self._stream(content.READ, request, _READ):
            parts.append(part.data)
            size += len(part.data)
            if size > _BLOB_LIMIT:
                raise Corrupt(f"the blob {digest} of a record is larger than {_BLOB_LIMIT} bytes")
        data = b"".join(parts)
        if digest_of(data) != digest:
            raise Corrupt(f"the daemon sent a blob that does not match its digest {digest}")
        return data

    def definition(self, digest: str) -> Definition | None:
        from lamina.llb.codec import decode_definition

        try:
            return decode_definition(self.blob(digest))
        except LaminaError:
            return None

    def delete(self, refs: Sequence[str]) -> None:
        for ref in refs:
            request = history.UpdateBuildHistoryRequest(ref, delete=True)
            try:
                unary(
                    self._channel,
                    history.UPDATE_BUILD_HISTORY,
                    request,
                    history.UpdateBuildHistoryResponse,
                    history.SCHEMA,
                )
            except StatusError as error:
                raise from_status(error) from error

    def latest(self, target: str, before: float) -> BuildHistoryRecord | None:
        found = [
            (row_of(record).created, record.ref)
            for record in self._records.values()
            if record.completed_at is not None
            and row_of(record).created < before
            and target_of(record) == target
        ]
        return self._records[max(found)[1]] if found else None

    def build(self, record: BuildHistoryRecord) -> RecordedBuild:
        from lamina.records.recorded_build import read_build

        return read_build(record, self.log(record), self.definition)

    def removed_at(self, key: str) -> float | None:
        found = self._of_lamina(
            records.REMOVED, records.RemovedRequest(key), records.RemovedResponse
        )
        return None if found is None or found.at is None else found.at.nanoseconds / 1e9

    def compare(self, before: str, after: str) -> ContentChanges | None:
        from lamina.records.content_changes import compare_contents

        return compare_contents(self._contents, before, after)

    def references(self, record: BuildHistoryRecord) -> References:
        """Of a buildkitd's record, what its API names: no definitions and no documents below those
        of images."""
        request = records.ReferencesRequest(record.ref)
        found = self._of_lamina(records.REFERENCES, request, records.ReferencesResponse)
        if found is not None:
            names = filter(self._contents.has, found.contents)
            return References(frozenset(found.blobs), frozenset(names))
        return References(frozenset(blob.digest for blob in named_blobs(record)))

    def content_entries(self, content: str) -> Iterable[ContentEntry]:
        return self._contents.entries(content)

    def import_bundle(self, source: IO[bytes]) -> Sequence[str]:
        cancel = Cancellation()
        try:
            with self._channel.open(records.IMPORT, (), cancel) as call:
                while data := source.read(_CHUNK):
                    call.send(encode(records.ImportRequest(data), records.SCHEMA))
                call.finish_sending()
                answer = receive(call, records.ImportResponse, records.SCHEMA)
        except StatusError as error:
            if error.code is Code.UNIMPLEMENTED:
                raise Unsupported(
                    "the daemon cannot import records of builds: it is not a daemon of lamina",
                    hint="import them into a store of this machine: --root DIR",
                ) from error
            raise from_status(error) from error
        return () if answer is None else answer.refs

    @cached_property
    def _contents(self) -> RemoteContents:
        from lamina.client.remote_contents import RemoteContents

        return RemoteContents(self._channel)

    def _of_lamina(self, method: str, request: Any, response: type[M]) -> M | None:
        """The answer of a method that a buildkitd does not have: None then."""
        try:
            return unary(self._channel, method, request, response, records.SCHEMA)
        except StatusError as error:
            if error.code is Code.UNIMPLEMENTED:
                return None
            raise from_status(error) from error

    @property
    def _records(self) -> dict[str, BuildHistoryRecord]:
        if self._known is None:
            request = encode(history.BuildHistoryRequest(early_exit=True), history.SCHEMA)
            events = self._stream(history.LISTEN_BUILD_HISTORY, request, _LISTEN)
            self._known = {
                event.record.ref: event.record
                for event in events
                if event.record is not None and event.type != history.BuildHistoryEventType.DELETED
            }
        return self._known

    def _stream(
        self,
        method: str,
        request: bytes,
        answer: tuple[type[Any], Any],
        cancel: Cancellation | None = None,
    ) -> Iterator[Any]:
        try:
            with self._channel.open(method, _NAMESPACE, cancel or Cancellation()) as call:
                send_request(call, request)
                while (message := receive(call, *answer)) is not None:
                    yield message
        except StatusError as error:
            raise from_status(error) from error


_STATUS = (StatusResponse, PROGRESS)
_READ = (content.ReadContentResponse, content.SCHEMA)
_LISTEN = (history.BuildHistoryEvent, history.SCHEMA)
