"""The entry point: errors become one line and an exit status. The only place that exits."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from aigc_cli.core.elision import elided
from aigc_cli.core.errors import AigcError, ExitStatus, OutOfMemoryError, UsageError
from aigc_cli.signals import Terminated, raise_terminated


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return run(argv)
    except BrokenPipeError:
        return ExitStatus.BROKEN_PIPE
    except KeyboardInterrupt:
        return report(argv, "interrupted", ExitStatus.INTERRUPTED)
    except Terminated:
        return report(argv, "terminated", ExitStatus.TERMINATED)


def report(argv: list[str], message: str, status: ExitStatus) -> ExitStatus:
    """Says in JSON why the stream ends here; a person at a terminal knows already."""
    if "--json" in argv:
        report_error(AigcError(message), argv, status)
    return status


def run(argv: list[str]) -> int:
    """As main; an interruption and a closed stdout are raised."""
    try:
        return invoke(argv)
    except AigcError as error:
        return report_error(error, argv, error.status)
    except MemoryError as error:
        return report_error(
            OutOfMemoryError("out of memory", "try a smaller model or --dtype bfloat16"), argv, ExitStatus.OUT_OF_MEMORY, error
        )
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk behind stdout, a folder that may not be read
        where = f"{elided(error.filename)}: " if error.filename else ""
        message = f"{where}{(error.strerror or str(error)).lower()}"
        if error.errno == errno.ENAMETOOLONG:  # not even asked for is such a file without an error
            return report_error(UsageError(message, "check the path"), argv, ExitStatus.USAGE, error)
        return report_error(AigcError(message), argv, ExitStatus.FAILED, error)
    except Exception as error:
        hint = "this is a bug or a file that aigc does not know: --traceback shows where"
        return report_error(AigcError(f"{type(error).__name__}: {error}", hint), argv, ExitStatus.FAILED, error)


def invoke(argv: list[str]) -> int:
    """Parses and runs, without Typer's own handling of errors: it would turn a closed stdout into status 1."""
    import typer
    from typer.exceptions import TyperException

    from aigc_cli.app import app

    try:
        with typer.main.get_command(app).make_context("aigc", argv) as context:
            context.command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed already
            return ExitStatus.USAGE
        command = getattr(getattr(error, "ctx", None), "command_path", "aigc")
        raise UsageError(error.format_message().replace("Value error, ", ""), f"see: {command} --help") from error
    return ExitStatus.DONE


def report_error(error: AigcError, argv: list[str], status: ExitStatus, cause: BaseException | None = None) -> ExitStatus:
    from aigc_cli.render.output import Output, show_error

    output = Output(json="--json" in argv)
    if "--traceback" in argv:
        import traceback

        output.aside("".join(traceback.format_exception(cause or error)))
    show_error(output, error, status)
    return status


def entry() -> NoReturn:
    """The console script."""
    signal.signal(signal.SIGTERM, raise_terminated)
    status = int(with_streams(main))
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)  # all is flushed and closed; to take torch apart would take another second


def with_streams(command: Callable[[], int]) -> int:
    """Runs the command where its streams may be closed before or may close while it runs."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open until the process ends
    if sys.stdout is None:  # what is opened next would take its place and get the output
        sys.stderr.write("aigc: stdout is closed\n")
        return ExitStatus.FAILED
    status = command()
    try:
        sys.stdout.flush()
    except OSError as error:
        status = ExitStatus.BROKEN_PIPE if isinstance(error, BrokenPipeError) else status or ExitStatus.FAILED
        # the interpreter flushes stdout again as it ends, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


if __name__ == "__main__":
    entry()
