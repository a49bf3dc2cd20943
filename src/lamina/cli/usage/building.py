"""Commands that build, and the records of builds."""

from __future__ import annotations

from lamina.cli.flags import Command, Flag
from lamina.cli.usage.advise_flags import ADVISE_FLAGS
from lamina.cli.usage.bake_flags import BAKE_FLAGS
from lamina.cli.usage.builder_flags import BUILDER, BUILDER_FLAGS
from lamina.cli.usage.common import DEBUG, PROGRESS, ROOT
from lamina.cli.usage.explain_flags import EXPLAIN_FLAGS, TEXT_FORMAT
from lamina.cli.usage.frontend_flags import FRONTEND_FLAGS
from lamina.cli.usage.history_flags import HISTORY_FLAGS

_BUILD_DEBUG = Flag(
    "debug",
    "Open a shell in steps: on-error, always, step:N or step:TEXT; show tracebacks",
    short="D",
    value="WHEN",
    choices=("on-error", "always", "step:", "true", "false"),
    open=True,
    optional="true",
)

_SECRET = Flag(
    "secret",
    "Expose a secret to the build: id=…[,src=FILE|,env=NAME]",
    value="SECRET",
    repeat=True,
)
_SSH = Flag(
    "ssh", "Expose an SSH agent to the build: default or id=SOCKET", value="AGENT", repeat=True
)

_BUILD = (
    *FRONTEND_FLAGS,
    Flag(
        "allow",
        "Grant an extra privilege (entitlement)",
        value="ENTITLEMENT",
        repeat=True,
        choices=("security.insecure", "network.host", "device"),
        open=True,  # device=NAME
    ),
    Flag(
        "annotation",
        "Add an annotation, for example manifest:org.opencontainers.image.title=…",
        value="[TYPE:]NAME=VALUE",
        repeat=True,
    ),
    Flag(
        "attest",
        "Add an attestation: type=provenance[,mode=min|max] or type=sbom[,generator=IMAGE]",
        value="ATTESTATION",
        repeat=True,
    ),
    Flag(
        "build-context",
        "Add a named context: a directory, oci-layout://DIR[:tag], docker-image://ref or a URL",
        value="NAME=CONTEXT",
        repeat=True,
    ),
    Flag(
        "call",
        "Evaluate instead of building: check, outline, targets or convertllb[,format=json]",
        value="METHOD",
        default="build",
    ),
    Flag("check", "Check the Dockerfile (short for --call=check)"),
    Flag(
        "cache-from",
        "Import a build cache: type=registry,ref=… or type=local,src=…[,mounts=true]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "cache-to",
        "Export the build cache: type=registry,ref=…, type=local,dest=… or type=inline[,mode=max]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "file",
        "Dockerfile, or - for standard input (default: PATH/Dockerfile)",
        short="f",
        value="FILE",
        complete="file",
    ),
    TEXT_FORMAT._replace(help="Output format of --plan and --verify"),
    Flag("iidfile", "Write the image ID to a file", value="FILE", complete="file"),
    Flag("load", "Load the image into Docker or Podman on this machine (short for -o type=docker)"),
    Flag(
        "cache-report",
        "Write which results were exported to caches, and why, to a JSON file",
        value="FILE",
        complete="file",
    ),
    Flag("metadata-file", "Write build metadata to a JSON file", value="FILE", complete="file"),
    Flag(
        "output",
        "Output: type=image|registry|oci|docker|tar|local[,dest=…]",
        short="o",
        value="OUTPUT",
        repeat=True,
    ),
    Flag(
        "output-on-failure",
        "Output of the failed step's files: type=local,dest=…[,path=/app/reports]",
        value="OUTPUT",
        repeat=True,
    ),
    PROGRESS,
    Flag("plan", "Show what would run, without running it (lamina plan)"),
    Flag(
        "provenance",
        "Short for --attest=type=provenance: true, false, or attributes like mode=max",
        value="ATTRIBUTES",
    ),
    Flag("push", "Push the image to its registries (short for -o type=registry)"),
    Flag("quiet", "Show no progress; print the image ID", short="q"),
    Flag("report", "Write a report of the build as HTML", value="FILE", complete="file"),
    Flag(
        "sbom",
        "Short for --attest=type=sbom: true, false, or attributes like generator=IMAGE",
        value="ATTRIBUTES",
    ),
    _SECRET,
    Flag(
        "source-policy-file",
        "Source policy file (JSON)",
        value="FILE",
        complete="file",
    ),
    _SSH,
    Flag("tag", "Image name", short="t", value="NAME[:TAG]", repeat=True),
    Flag("verify", "Build again in an empty store, and fail if the image differs"),
)

COMMANDS = (
    Command(
        "build",
        "Build an image from a Dockerfile",
        "[OPTIONS] PATH | -",
        "build_command:run",
        (*_BUILD, *BUILDER_FLAGS, ROOT, _BUILD_DEBUG),
        least=1,
        most=1,
        complete="directory",
        examples=(
            "lamina build -t demo .",
            "lamina build -f app.Dockerfile --target test --build-arg VERSION=1.2 .",
            "lamina build -o type=oci,dest=demo.tar . ; lamina build -o out .",
            "lamina build - < Dockerfile ; tar -c . | lamina build -",
            "lamina build --builder unix:///run/buildkit/buildkitd.sock -o out .",
        ),
    ),
    Command(
        "bake",
        "Build targets of a bake file",
        "[OPTIONS] [URL] [TARGET…]",
        "bake_command:run",
        (*BAKE_FLAGS, *BUILDER_FLAGS, ROOT, DEBUG),
        most=None,
        examples=("lamina bake", "lamina bake --set '*.platform=linux/arm64' --print app"),
    ),
    Command(
        "history",
        "Show and remove the records of builds, or show the steps of an image",
        "ls | inspect [attachment] | logs | timeline | trace [BUILD] | export [BUILD…] | import"
        " | rm BUILD… | IMAGE",
        "history.command:run",
        (*HISTORY_FLAGS, *BUILDER_FLAGS, ROOT, DEBUG),
        least=1,
        most=None,
        choices=("ls", "inspect", "logs", "timeline", "trace", "export", "import", "rm"),
        examples=(
            "lamina history ls --filter status=error",
            "lamina history inspect ^1",
            "lamina history inspect attachment --type provenance",
            "lamina history logs --step 'RUN make'",
            "lamina history trace --format chrome -o trace.json",
        ),
    ),
    Command(
        "logs",
        "Print the log of a build",
        "[OPTIONS] [BUILD]",
        "history.command:logs",
        (
            *(flag for flag in HISTORY_FLAGS if flag.name in ("format", "progress", "step")),
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        most=1,
        examples=("lamina logs", "lamina logs ^1 --step 'RUN make'"),
    ),
    Command(
        "plan",
        "Show which steps a build would run, and why, without running it",
        "[OPTIONS] PATH | -",
        "build_command:plan",
        (
            *(f for f in _BUILD if f.name not in ("plan", "verify", "format")),
            TEXT_FORMAT,
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        least=1,
        most=1,
        complete="directory",
        examples=("lamina plan .", "lamina plan --target test --format json ."),
    ),
    Command(
        "explain",
        "Explain why steps of a build missed the cache",
        "[OPTIONS] [BUILD]",
        "explain:run",
        (
            *EXPLAIN_FLAGS,
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        most=1,
        examples=("lamina explain", "lamina explain ^1 --step 'RUN make'"),
    ),
    Command(
        "debug",
        "Open a shell in the failed step of a build, or run a command there",
        "[OPTIONS] [BUILD [COMMAND [ARG…]]]",
        "debug_command:run",
        (_SECRET, _SSH, BUILDER, ROOT, DEBUG),
        most=None,
        passes_on=True,
        examples=("lamina debug", "lamina debug ^1 cat /app/test.log"),
    ),
    Command(
        "dap",
        "Serve the Debug Adapter Protocol on standard input and output, for editors",
        "[OPTIONS]",
        "dap_command:run",
        (*BUILDER_FLAGS, ROOT, DEBUG),
        examples=("lamina dap", "lamina dap --builder unix:///run/lamina/laminad.sock"),
    ),
    Command(
        "advise",
        "Suggest changes to a Dockerfile that make its builds faster or smaller",
        "[OPTIONS] [PATH]",
        "advise:run",
        (*ADVISE_FLAGS, ROOT, DEBUG),
        most=1,
        complete="directory",
        examples=(
            "lamina advise",
            "lamina advise --kind cache-mount --apply .",
            "lamina advise --prove .",
        ),
    ),
)
