"""The flags of `lamina history`, with the names of `docker buildx history`."""

from __future__ import annotations

from lamina.cli.flags import Flag

HISTORY_FLAGS = (
    Flag("all", "rm, export: the records of all builds that have ended"),
    Flag(
        "file",
        "import: read a bundle from a file instead of standard input",
        short="f",
        value="FILE",
        repeat=True,
        complete="file",
    ),
    Flag(
        "filter",
        "ls: select records: status=error, ref=…, repository=…, startedAt>24h, completedAt<…,"
        " duration>1m",
        value="FILTER",
        repeat=True,
    ),
    Flag(
        "format",
        "Output format, or for ls and inspect a Go template",
        value="FORMAT",
        choices=("table", "pretty", "json", "otlp", "chrome"),
        open=True,
        default="table, pretty for inspect, otlp for trace",
    ),
    Flag("html", "export: write a report of one build as HTML", value="FILE", complete="file"),
    Flag("local", "ls: only builds of the git repository in the current directory"),
    Flag("no-trunc", "ls, IMAGE: do not truncate names and commands"),
    Flag(
        "platform",
        "inspect attachment: the attachment for a platform",
        value="PLATFORM",
    ),
    Flag(
        "progress",
        "logs: output",
        value="MODE",
        choices=("auto", "plain", "rawjson"),
        default="plain",
    ),
    Flag(
        "output",
        "trace, export: write to a file instead of standard output",
        short="o",
        value="FILE",
        complete="file",
    ),
    Flag("quiet", "IMAGE: print only IDs", short="q"),
    Flag(
        "type",
        "inspect attachment: the type of the attachment",
        value="TYPE",
        choices=("index", "manifest", "image", "provenance", "sbom"),
        open=True,
    ),
    Flag("step", "logs: only this step, by number or part of its text", value="STEP"),
)
