"""Commands on images: in the local store, and in registries."""

from __future__ import annotations

from lamina.cli.flags import Command, Flag
from lamina.cli.usage.builder_flags import BUILDER, BUILDER_FLAGS
from lamina.cli.usage.common import DEBUG, FORMAT, INSECURE, PROGRESS, QUIET, ROOT, TIMEOUT
from lamina.cli.usage.diff_flags import DIFF_FLAGS
from lamina.cli.usage.run_flags import RUN_FLAGS

_COMMANDS = (
    Command(
        "images",
        "List the images of the local store",
        "[OPTIONS] [NAME…]",
        "image_commands:list_images",
        (
            FORMAT._replace(choices=("table", "json", "names")),
            Flag("no-trunc", "Do not truncate digests"),
            Flag("quiet", "Print only image IDs", short="q"),
            BUILDER,
            ROOT,
            DEBUG,
        ),
        most=None,
        complete="image",
    ),
    Command(
        "rmi",
        "Remove images from the local store",
        "[OPTIONS] IMAGE…",
        "image_commands:remove_images",
        (Flag("force", "Ignore images that do not exist", short="f"), BUILDER, ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "run",
        "Run a command in a container of an image",
        "[OPTIONS] IMAGE [COMMAND [ARG…]]",
        "run_command:run",
        (*RUN_FLAGS, BUILDER, ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
        passes_on=True,
        examples=("lamina run demo", "lamina run -it -v $PWD:/src demo sh"),
        failure=125,
    ),
    Command(
        "inspect",
        "Show a builder and its nodes, or images as JSON",
        "[OPTIONS] [BUILDER] | IMAGE…",
        "inspect_command:run",
        (
            Flag("bootstrap", "Wait until the builder's nodes run"),
            TIMEOUT,
            Flag(
                "format",
                "Go template for each image, for example {{.Config.Env}}",
                short="f",
                value="TEMPLATE",
            ),
            Flag(
                "type",
                "What the names are (default: a builder if there is one of that name)",
                value="KIND",
                choices=("builder", "image"),
            ),
            BUILDER,
            ROOT,
            DEBUG,
        ),
        most=None,
        complete="image",
        examples=("lamina inspect", "lamina inspect office", "lamina inspect --type image app:1"),
    ),
    Command(
        "tag",
        "Give an image another name",
        "IMAGE NAME",
        "image_archives:tag",
        (BUILDER, ROOT, DEBUG),
        least=2,
        most=2,
        complete="image",
    ),
    Command(
        "save",
        "Write images to an archive, for docker load or podman load",
        "[OPTIONS] IMAGE…",
        "image_archives:save",
        (
            Flag(
                "output",
                "Write to a file instead of standard output",
                short="o",
                value="FILE",
                complete="file",
            ),
            BUILDER,
            ROOT,
            DEBUG,
        ),
        least=1,
        most=None,
        complete="image",
        examples=("lamina save -o app.tar app:1", "lamina save app:1 | docker load"),
    ),
    Command(
        "load",
        "Store the images of an archive of docker save, podman save or lamina",
        "[OPTIONS]",
        "image_archives:load",
        (
            Flag(
                "input",
                "Read a file instead of standard input",
                short="i",
                value="FILE",
                complete="file",
            ),
            Flag("quiet", "Do not print the names of the images", short="q"),
            BUILDER,
            ROOT,
            DEBUG,
        ),
    ),
    Command(
        "diff",
        "Compare two images, or two builds",
        "[OPTIONS] IMAGE IMAGE | BUILD BUILD",
        "diff_command:run",
        (*DIFF_FLAGS, INSECURE, *BUILDER_FLAGS, ROOT, DEBUG),
        least=2,
        most=2,
        complete="image",
        examples=(
            "lamina diff app:1 app:2",
            "lamina diff app docker://registry.example/app:1",
            "lamina diff --times oci-layout://old:1 ./new.tar",
            "lamina diff ^1 ^",
        ),
        failure=2,
    ),
    Command(
        "sbom",
        "List the packages of an image, a build or a directory",
        "[OPTIONS] IMAGE | BUILD | DIRECTORY",
        "sbom:run",
        (
            Flag(
                "format",
                "Output format",
                value="FORMAT",
                choices=("table", "spdx", "cyclonedx"),
                default="table",
            ),
            Flag("output", "Write to a file", short="o", value="FILE", complete="file"),
            Flag("platform", "Platform of an image", value="PLATFORM"),
            PROGRESS,
            BUILDER,
            ROOT,
            DEBUG,
        ),
        least=1,
        most=1,
        complete="image",
        examples=(
            "lamina sbom app:1",
            "lamina sbom --format spdx -o app.spdx.json docker://registry.example/app:1",
            "lamina sbom ^ ; lamina sbom ./rootfs",
        ),
    ),
    Command(
        "push",
        "Push images of the local store to registries",
        "[OPTIONS] IMAGE…",
        "transfer:push",
        (PROGRESS, INSECURE, QUIET, BUILDER, ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "pull",
        "Pull images from registries into the local store",
        "[OPTIONS] IMAGE…",
        "transfer:pull",
        (
            Flag("platform", "Platform to pull (default: that of this machine)", value="PLATFORM"),
            PROGRESS,
            QUIET,
            BUILDER,
            ROOT,
            DEBUG,
        ),
        least=1,
        most=None,
    ),
    Command(
        "login",
        "Log in to a registry",
        "[OPTIONS] [SERVER]",
        "login:login",
        (
            Flag("username", "User name", short="u", value="NAME"),
            Flag("password", "Password or token", short="p", value="TEXT"),
            Flag("password-stdin", "Read the password from standard input"),
            INSECURE,
            DEBUG,
        ),
        most=1,
        examples=("lamina login -u me --password-stdin ghcr.io < token",),
    ),
    Command("logout", "Log out from a registry", "[SERVER]", "login:logout", (DEBUG,), most=1),
    Command(
        "imagetools inspect",
        "Show an image in a registry",
        "[OPTIONS] NAME",
        "imagetools.inspect:run",
        (
            Flag(
                "format",
                "Go template: .Name, .Manifest, .Image, .SBOM, .Provenance and the function json",
                value="TEMPLATE",
            ),
            Flag("raw", "Print the manifest as it is"),
            INSECURE,
            BUILDER,
            DEBUG,
        ),
        least=1,
        most=1,
        examples=(
            "lamina imagetools inspect alpine",
            "lamina imagetools inspect alpine --format '{{json .Manifest}}'",
        ),
    ),
    Command(
        "imagetools create",
        "Create an index of images in registries",
        "[OPTIONS] SOURCE…",
        "imagetools.create:run",
        (
            Flag(
                "annotation",
                "Add an annotation to the index or its entries",
                value="[TYPE[[PLATFORM]]:]NAME=VALUE",
                repeat=True,
            ),
            Flag("append", "Keep the manifests of the existing index"),
            Flag("dry-run", "Print the index without pushing it"),
            Flag(
                "file",
                "Read a source from a file: a name, a digest, a descriptor or build metadata",
                short="f",
                value="FILE",
                repeat=True,
                complete="file",
            ),
            Flag("metadata-file", "Write the result to a JSON file", value="FILE", complete="file"),
            Flag(
                "platform",
                "Use only the manifests for a platform",
                short="p",
                value="PLATFORM",
                repeat=True,
            ),
            Flag(
                "prefer-index",
                "Create an index even for a single manifest (default: true)",
            ),
            PROGRESS,
            Flag("tag", "Name of the index", short="t", value="NAME", repeat=True),
            INSECURE,
            BUILDER,
            DEBUG,
        ),
        most=None,
        examples=("lamina imagetools create -t host/app:1 host/app:amd64 host/app:arm64",),
    ),
)

_HISTORY = Command(
    "image history",
    "Show the steps that made an image",
    "[OPTIONS] IMAGE",
    "image_history:run",
    (
        FORMAT,
        Flag("no-trunc", "Do not truncate commands"),
        Flag("quiet", "Print only IDs", short="q"),
        BUILDER,
        ROOT,
        DEBUG,
    ),
    least=1,
    most=1,
    complete="image",
)
_PRUNE = Command(
    "image prune",
    "Remove images without a name from the local store",
    "[OPTIONS]",
    "image_commands:prune_images",
    (
        Flag("all", "Remove all images", short="a"),
        Flag("force", "Do not ask for confirmation", short="f"),
        BUILDER,
        ROOT,
        DEBUG,
    ),
)
_IN_GROUP = {
    "images": "ls",
    "rmi": "rm",
    "inspect": "inspect",
    "tag": "tag",
    "save": "save",
    "load": "load",
    "push": "push",
    "pull": "pull",
}
"""Commands that the group `image` has too (docker)."""


def _in_group(command: Command) -> Command:
    made = command._replace(name=f"image {_IN_GROUP[command.name]}", examples=())
    if command.name != "inspect":
        return made
    flags = tuple(flag for flag in made.flags if flag.name not in ("bootstrap", "timeout", "type"))
    return made._replace(
        summary="Show images as JSON",
        usage="[OPTIONS] IMAGE…",
        handler="image_commands:inspect_images",
        flags=flags,
        least=1,
    )


COMMANDS = (
    *_COMMANDS,
    *(_in_group(command) for command in _COMMANDS if command.name in _IN_GROUP),
    _HISTORY,
    _PRUNE,
)
