"""The flags that choose a builder."""

from __future__ import annotations

from lamina.cli.flags import Flag

BUILDER = Flag(
    "builder",
    "Builder to use: a name, or a daemon's unix://PATH, tcp://HOST:PORT or ssh://HOST"
    " (default: $LAMINA_HOST, $BUILDX_BUILDER or $BUILDKIT_HOST; else that of `lamina use`)",
    value="NAME|ADDR",
    complete="builder",
)

BUILDER_FLAGS = (
    BUILDER,
    Flag(
        "tlscacert",
        "CA certificate that signed the daemon's certificate",
        value="FILE",
        complete="file",
    ),
    Flag("tlscert", "Client certificate", value="FILE", complete="file"),
    Flag(
        "tlsdir",
        "Directory with ca.pem, cert.pem and key.pem (default: $LAMINA_TLS_DIR)",
        value="DIR",
        complete="directory",
    ),
    Flag("tlskey", "Private key of the client certificate", value="FILE", complete="file"),
    Flag("tlsservername", "Expected server name in the daemon's certificate", value="NAME"),
)
