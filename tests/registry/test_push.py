from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import PermissionDenied, Unavailable
from lamina.base.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from lamina.base.reference import Reference, parse_reference
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous, Credentials
from lamina.registry.push import push_blob, push_manifest
from lamina.system.cancel import Cancellation
from tests.registry import registry_server

if TYPE_CHECKING:
    from lamina.registry.transport import RetryPolicy
    from tests.registry.registry_server import Image


class Login:
    def lookup(self, domain: str) -> Credentials:
        return Credentials("user", "secret")


def push(client: RegistryClient, reference: Reference, image: Image) -> list[bool]:
    cancel = Cancellation()
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}})
    described = Descriptor(OCI_CONFIG, digest_of(config.encode()), len(config))
    sent = [
        push_blob(client, reference, described, lambda offset: (config.encode(),), cancel),
        push_blob(
            client,
            reference,
            image.layer_descriptor,
            lambda offset: (image.layer[offset:],),
            cancel,
        ),
    ]
    manifest = Manifest(OCI_MANIFEST, described, (image.layer_descriptor,))
    data = json.dumps(manifest.to_json()).encode()
    push_manifest(client, reference, OCI_MANIFEST, data, cancel)
    assert client.resolve(reference).digest == digest_of(data)
    return sent


def test_push_and_mount(registry: Any, retry_policy: RetryPolicy) -> None:
    host, image = registry
    with RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as client:
        reference = parse_reference(f"{host}/pushed/one:x")
        assert push(client, reference, image) == [True, True]
        assert push(client, reference, image) == [False, False]
        other = parse_reference(f"{host}/pushed/two:x")

        def never(offset: int) -> tuple[bytes, ...]:
            raise AssertionError("it should have been mounted")

        cancel = Cancellation()
        layer = image.layer_descriptor
        assert not push_blob(client, other, layer, never, cancel, mount_from="pushed/one")
        assert b"".join(client.blob(other, layer)) == image.layer
    subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"],
        check=True,
        capture_output=True,
    )


def test_push_with_a_login(private_registry: Any, retry_policy: RetryPolicy) -> None:
    host, image = private_registry
    reference = parse_reference(f"{host}/pushed/one:x")
    with RegistryClient(credentials=Login(), retry_policy=retry_policy) as client:
        assert push(client, reference, image) == [True, True]
    with (
        RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as client,
        pytest.raises(PermissionDenied),
    ):
        push(client, reference, image)


def test_broken_uploads_begin_again(
    proxy: registry_server.FaultProxy, registry: Any, retry_policy: RetryPolicy
) -> None:
    image = registry[1]
    reference = parse_reference(f"{proxy.host}/pushed/three:x")
    proxy.fail("POST", registry_server.status(503))
    proxy.fail("PUT", registry_server.reset)
    with RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as client:
        assert push(client, reference, image) == [True, True]
        proxy.fail("PUT", registry_server.status(500), 9)
        with pytest.raises(Unavailable, match="500"):
            push(client, parse_reference(f"{proxy.host}/pushed/four:x"), image)
