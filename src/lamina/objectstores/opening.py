"""Opens the store of a configuration, with the credentials that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.objectstores.service import RETRIES

if TYPE_CHECKING:
    from lamina.objectstores.actions import ActionsConfig
    from lamina.objectstores.azure import AzureConfig
    from lamina.objectstores.contract import ObjectStore
    from lamina.objectstores.gcs import GcsConfig
    from lamina.objectstores.s3 import S3Config
    from lamina.objectstores.service import Signer
    from lamina.registry.transport import RetryPolicy

    StoreConfig = S3Config | AzureConfig | GcsConfig | ActionsConfig


def open_store(config: StoreConfig, retries: RetryPolicy = RETRIES) -> ObjectStore:
    """Open a store, without sending a request. The caller closes it. Raises InvalidInput."""
    from lamina.objectstores.azure import AzureConfig
    from lamina.objectstores.gcs import GcsConfig
    from lamina.objectstores.s3 import S3Config

    if isinstance(config, S3Config):
        from lamina.objectstores.aws_credentials import AwsCredentials
        from lamina.objectstores.s3 import S3Store

        return S3Store(config, AwsCredentials(config.keys), retries)
    if isinstance(config, AzureConfig):
        return _open_azure(config, retries)
    if isinstance(config, GcsConfig):
        from lamina.objectstores.gcs import GcsStore, google_signer

        return GcsStore(config, google_signer(config), retries)
    from lamina.objectstores.actions import ActionsStore

    return ActionsStore(config, retries)


def _open_azure(config: AzureConfig, retries: RetryPolicy) -> ObjectStore:
    from lamina.objectstores.azure import AzureStore
    from lamina.objectstores.azure_signing import SharedKeySigner, identity_signer
    from lamina.objectstores.service import no_credentials

    sign: Signer
    if config.key:
        sign = SharedKeySigner(config.account, config.key)
    else:
        sign = no_credentials if "sig=" in config.url else identity_signer()
    return AzureStore(config, sign, retries)
