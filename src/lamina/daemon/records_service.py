"""`lamina.v1.Records`: the references of build records, and their import."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, cast

from lamina.api import records as api
from lamina.api.failures import to_status
from lamina.api.message import receive, request_of
from lamina.api.timestamp import at_seconds
from lamina.base.errors import LaminaError
from lamina.records.bundle import import_bundle
from lamina.stores.contents import ContentTable
from lamina.stores.results import ResultTable
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.daemon.history import History
    from lamina.stores.store import Store
    from lamina.wire.contract import Handler, ServerCall


class RecordsService:
    """Handlers of the service."""

    def __init__(self, store: Store, history: History) -> None:
        self._store = store
        self._history = history
        self._contents = ContentTable(store.database)
        self._results = ResultTable(store.database)

    def handlers(self) -> dict[str, Handler]:
        return {
            api.REFERENCES: self.references,
            api.REMOVED: self.removed,
            api.CONTENT: self.content,
            api.NODES: self.nodes,
            api.IMPORT: self.import_,
        }

    def references(self, call: ServerCall) -> None:
        ref = request_of(call, api.ReferencesRequest, api.SCHEMA).ref
        table = self._history.records
        answer = api.ReferencesResponse(tuple(table.blobs(ref)), tuple(table.contents(ref)))
        call.send(encode(answer, api.SCHEMA))

    def removed(self, call: ServerCall) -> None:
        key = request_of(call, api.RemovedRequest, api.SCHEMA).key
        when = self._results.removed_at(key)
        answer = api.RemovedResponse(None if when is None else at_seconds(when))
        call.send(encode(answer, api.SCHEMA))

    def content(self, call: ServerCall) -> None:
        name = request_of(call, api.ContentRequest, api.SCHEMA).name
        known = self._contents.has(name)
        answer = api.ContentResponse(known, self._contents.root(name) if known else "")
        call.send(encode(answer, api.SCHEMA))

    def nodes(self, call: ServerCall) -> None:
        for digest in request_of(call, api.NodesRequest, api.SCHEMA).digests:
            try:
                packed = self._contents.packed(digest)
            except LaminaError as error:
                raise to_status(error) from error
            call.send(encode(api.Node(digest, packed), api.SCHEMA))

    def import_(self, call: ServerCall) -> None:
        source = cast("IO[bytes]", io.BufferedReader(_Received(call)))  # a stream is only read
        try:
            refs = import_bundle(self._store, self._history.records, source)
        except LaminaError as error:
            raise to_status(error) from error
        self._history.imported(refs)
        call.send(encode(api.ImportResponse(tuple(refs)), api.SCHEMA))


class _Received(io.RawIOBase):
    """The data that a client sends, as a file."""

    def __init__(self, call: ServerCall) -> None:
        self._call = call
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    # RawIOBase takes any writable buffer; only memoryviews are passed here.
    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            message = receive(self._call, api.ImportRequest, api.SCHEMA)
            if message is None:
                return 0
            self._left = memoryview(message.data)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
