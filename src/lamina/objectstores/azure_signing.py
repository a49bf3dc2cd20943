"""Authorization for Azure Storage: with the account's key, or with an identity of Entra ID."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lamina.base.errors import InvalidInput, PermissionDenied, Unsupported
from lamina.objectstores.tokens import BearerSigner, RenewedToken

if TYPE_CHECKING:
    from lamina.objectstores.service import Headers
    from lamina.system.cancel import Cancellation

VERSION = "2021-12-02"
_SCOPE = "https://storage.azure.com/.default"
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


class SharedKeySigner:
    """Signs with an account's key ("Authorize with Shared Key"). Implements `Signer`."""

    def __init__(self, account: str, key: str) -> None:
        """Raises InvalidInput if `key` is not base64."""
        self._account = account
        try:
            self._key = b64decode(key, validate=True)
        except (NotBase64, ValueError):
            raise InvalidInput("the key of an Azure account must be base64") from None

    def __call__(
        self, unsigned: Headers, now: float, cancel: Cancellation
    ) -> tuple[tuple[str, str], ...]:
        headers = (*unsigned.headers, ("x-ms-date", formatdate(now, usegmt=True)))
        values = {name.lower(): value for name, value in headers}
        if unsigned.length:
            values["content-length"] = str(unsigned.length)
        own = sorted(name for name in values if name.startswith("x-ms-"))
        text = "\n".join(
            (
                unsigned.method,
                *(values.get(name, "") for name in _SIGNED),
                *(f"{name}:{values[name]}" for name in own),
                self._resource(unsigned.url.target),
            )
        )
        signature = b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        return (*headers, ("Authorization", f"SharedKey {self._account}:{signature}"))

    def _resource(self, target: str) -> str:
        path, _, query = target.partition("?")
        lines = [f"/{self._account}{path}"]
        pairs = sorted(part.partition("=") for part in query.split("&") if part)
        lines += [f"{name.lower()}:{unquote(value)}" for name, _, value in pairs]
        return "\n".join(lines)


def identity_signer() -> BearerSigner:
    """Signs with the identity that azure-identity finds: environment, workload, machine, CLI."""
    return BearerSigner(RenewedToken(_token), ())


def _token(cancel: Cancellation) -> tuple[str, float]:
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise Unsupported(
            "there is no key for the Azure account",
            hint="set secret_access_key, or a signature in account_url;"
            " for identities of machines and workloads install lamina[azblob]",
        ) from None
    cancel.check()
    try:
        with DefaultAzureCredential() as credential:
            token = credential.get_token(_SCOPE)
    except AzureError as error:
        raise PermissionDenied(f"Azure credentials: {str(error).splitlines()[0]}") from error
    return token.token, float(token.expires_on)
