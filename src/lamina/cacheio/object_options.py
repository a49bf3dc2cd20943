"""The attributes of caches in object stores: BuildKit's names, defaults and object layout.

`type=gcs` is not in BuildKit. Its attributes follow those of `s3`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.cacheio.attributes import Attributes
    from lamina.objectstores.opening import StoreConfig

OBJECT_KINDS = ("s3", "azblob", "gcs", "gha")
OBJECT_KEYS = frozenset(
    (
        *("bucket", "region", "prefix", "manifests_prefix", "blobs_prefix", "name"),
        *("touch_refresh", "endpoint_url", "access_key_id", "secret_access_key", "session_token"),
        *("use_path_style", "upload_parallelism", "disable_accept_encoding"),
        *("retry_mode", "retry_max_attempts"),
        *("account_url", "account_name", "container", "credentials"),
        *("scope", "timeout", "token", "url", "url_v2", "repository", "ghtoken", "version"),
    )
)
"""The attributes of these kinds."""
_DAY = 86400.0
_V2 = "2"


class ObjectLocation(NamedTuple):
    """A cache in an object store.

    `manifests` and `blobs` are what keys begin with, before a name or a digest. An export is
    written under each of `names`, and an import reads each of them. `refresh` is the age in seconds
    at which a blob that is used again gets a new time.
    """

    config: StoreConfig
    manifests: str
    blobs: str
    names: tuple[str, ...]
    refresh: float = _DAY
    side_by_side: int = 4

    @property
    def label(self) -> str:
        """Its address, without credentials."""
        return f"{self.config.label}/{self.manifests}{';'.join(self.names)}"

    @property
    def title(self) -> str:
        """The kind of its backend in messages (BuildKit)."""
        return self.config.service


def object_location(kind: str, left: Attributes, *, writes: bool) -> ObjectLocation:
    """Parse the location of a cache of one of `OBJECT_KINDS`. Raises InvalidInput, Unsupported."""
    match kind:
        case "s3":
            return _s3(left)
        case "azblob":
            return _azure(left)
        case "gcs":
            return _gcs(left)
    return _actions(left, writes=writes)


def with_environment(
    kind: str, pairs: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Attributes with the credentials of a client's environment, as buildx adds them."""
    found = dict(pairs)
    if kind == "s3" and not (found.get("access_key_id") and found.get("secret_access_key")):
        from lamina.objectstores.aws_credentials import keys_in

        if keys := keys_in(environ):
            found |= {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
            if keys.token:
                found["session_token"] = keys.token
    if kind == "gha":
        for key, name in _RUNNER.items():
            if key not in found and (value := environ.get(name)):
                found[key] = value
    return found


_RUNNER = {
    "token": "ACTIONS_RUNTIME_TOKEN",
    "url": "ACTIONS_CACHE_URL",
    "url_v2": "ACTIONS_RESULTS_URL",
    "repository": "GITHUB_REPOSITORY",
    "ghtoken": "GITHUB_TOKEN",
}


def _s3(left: Attributes) -> ObjectLocation:
    from lamina.objectstores.s3 import S3Config
    from lamina.objectstores.s3_signing import AwsKeys

    bucket = left.needed("bucket", "s3", "AWS_BUCKET", os.environ.get("AWS_BUCKET", ""))
    region = left.needed("region", "s3", "AWS_REGION", os.environ.get("AWS_REGION", ""))
    access, secret = left.take("access_key_id"), left.take("secret_access_key")
    token = left.take("session_token")
    keys = AwsKeys(access, secret, token) if access and secret else None
    # Requests have no Accept-Encoding that a proxy could change, and the retries are lamina's own.
    left.boolean("disable_accept_encoding")
    if left.take("retry_mode") not in ("", "standard", "adaptive"):
        raise InvalidInput(f"{left.flag}: retry_mode must be standard or adaptive")
    left.count("retry_max_attempts", 1)
    endpoint, path_style = left.take("endpoint_url"), left.boolean("use_path_style")
    prefix = left.take("prefix")
    return ObjectLocation(
        S3Config(bucket, region, endpoint, path_style, keys),
        prefix + left.take("manifests_prefix", "manifests/"),
        prefix + left.take("blobs_prefix", "blobs/"),
        _names(left),
        left.seconds("touch_refresh", _DAY),
        left.count("upload_parallelism", 4),
    )


def _azure(left: Attributes) -> ObjectLocation:
    from lamina.objectstores.azure import AzureConfig

    def variable(name: str) -> str:
        return os.environ.get(f"BUILDKIT_AZURE_STORAGE_{name}", "")

    name = "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"
    url = left.needed("account_url", "azblob", name, variable("ACCOUNT_URL"))
    host = url.partition("://")[2].partition("/")[0]
    account = left.take("account_name") or variable("ACCOUNT_NAME") or host.partition(".")[0]
    container = left.take("container") or variable("CONTAINER") or "buildkit-cache"
    prefix = left.take("prefix", variable("PREFIX"))
    manifests = left.take("manifests_prefix", "manifests")
    blobs = left.take("blobs_prefix", "blobs")
    return ObjectLocation(
        AzureConfig(url, account, container, left.take("secret_access_key")),
        _folder(prefix, manifests),
        _folder(prefix, blobs),
        _names(left),
        left.seconds("touch_refresh", _DAY),
        left.count("upload_parallelism", 4),
    )


def _gcs(left: Attributes) -> ObjectLocation:
    from lamina.objectstores.gcs import GcsConfig

    bucket = left.needed("bucket", "gcs")
    prefix = left.take("prefix")
    credentials = left.take("credentials")
    return ObjectLocation(
        GcsConfig(bucket, left.take("endpoint_url"), credentials),
        prefix + left.take("manifests_prefix", "manifests/"),
        prefix + left.take("blobs_prefix", "blobs/"),
        _names(left),
        left.seconds("touch_refresh", _DAY),
        left.count("upload_parallelism", 4),
    )


def _actions(left: Attributes, *, writes: bool) -> ObjectLocation:
    from hashlib import sha256

    from lamina.objectstores.actions import ActionsConfig, scopes_of

    scope = left.take("scope") or "buildkit"
    token = left.take("token")
    url, url_v2, version = left.take("url"), left.take("url_v2"), left.take("version")
    left.seconds("timeout", 0)
    if version not in ("", "1", _V2):
        raise InvalidInput(f'{left.flag}: version must be 1 or 2, not "{version}"')
    service = url_v2 if version != "1" else ""
    service = service or (url if version == _V2 else "")
    config = ActionsConfig(service, token, left.take("repository"), left.take("ghtoken"))
    # A job without a valid token builds without the cache, so the token is checked when it is used.
    scopes = scopes_of(token) if token else ()
    if writes:
        scopes = tuple(found for found in scopes if found.writable)[-1:]
    hashes = tuple(sha256(found.name.encode()).hexdigest()[:8] for found in scopes)
    return ObjectLocation(config, f"index-{scope}-1-", "buildkit-blob-1-", hashes)


def _folder(*parts: str) -> str:
    """Joined paths as Go's `filepath.Join` makes them, with a slash at the end if not empty."""
    import posixpath

    joined = posixpath.normpath("/".join(filter(None, parts)) or ".")
    return "" if joined == "." else f"{joined}/"


def _names(left: Attributes) -> tuple[str, ...]:
    return tuple(filter(None, left.take("name").split(";"))) or ("buildkit",)
