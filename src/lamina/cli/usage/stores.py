"""Commands on builders and their stores."""

from __future__ import annotations

from lamina.cli.flags import Command, Flag
from lamina.cli.usage.builder_flags import BUILDER, BUILDER_FLAGS
from lamina.cli.usage.common import DEBUG, FILTER, FORMAT, PROGRESS, QUIET, ROOT
from lamina.cli.usage.daemon_flags import DAEMON_FLAGS

_PRUNE = (
    Flag("all", "Also remove cache that local images use", short="a"),
    FILTER,
    Flag("force", "Do not ask for confirmation", short="f"),
    Flag("keep-storage", "Same as --reserved-space", value="BYTES"),
    Flag("max-used-space", "Remove until the cache is at most this large", value="BYTES"),
    Flag("min-free-space", "Remove until the disk has this much free space", value="BYTES"),
    Flag("reserved-space", "Amount of cache that is always kept", value="BYTES"),
    Flag("verbose", "Show all details of removed records"),
)

_UI = (
    Flag(
        "addr",
        "Address to listen on",
        value="HOST:PORT",
        default="127.0.0.1 and a free port",
    ),
    Flag("allow-changes", "Allow the page to remove records of the cache"),
    Flag("servercert", "Certificate of the server", value="FILE", complete="file"),
    Flag("serverkey", "Private key of the certificate", value="FILE", complete="file"),
    Flag(
        "clientca",
        "Require client certificates that this CA has signed",
        value="FILE",
        complete="file",
    ),
)

COMMANDS = (
    Command(
        "du",
        "Show the disk usage of the build cache",
        "[OPTIONS]",
        "disk_usage:disk_usage",
        (
            *(FILTER, FORMAT, Flag("verbose", "Show all details of each record")),
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
    ),
    Command(
        "prune",
        "Remove build cache",
        "[OPTIONS]",
        "disk_usage:prune",
        (*_PRUNE, *BUILDER_FLAGS, ROOT, DEBUG),
        examples=("lamina prune --filter until=24h", "lamina prune -af --max-used-space 10gb"),
    ),
    Command(
        "ui",
        "Show builds, images and the store in a browser",
        "[OPTIONS]",
        "ui:run",
        (*_UI, *BUILDER_FLAGS, ROOT, DEBUG),
        examples=("lamina ui", "lamina ui --addr 127.0.0.1:8080 --allow-changes"),
    ),
    Command(
        "check",
        "Verify the store: blobs, snapshots, database, leases",
        "[OPTIONS]",
        "check:check",
        (
            Flag("repair", "Remove damaged data that can be rebuilt or fetched again"),
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        examples=("lamina check --repair",),
    ),
    Command(
        "cache",
        "List, export, import and remove cache mounts",
        "ls | export [NAME…] --to CACHE | import NAME… --from CACHE | rm NAME…",
        "cache:run",
        (
            Flag("all", "rm: remove all cache mounts", short="a"),
            Flag(
                "format",
                "ls: output format",
                value="FORMAT",
                choices=("table", "json", "names"),
                default="table",
            ),
            Flag("from", "import: type=registry,ref=… or type=local,src=…", value="CACHE"),
            Flag("to", "export: type=registry,ref=… or type=local,dest=…", value="CACHE"),
            PROGRESS,
            QUIET,
            BUILDER,
            ROOT,
            DEBUG,
        ),
        least=1,
        most=None,
        choices=("ls", "export", "import", "rm"),
        complete="mount",
        examples=(
            "lamina cache ls",
            "lamina cache export go-build --to type=registry,ref=host/app:cache",
            "lamina cache import go-build --from type=registry,ref=host/app:cache",
        ),
    ),
    Command(
        "daemon",
        "Serve BuildKit's API to buildctl and docker buildx",
        "[OPTIONS]",
        "daemon:run",
        (*DAEMON_FLAGS, ROOT, DEBUG),
        examples=(
            "lamina daemon",
            "lamina daemon --addr tcp://0.0.0.0:1234"
            " --tlscert c.pem --tlskey k.pem --tlscacert ca.pem",
        ),
    ),
)
