"""A client's content stores on directories of blobs (OCI layouts, local caches).

<directory>/blobs/<algorithm>/<hex>    complete blobs
<directory>/ingest/<hash of a name>    a blob that is being written under that name
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.api import content as api
from lamina.api.message import first, receive, request_of
from lamina.api.timestamp import at_nanoseconds
from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, from_os_error
from lamina.system.regular import open_regular_beneath
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.digest import Digest
    from lamina.wire.contract import Handler, ServerCall

_PIECE = 256 << 10


def content_service(stores: Mapping[str, str]) -> dict[str, Handler]:
    """The content service for directories, by store ID."""
    offered = _Stores(stores)
    return {
        api.INFO: offered.info,
        api.READ: offered.read,
        api.WRITE: offered.write,
        api.STATUS: offered.status,
        api.ABORT: offered.abort,
    }


class _Stores:
    def __init__(self, stores: Mapping[str, str]) -> None:
        self._stores = stores
        self._lock = threading.Lock()
        self._writing: set[str] = set()

    def info(self, call: ServerCall) -> None:
        request = request_of(call, api.InfoRequest, api.SCHEMA)
        path = _blob(self._store(call), _digest(request.digest))
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise _absent(request.digest) from None
        time = at_nanoseconds(status.st_mtime_ns)
        info = api.Info(request.digest, status.st_size, time, time)
        call.send(encode(api.InfoResponse(info), api.SCHEMA))

    def read(self, call: ServerCall) -> None:
        request = request_of(call, api.ReadContentRequest, api.SCHEMA)
        digest = _digest(request.digest)
        path = f"blobs/{digest.algorithm}/{digest.hex}"
        try:
            with open(open_regular_beneath(self._store(call), path), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 <= request.offset <= size or request.size < 0:
                    raise StatusError(Code.OUT_OF_RANGE, f"{request.digest} has {size} bytes")
                end = min(size, request.offset + request.size) if request.size else size
                file.seek(at := request.offset)
                while at < end and (piece := file.read(min(_PIECE, end - at))):
                    call.send(encode(api.ReadContentResponse(at, piece), api.SCHEMA))
                    at += len(piece)
        except FileNotFoundError:
            raise _absent(request.digest) from None
        except OSError as error:
            raise from_os_error(error, "read") from error

    def status(self, call: ServerCall) -> None:
        request = request_of(call, api.StatusRequest, api.SCHEMA)
        path = _ingest(self._store(call), request.ref)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise StatusError(Code.NOT_FOUND, f"no write of {request.ref} is open") from None
        time = at_nanoseconds(status.st_mtime_ns)
        found = api.Status(time, time, request.ref, status.st_size)
        call.send(encode(api.StatusResponse(found), api.SCHEMA))

    def abort(self, call: ServerCall) -> None:
        request = request_of(call, api.AbortRequest, api.SCHEMA)
        with suppress(FileNotFoundError):
            os.unlink(_ingest(self._store(call), request.ref))
        call.send(encode(api.Empty(), api.SCHEMA))

    def write(self, call: ServerCall) -> None:
        store = self._store(call)
        request = request_of(call, api.WriteContentRequest, api.SCHEMA)
        path = _ingest(store, request.ref)
        with self._lock:
            if path in self._writing:
                raise StatusError(Code.UNAVAILABLE, f"{request.ref} is being written")
            self._writing.add(path)
        try:
            _Writing(call, store, path).run(request)
        except OSError as error:
            raise from_os_error(error, "write") from error
        finally:
            with self._lock:
                self._writing.discard(path)

    def _store(self, call: ServerCall) -> str:
        store_id = first(call.metadata, api.KEY_STORE)
        folder = self._stores.get(store_id)
        if folder is None:
            raise StatusError(Code.NOT_FOUND, f"unknown store {store_id}")
        return folder


class _Writing:
    """One blob that is being written. Requests of one call, each with a response."""

    def __init__(self, call: ServerCall, store: str, path: str) -> None:
        self._call = call
        self._store = store
        self._path = path
        self._total = 0
        self._expected = ""

    def run(self, request: api.WriteContentRequest | None) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path, "ab") as file:
            while request is not None:
                self._total = request.total or self._total
                self._expected = request.expected or self._expected
                offset = file.tell()
                if self._expected and os.path.exists(self._place(self._expected)):
                    os.unlink(self._path)
                    raise StatusError(Code.ALREADY_EXISTS, f"{self._expected} exists already")
                if request.data:
                    if request.offset != offset:
                        raise StatusError(
                            Code.OUT_OF_RANGE, f"{request.offset} is not where writing is: {offset}"
                        )
                    file.write(request.data)
                    offset += len(request.data)
                digest = ""
                if request.action == api.WriteAction.COMMIT:
                    file.flush()
                    digest = self._commit(offset)
                answer = api.WriteContentResponse(
                    request.action, offset=offset, total=self._total, digest=digest
                )
                self._call.send(encode(answer, api.SCHEMA))
                if digest:
                    return
                request = receive(self._call, api.WriteContentRequest, api.SCHEMA)

    def _commit(self, offset: int) -> str:
        if self._total and offset != self._total:
            raise StatusError(
                Code.FAILED_PRECONDITION, f"received {offset} bytes instead of {self._total}"
            )
        with open(self._path, "rb") as file:
            algorithm = self._expected.partition(":")[0] or "sha256"
            digest = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
        if self._expected and digest != self._expected:
            os.unlink(self._path)
            raise StatusError(
                Code.FAILED_PRECONDITION, f"received {digest} instead of {self._expected}"
            )
        place = self._place(digest)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.rename(self._path, place)
        return digest

    def _place(self, digest: str) -> str:
        return _blob(self._store, _digest(digest))


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidInput as error:
        raise StatusError(Code.INVALID_ARGUMENT, error.reason) from error


def _blob(store: str, digest: Digest) -> str:
    return os.path.join(store, "blobs", digest.algorithm, digest.hex)


def _ingest(store: str, ref: str) -> str:
    return os.path.join(store, "ingest", hashlib.sha256(ref.encode()).hexdigest())


def _absent(digest: str) -> StatusError:
    return StatusError(Code.NOT_FOUND, f"content {digest}: not found")
