"""The flags of `lamina bake`."""

from __future__ import annotations

from lamina.cli.flags import Flag
from lamina.cli.usage.common import PROGRESS

BAKE_FLAGS = (
    Flag(
        "allow",
        "Grant a privilege: network.host, security.insecure, fs.read=PATH, fs.write=PATH, fs=PATH",
        value="ENTITLEMENT",
        repeat=True,
    ),
    Flag(
        "call",
        "Evaluate instead of building: check, outline or targets[,format=json]",
        value="METHOD",
        default="build",
    ),
    Flag("check", "Check the Dockerfiles (short for --call=check)"),
    Flag(
        "file",
        "Bake file: HCL, JSON or Compose, or - for standard input",
        short="f",
        value="FILE",
        repeat=True,
        complete="file",
    ),
    Flag(
        "list",
        "List targets or variables instead of building: targets, variables[,format=json]",
        value="WHAT",
        choices=("targets", "variables"),
        open=True,
    ),
    Flag("load", "Load the images into Docker or Podman on this machine"),
    Flag("metadata-file", "Write build metadata to a JSON file", value="FILE", complete="file"),
    Flag("no-cache", "Do not use the cache"),
    Flag("print", "Print the resolved targets as JSON, without building"),
    PROGRESS,
    Flag("provenance", "Provenance of all targets: true, false or mode=max", value="ATTRIBUTES"),
    Flag("pull", "Resolve base images again"),
    Flag("push", "Push the images to their registries"),
    Flag("sbom", "SBOM of all targets: true, false or generator=IMAGE", value="ATTRIBUTES"),
    Flag(
        "set",
        "Override an option of targets: target-pattern.key=value, or += to add to a list",
        value="OPTION",
        repeat=True,
    ),
    Flag("var", "Set a variable of the bake files", value="NAME=VALUE", repeat=True),
)
