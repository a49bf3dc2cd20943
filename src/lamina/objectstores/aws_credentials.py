"""The credentials of AWS: options, the environment, or whatever botocore finds."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import PermissionDenied, Unsupported
from lamina.objectstores.s3_signing import AwsKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.system.cancel import Cancellation

_OTHER_SOURCES = (
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_HINT = (
    "set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY;"
    " for profiles, web identities and instance roles install lamina[s3]"
)


class _BotocoreCredentials(Protocol):
    def get_frozen_credentials(self) -> _Frozen: ...


class _Frozen(Protocol):
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


def keys_in(environ: Mapping[str, str]) -> AwsKeys | None:
    """The keys in environment variables, if both are set and no profile is chosen."""
    access, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if environ.get("AWS_PROFILE") or not access or not secret:
        return None
    return AwsKeys(access, secret, environ.get("AWS_SESSION_TOKEN", ""))


class AwsCredentials:
    """Finds keys: `given`, in the environment, else with botocore, which renews them. Thread-safe.

    botocore takes 0.1 s to import, so a build with keys in the environment does not import it.
    """

    def __init__(self, given: AwsKeys | None) -> None:
        self._given = given
        self._lock = threading.Lock()
        self._found: _BotocoreCredentials | None = None

    def __call__(self, cancel: Cancellation) -> AwsKeys:
        """The current keys. Raises PermissionDenied, Unsupported."""
        keys = self._given or keys_in(os.environ)
        if keys is not None:
            return keys
        with self._lock:
            if self._found is None:
                cancel.check()
                self._found = _from_botocore()
            frozen = self._found.get_frozen_credentials()
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token or "")


def _from_botocore() -> _BotocoreCredentials:
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        named = [name for name in _OTHER_SOURCES if os.environ.get(name)]
        found = f"; {named[0]} needs botocore" if named else ""
        raise Unsupported(f"there are no AWS keys{found}", hint=_HINT) from None
    try:
        found_by = Session().get_credentials()
    except BotoCoreError as error:
        raise PermissionDenied(f"AWS credentials: {error}", hint=_HINT) from error
    if found_by is None:
        raise PermissionDenied("there are no AWS credentials", hint=_HINT)
    credentials: _BotocoreCredentials = found_by
    return credentials
