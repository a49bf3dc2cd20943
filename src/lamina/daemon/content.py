"""A read-only containerd content service on the store's blobs.

Clients fetch the blobs of build records (logs, provenance, manifests) from it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.api import content as api
from lamina.api.message import request_of
from lamina.api.timestamp import at_seconds
from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput
from lamina.base.filters import parse_filters
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.filters import Fields
    from lamina.stores.blobs import BlobStore
    from lamina.wire.contract import Handler, ServerCall

_CHUNK = 1 << 20
_MANY = 512


class ContentService:
    """Handlers. All namespaces (the `containerd-namespace` header) contain the same blobs."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def handlers(self) -> dict[str, Handler]:
        return {
            api.INFO: self.info,
            api.READ: self.read,
            api.LIST: self.list,
            api.STATUS: self.status,
            api.LIST_STATUSES: self.list_statuses,
            **dict.fromkeys((api.UPDATE, api.DELETE, api.WRITE, api.ABORT), _refuse),
        }

    def info(self, call: ServerCall) -> None:
        request = request_of(call, api.InfoRequest, api.SCHEMA)
        info = self._info(_digest(request.digest))
        call.send(encode(api.InfoResponse(info), api.SCHEMA))

    def read(self, call: ServerCall) -> None:
        request = request_of(call, api.ReadContentRequest, api.SCHEMA)
        digest = _digest(request.digest)
        whole = self._info(digest).size
        if not 0 <= request.offset <= whole or request.size < 0:
            raise StatusError(Code.OUT_OF_RANGE, f"read past object length {whole} bytes")
        size = request.size or whole - request.offset
        if request.offset + size > whole:
            raise StatusError(Code.OUT_OF_RANGE, f"read past object length {whole} bytes")
        with self._blobs.open(digest) as file:
            at, end = request.offset, request.offset + size
            while at < end:
                data = os.pread(file.fileno(), min(_CHUNK, end - at), at)
                if not data:
                    raise StatusError(Code.DATA_LOSS, f"blob {digest} is shorter than it was")
                call.send(encode(api.ReadContentResponse(at, data), api.SCHEMA))
                at += len(data)

    def list(self, call: ServerCall) -> None:
        request = request_of(call, api.ListContentRequest, api.SCHEMA)
        filters = parse_filters(request.filters)
        found: list[api.Info] = []
        for digest in self._blobs.digests():
            try:
                info = self._info(digest)
            except StatusError:
                continue  # it was removed meanwhile
            values = {"digest": str(digest), "size": str(info.size)}
            if filters.matches(_fields(values)):
                found.append(info)
            if len(found) == _MANY:
                call.send(encode(api.ListContentResponse(tuple(found)), api.SCHEMA))
                found.clear()
        if found:
            call.send(encode(api.ListContentResponse(tuple(found)), api.SCHEMA))

    def status(self, call: ServerCall) -> None:
        request = request_of(call, api.StatusRequest, api.SCHEMA)
        raise StatusError(Code.NOT_FOUND, f"nothing is being written as {request.ref}: not found")

    def list_statuses(self, call: ServerCall) -> None:
        request_of(call, api.ListStatusesRequest, api.SCHEMA)
        call.send(encode(api.ListStatusesResponse(), api.SCHEMA))

    def _info(self, digest: Digest) -> api.Info:
        try:
            status = os.stat(self._blobs.path(digest))
        except OSError:
            raise StatusError(Code.NOT_FOUND, f"content {digest}: not found") from None
        moment = at_seconds(status.st_mtime)
        return api.Info(digest, status.st_size, moment, moment)


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidInput as error:
        raise StatusError(Code.INVALID_ARGUMENT, error.reason) from None


def _refuse(call: ServerCall) -> None:
    raise StatusError(Code.UNIMPLEMENTED, "this content store is read-only")


def _fields(values: dict[str, str]) -> Fields:
    return lambda path: values.get(path[0])
