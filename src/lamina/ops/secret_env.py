"""Secrets as environment variables of processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.gotext import quote
from lamina.ops.mounts import secret_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.llb.op import SecretEnv
    from lamina.session.contract import Session
    from lamina.system.cancel import Cancellation


def secret_env(
    secrets: Sequence[SecretEnv], session: Session, cancel: Cancellation
) -> tuple[str, ...]:
    """The variables as `NAME=value`. Raises NotFound, InvalidInput (a secret without an id)."""
    entries = []
    for secret in secrets:
        if not secret.id:
            raise InvalidInput(f"secret ID missing for {quote(secret.name)} environment variable")
        value = session.secret(secret.id, cancel)
        if value is None and not secret.optional:
            raise NotFound(
                f'secret "{secret.id}" is not known',
                hint=secret_hint(secret.id),
            )
        # As in BuildKit, a secret that is not provided is an empty variable.
        entries.append(f"{secret.name}={(value or b'').decode('utf-8', 'surrogateescape')}")
    return tuple(entries)
