"""`lamina build`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, LaminaError
from lamina.base.events import WarningEvent
from lamina.cli import values
from lamina.cli.context import open_context
from lamina.cli.interrupt import interruptible
from lamina.cli.loading import loads, with_loading
from lamina.cli.opening import builder_address, chosen_builder, note_use, open_builder
from lamina.cli.output_flags import IMAGES, annotated, with_attributes
from lamina.cli.progress.choose import MODES, display_mode, open_display
from lamina.cli.usage.frontend_flags import frontend_options, platforms_of
from lamina.client.contract import (
    BuildRequest,
    ContextSpec,
    OutputSpec,
    SessionProviders,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.sourcepolicy import Policy
    from lamina.base.events import Event
    from lamina.cli.flags import Parsed
    from lamina.cli.progress.choose import Display
    from lamina.client.contract import BuildOutcome
    from lamina.client.debug_shell import Breakpoints

_STDERR = 2
_ARCHIVES = ("tar", "oci", "docker")
_POLICY_FILE = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"


def run(parsed: Parsed) -> int:
    """Parse the command line, build, and write the outputs. Returns the exit status."""
    if parsed.switch("plan"):
        return plan(parsed)
    if parsed.given("format") and not parsed.switch("verify"):
        raise InvalidInput("--format requires --plan or --verify")
    if not parsed.given("report"):
        return _run(parsed, "")
    from lamina.cli.report import reported

    with reported(parsed) as ref:
        return _run(parsed, ref)


def _run(parsed: Parsed, ref: str) -> int:
    """Build with the ID `ref`, "" for a new one."""
    mode = progress_mode(parsed)
    call = None
    if parsed.given("call") or parsed.given("check"):
        from lamina.cli.call import parse_call

        call = parse_call(parsed)
    summarized = call is None and display_mode(mode, _STDERR, os.environ) == "tty"
    if summarized and not ref:
        ref = os.urandom(16).hex()
    request = request_without_context(parsed)
    verified = parsed.switch("verify")
    if verified:
        from lamina.cli.verify import check_verifiable

        check_verifiable(parsed, request)
    iid_file, metadata_file = parsed.text("iidfile"), parsed.text("metadata-file")
    _prepare_files((*request.outputs, *request.failure_outputs), iid_file, metadata_file)
    if report_file := parsed.text("cache-report"):
        from lamina.cli.result_files import check_folder

        check_folder(report_file, "cache-report")
    path = parsed.arguments[0]
    named = tuple(map(values.parse_context, parsed.all("build-context")))
    # Engines fetch remote contexts themselves, but subrequests are answered in this process.
    fetched = (call is not None or verified) and not builder_address(parsed)
    warnings: list[WarningEvent] = []
    breakpoints = _breakpoints(parsed)
    # Standard input is read before signals are handled, so an interrupt ends that at once. The
    # engine is opened before any thread starts, because it may enter a mount namespace.
    with open_context(
        path, parsed.text("file"), named, sys.stdin.buffer, request.providers, fetched=fetched
    ) as context:
        request = request._replace(context=context, ref=ref)
        with open_builder(parsed) as builder, interruptible(builder.hurry) as interruption:
            note_use(chosen_builder(parsed))
            try:
                with closing(open_display(mode, _STDERR, os.environ)) as display:
                    events = _Collector(display, warnings)
                    cancel = interruption.cancel
                    if call is not None:
                        answer = builder.call(call.name, request, events, cancel)
                    elif breakpoints is not None and builder_address(parsed):
                        from lamina.client.remote_debug import build_with_shell

                        outcome = build_with_shell(builder, request, display.paused, events, cancel)
                    else:
                        if breakpoints is not None:
                            from lamina.client.debug_shell import DebugShell

                            debugger = DebugShell(display.paused, breakpoints)
                            request = request._replace(debugger=debugger)
                        outcome = builder.build(request, events, cancel)
            except Cancelled as error:
                return interruption.exit_status(error)
            except LaminaError as error:
                if call is None:
                    if mode not in ("quiet", "rawjson"):
                        show_warnings(warnings)  # they may explain it
                    from lamina.client.missing_files import missing_hint

                    hint = missing_hint(error, context) or error.hint
                    raise error.with_context(hint=hint) from error
                raise
        if call is not None:
            from lamina.cli.call import show_answer

            return show_answer(call, answer)
        if mode not in ("quiet", "rawjson"):
            show_warnings(warnings)
        if summarized:
            from lamina.cli.savings_line import show_savings

            show_savings(parsed, ref)
        _write_results(parsed, request, outcome)
        if verified:
            from lamina.cli.verify import verify

            return verify(parsed, request, mode)
    return 0


def _breakpoints(parsed: Parsed) -> Breakpoints | None:
    """When shells are opened in steps; None if never. Raises InvalidInput."""
    wanted = parsed.text("debug")
    kind, colon, text = wanted.partition(":")
    if wanted in ("", "false"):
        return None
    terminal = os.isatty(0) and os.isatty(_STDERR)
    if wanted == "true" and not terminal:
        return None
    if wanted not in ("true", "on-error", "always") and not (kind == "step" and text):
        raise InvalidInput(
            f'invalid argument "{wanted}" for --debug',
            hint="choose from on-error, always, step:N and step:TEXT",
        )
    if builder_address(parsed) and wanted not in ("true", "on-error"):
        raise InvalidInput(
            f"--debug={wanted} is not supported with --builder",
            hint="build without a daemon, or use --debug=on-error",
        )
    if not terminal:
        raise InvalidInput(
            f"--debug={wanted} requires a terminal on standard input and standard error",
            hint="remove it, or extract files of a failed step with --output-on-failure",
        )
    from lamina.client.debug_shell import Breakpoints

    return Breakpoints(wanted == "always", text if colon else "")


def plan(parsed: Parsed) -> int:
    """`lamina plan`, which is also `lamina build --plan`."""
    from lamina.cli.plan import show_plan

    return show_plan(parsed, request_without_context(parsed))


def progress_mode(parsed: Parsed) -> str:
    """The progress mode of `--progress`, `-q` or `BUILDKIT_PROGRESS`. Raises InvalidInput."""
    mode = parsed.text("progress") or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if mode not in MODES:
        raise InvalidInput(f'BUILDKIT_PROGRESS is "{mode}"', hint=f"choose from {', '.join(MODES)}")
    if not parsed.switch("quiet"):
        return "quiet" if mode == "none" else mode
    if parsed.text("progress") not in ("", "auto", "none", "quiet"):
        raise InvalidInput(f"--quiet and --progress={mode} cannot be combined")
    return "quiet"


def request_without_context(parsed: Parsed) -> BuildRequest:
    """The request without its context, which may have to be read from standard input first.

    Raises InvalidInput, NotFound, PermissionDenied, Unsupported.
    """
    environ = os.environ
    return BuildRequest(
        context=ContextSpec(""),
        frontend=frontend_options(parsed, environ),
        allow=tuple(dict.fromkeys(map(values.parse_entitlement, parsed.all("allow")))),
        tags=tuple(dict.fromkeys(map(values.parse_tag, parsed.all("tag")))),
        outputs=_outputs(parsed),
        providers=SessionProviders(
            tuple(values.parse_secret(text, environ) for text in parsed.all("secret")),
            tuple(values.parse_ssh(text, environ) for text in parsed.all("ssh")),
        ),
        cache_from=tuple(
            values.parse_cache(text, "cache-from") for text in parsed.all("cache-from")
        ),
        cache_to=tuple(values.parse_cache(text, "cache-to") for text in parsed.all("cache-to")),
        attests=values.parse_attests(
            parsed.all("attest"),
            {kind: parsed.text(kind) for kind in ("provenance", "sbom") if parsed.given(kind)},
        ),
        policy=_policy(parsed),
        failure_outputs=tuple(
            values.parse_output(text, stdout_is_terminal=os.isatty(1))
            for text in parsed.all("output-on-failure")
        ),
    )


def _policy(parsed: Parsed) -> Policy | None:
    """The policy of `--source-policy-file`, or of the file that buildx uses by default."""
    path = parsed.text("source-policy-file") or os.environ.get(_POLICY_FILE, "")
    if not path:
        return None
    from lamina.cli.policy_file import read_policy

    return read_policy(path)


def _outputs(parsed: Parsed) -> tuple[OutputSpec, ...]:
    terminal = os.isatty(1)
    outputs = [
        values.parse_output(text, stdout_is_terminal=terminal) for text in parsed.all("output")
    ]
    if sum(dict(output.attributes).get("dest") == "-" for output in outputs) > 1:
        raise InvalidInput("only one --output can go to standard output")
    if parsed.switch("load") and not any(map(loads, outputs)):
        outputs.append(OutputSpec("docker"))
    if parsed.switch("push"):
        pushed = [o for o in outputs if o.type in IMAGES]
        outputs = [with_attributes(o, ("push", "true")) if o in pushed else o for o in outputs]
        if not pushed:
            outputs.append(OutputSpec("image", (("push", "true"),)))
    found = with_loading(outputs, platforms_of(parsed, os.environ), chosen_builder(parsed))
    return annotated(found, parsed.all("annotation"))


def check_archives(outputs: Sequence[OutputSpec]) -> None:
    """Raise NotFound or PermissionDenied if an archive cannot be written where it should go."""
    from lamina.cli.result_files import check_folder

    for output in outputs:
        dest = dict(output.attributes).get("dest", "")
        if output.type in _ARCHIVES and dest not in ("", "-"):
            check_folder(dest, "output")


def _prepare_files(outputs: Sequence[OutputSpec], iid_file: str, metadata_file: str) -> None:
    from lamina.cli.result_files import check_folder, remove_stale

    check_archives(outputs)
    if metadata_file:
        check_folder(metadata_file, "metadata-file")
    if iid_file:
        check_folder(iid_file, "iidfile")
        remove_stale(iid_file)


def _write_results(parsed: Parsed, request: BuildRequest, outcome: BuildOutcome) -> None:
    iid_file, metadata_file = parsed.text("iidfile"), parsed.text("metadata-file")
    if report_file := parsed.text("cache-report"):
        _write_report(report_file, outcome)
    if iid_file or metadata_file:
        from lamina.cli.result_files import write_file

        if iid_file:
            write_file(iid_file, outcome.image_id)
        if metadata_file:
            import json

            write_file(metadata_file, json.dumps(dict(outcome.metadata), indent=2))
    to_stdout = any(dict(output.attributes).get("dest") == "-" for output in request.outputs)
    shown = parsed.switch("quiet") or parsed.text("progress") == "quiet"
    if shown and outcome.image_id and not to_stdout:
        print(outcome.image_id)


def _write_report(path: str, outcome: BuildOutcome) -> None:
    import json

    from lamina.cli.result_files import write_file

    report = outcome.metadata.get("cache.report") or {"exports": []}
    document = json.loads(report) if isinstance(report, str) else report
    write_file(path, json.dumps(document, indent=2))


class _Collector:
    """Passes events on to a display, and keeps the warnings for the end."""

    def __init__(self, display: Display, warnings: list[WarningEvent]) -> None:
        self._display = display
        self._warnings = warnings

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, WarningEvent):
            self._warnings.append(event)
        self._display(event)


def show_warnings(warnings: list[WarningEvent]) -> None:
    """Write warnings to standard error, in short unless `--debug` is given."""
    if not warnings:
        return
    from lamina.cli.errors import debugging

    plural = "s" if len(warnings) > 1 else ""
    more = "" if debugging() else " (use --debug to expand)"
    lines = ["", f" {len(warnings)} warning{plural} found{more}:"]
    for warning in warnings:
        lines.append(f" - {warning.short}")
        if debugging():
            lines += warning.detail
            lines += [f"More info: {warning.url}"] if warning.url else []
            lines += [warning.location.excerpt(), ""] if warning.location else [""]
    print("\n".join(lines), file=sys.stderr)
