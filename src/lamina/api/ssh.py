"""`moby.sshforward.v1.SSH`: connections to a client's SSH agents.

`ForwardAgent` is a stream of bytes (`stream.py`); its metadata names the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "moby.sshforward.v1.SSH"
CHECK_AGENT = f"/{SERVICE}/CheckAgent"
FORWARD_AGENT = f"/{SERVICE}/ForwardAgent"
KEY_ID = "buildkit.ssh.id"


class CheckAgentRequest(NamedTuple):
    id: str = ""


class CheckAgentResponse(NamedTuple):
    pass


SCHEMA: Schema = {CheckAgentRequest: (string(1, "id"),), CheckAgentResponse: ()}
