"""The attributes of caches in object stores: BuildKit's names and defaults."""

from __future__ import annotations

import pytest

from lamina.base.errors import InvalidInput
from lamina.cacheio.object_options import ObjectLocation, with_environment
from lamina.cacheio.options import make_export, make_import
from lamina.objectstores.azure import AzureConfig
from lamina.objectstores.s3 import S3Config
from lamina.objectstores.s3_signing import AwsKeys
from tests.actions_server import token


def location(**pairs: str) -> ObjectLocation:
    found = make_import(pairs).location
    assert isinstance(found, ObjectLocation)
    return found


def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    found = location(type="s3", bucket="b", region="r")
    assert found.config == S3Config("b", "r")
    assert (found.manifests, found.blobs, found.names) == ("manifests/", "blobs/", ("buildkit",))
    found = location(
        type="s3", bucket="b", region="r", prefix="p/", name="x;y", blobs_prefix="",
        access_key_id="a", secret_access_key="s", session_token="t", touch_refresh="1h",
        upload_parallelism="9", endpoint_url="http://h:1", use_path_style="true",
    )  # fmt: skip
    assert found.config == S3Config("b", "r", "http://h:1", True, AwsKeys("a", "s", "t"))
    assert (found.manifests, found.blobs, found.names) == ("p/manifests/", "p/", ("x", "y"))
    assert (found.refresh, found.side_by_side) == (3600.0, 9)
    monkeypatch.setenv("AWS_BUCKET", "eb")
    monkeypatch.setenv("AWS_REGION", "er")
    assert location(type="s3").config == S3Config("eb", "er")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"type": "s3", "region": "r"}, "needs bucket or the variable AWS_BUCKET"),
        ({"type": "s3", "bucket": "b", "region": "r", "what": "x"}, "does not support what"),
        ({"type": "s3", "bucket": "b", "region": "r", "upload_parallelism": "0"}, "positive"),
        ({"type": "s3", "bucket": "b", "region": "r", "retry_mode": "x"}, "standard or adaptive"),
        ({"type": "azblob"}, "needs account_url"),
        ({"type": "gcs"}, "needs bucket"),
        ({"type": "gha", "version": "3"}, "version must be 1 or 2"),
    ],
)
def test_refused(pairs: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_BUCKET", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput, match=message):
        make_import(pairs)


def test_azure_paths_are_joined() -> None:
    found = location(type="azblob", account_url="https://acc.blob.core.windows.net")
    assert found.config == AzureConfig("https://acc.blob.core.windows.net", "acc", "buildkit-cache")
    assert (found.manifests, found.blobs) == ("manifests/", "blobs/")
    found = location(type="azblob", account_url="https://x", prefix="/a//b/", manifests_prefix="")
    assert (found.manifests, found.blobs) == ("/a/b/", "/a/b/blobs/")


def test_scopes_of_the_actions_cache() -> None:
    runtime = token(("refs/heads/feature", 3), ("refs/heads/main", 1))
    found = location(type="gha", token=runtime, url_v2="https://x/", scope="s")
    assert found.manifests == "index-s-1-"
    assert len(found.names) == 2
    export = make_export({"type": "gha", "token": runtime, "url_v2": "https://x/"})
    assert isinstance(export.location, ObjectLocation)
    assert export.location.names == found.names[:1]


def test_the_environment_completes_attributes() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    made = {"access_key_id": "a", "secret_access_key": "s", "session_token": "t"}
    assert with_environment("s3", {}, keys) == made
    given = {"access_key_id": "x", "secret_access_key": "y"}
    assert with_environment("s3", given, keys) == given
    assert with_environment("s3", {}, {**keys, "AWS_PROFILE": "p"}) == {}
    runner = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "u"}
    assert with_environment("gha", {"token": "own"}, runner) == {"token": "own", "url_v2": "u"}


def test_credentials_are_not_shown() -> None:
    found = location(type="s3", bucket="b", region="r", access_key_id="a", secret_access_key="hid")
    assert "hid" not in f"{found!r} {found.label}"
    signed = location(type="azblob", account_url="https://acc.x/?sig=hid", secret_access_key="hid")
    assert "hid" not in f"{found!r} {signed.config!r} {signed.label}"
