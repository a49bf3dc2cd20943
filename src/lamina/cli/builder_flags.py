"""The flags that choose a builder."""

from __future__ import annotations

from lamina.cli.flags import Flag

BUILDER_FLAGS = (
    Flag(
        "builder",
        "lamina or BuildKit daemon to use: unix://PATH or tcp://HOST:PORT"
        " (default: $LAMINA_HOST or $BUILDKIT_HOST; else build in this process)",
        value="ADDR",
    ),
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
