"""Commands on builders."""

from __future__ import annotations

from lamina.cli.flags import Command, Flag
from lamina.cli.usage.builder_flags import BUILDER
from lamina.cli.usage.common import DEBUG, FORMAT, TIMEOUT

COMMANDS = (
    Command(
        "create",
        "Create a builder, or change its nodes",
        "[OPTIONS] [ADDR | DIR]",
        "builders.create:run",
        (
            Flag("append", "Add a node to the builder"),
            Flag("bootstrap", "Wait until the builder's nodes run"),
            Flag(
                "buildkitd-config",
                "Configuration of a daemon: only nodes in Docker have one",
                value="FILE",
                complete="file",
            ),
            Flag(
                "buildkitd-flags",
                "Flags of a daemon: only nodes in Docker have them",
                value="FLAGS",
            ),
            Flag("config", "Same as --buildkitd-config", value="FILE", complete="file"),
            Flag(
                "driver",
                "Kind of builder (default: remote for an address, else embedded)",
                value="DRIVER",
                choices=("embedded", "remote"),
                open=True,
            ),
            Flag(
                "driver-opt",
                "Options: cacert=FILE, cert=FILE, key=FILE, servername=NAME, default-load=BOOL",
                value="NAME=VALUE",
                repeat=True,
            ),
            Flag("leave", "Remove a node from the builder"),
            Flag("name", "Name of the builder", value="NAME", complete="builder"),
            Flag("node", "Name of the node", value="NAME"),
            Flag(
                "platform",
                "Platforms that are always built by the node",
                value="PLATFORM",
                repeat=True,
            ),
            TIMEOUT,
            Flag("use", "Use the builder from now on"),
            DEBUG,
        ),
        most=1,
        examples=(
            "lamina create --name office --use tcp://build.example:1234"
            " --driver-opt cacert=/certs/ca.pem",
            "lamina create --name office --append --platform linux/arm64 ssh://me@arm.example",
            "lamina create --name ci /var/lib/ci",
        ),
    ),
    Command(
        "use",
        "Choose the builder of later commands",
        "[OPTIONS] NAME",
        "builders.use:run",
        (
            Flag("default", "Choose it whenever Docker's current endpoint is chosen again"),
            Flag("global", "Choose it for all of Docker's contexts"),
            BUILDER,
            DEBUG,
        ),
        most=1,
        complete="builder",
    ),
    Command(
        "ls",
        "List the builders and their nodes",
        "[OPTIONS]",
        "builders.ls:run",
        (
            FORMAT._replace(choices=("table", "json", "names")),
            Flag("no-trunc", "Show all platforms"),
            TIMEOUT,
            DEBUG,
        ),
        examples=("lamina ls --format '{{.Name}}: {{.Status}}'",),
    ),
    Command(
        "bootstrap",
        "Wait until the nodes of a builder run",
        "[OPTIONS] [NAME]",
        "builders.nodes:bootstrap",
        (TIMEOUT, BUILDER, DEBUG),
        most=1,
        complete="builder",
    ),
    Command(
        "stop",
        "Stop a builder: its daemons continue, as they do with docker buildx",
        "[NAME]",
        "builders.nodes:stop",
        (BUILDER, DEBUG),
        most=1,
        complete="builder",
    ),
    Command(
        "rm",
        "Remove builders; their daemons and stores stay",
        "[OPTIONS] [NAME…]",
        "builders.rm:run",
        (
            Flag("all-inactive", "Remove all builders without a running node"),
            Flag("force", "Do not ask for confirmation", short="f"),
            Flag("keep-daemon", "Accepted for compatibility: daemons are always kept"),
            Flag("keep-state", "Accepted for compatibility: stores are always kept"),
            TIMEOUT,
            BUILDER,
            DEBUG,
        ),
        most=None,
        complete="builder",
    ),
    Command(
        "dial-stdio",
        "Connect standard input and output to a builder's API",
        "[OPTIONS]",
        "builders.dial_stdio:run",
        (
            Flag("platform", "Platform to choose a node for", value="PLATFORM"),
            Flag(
                "progress",
                "Accepted for compatibility: nothing is shown",
                value="MODE",
                choices=("auto", "none", "plain", "rawjson", "tty"),
            ),
            BUILDER,
            DEBUG,
        ),
        examples=("ssh build.example lamina dial-stdio",),
    ),
)
