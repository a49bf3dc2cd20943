"""API capabilities of a peer (BuildKit's `util/apicaps/pb/caps.proto`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import boolean, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class APICap(NamedTuple):
    """One capability, by name (`exec.mount.bind`). If it is not `enabled`, the reason and an
    alternative."""

    id: str = ""
    enabled: bool = False
    deprecated: bool = False
    disabled_reason: str = ""
    disabled_reason_msg: str = ""
    disabled_alternative: str = ""


SCHEMA: Schema = {
    APICap: (
        string(1, "id"),
        boolean(2, "enabled"),
        boolean(3, "deprecated"),
        string(4, "disabled_reason"),
        string(5, "disabled_reason_msg"),
        string(6, "disabled_alternative"),
    ),
}
