"""`moby.buildkit.secrets.v1.Secrets`: values of secrets, by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import data, mapping, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "moby.buildkit.secrets.v1.Secrets"
GET_SECRET = f"/{SERVICE}/GetSecret"


class GetSecretRequest(NamedTuple):
    id: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


class GetSecretResponse(NamedTuple):
    data: bytes = b""


SCHEMA: Schema = {
    GetSecretRequest: (string(1, "id"), mapping(2, "annotations")),
    GetSecretResponse: (data(1, "data"),),
}
