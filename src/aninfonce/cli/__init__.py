"""The command line: one function a command; tyro makes flags of its arguments and help of its docstring.

Exit codes: 0 done; 1 the computation failed or a statement of the theory was refuted; 2 a setting or a file is not
valid; 75 a training was asked to stop (SIGTERM, SIGHUP), and --resume continues it; 130 interrupted (Ctrl-C, and
SIGTERM or SIGHUP for the other commands). Output that nobody reads or that cannot be shown changes none of them.

The commands' modules import rooms (`from aninfonce import training`), whose names are loaded when they are used, and
what is light: help, errors of usage and `watch` do without torch. A test holds that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from typing import Any

from aninfonce._extras import MissingExtraError, require
from aninfonce._text import printable
from aninfonce._version import __version__
from aninfonce.cli._common import FailedError
from aninfonce.cli._failures import told
from aninfonce.cli._flags import flags_of, parsed
from aninfonce.cli._output import safe_output, say
from aninfonce.cli._processes import QuietError
from aninfonce.cli._signals import interruptible
from aninfonce.cli._suggestions import meant_command, meant_flag
from aninfonce.cli.embed import embed
from aninfonce.cli.export import export
from aninfonce.cli.reproduce import reproduce
from aninfonce.cli.shards import shards
from aninfonce.cli.train import compare, train
from aninfonce.cli.verify import verify
from aninfonce.cli.watch import watch
from aninfonce.training.stopping import ElsewhereError, PreemptedError

__all__ = ["main"]

COMMANDS: Mapping[str, Callable[..., None]] = {
    "reproduce": reproduce,
    "train": train,
    "compare": compare,
    "embed": embed,
    "export": export,
    "watch": watch,
    "shards": shards,
    "verify": verify,
}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Arguments:
        arguments: the command line without the program's name; default: the process's own.
    """
    code = run(sys.argv[1:] if arguments is None else arguments)
    dist = sys.modules.get("torch.distributed")  # only a command that trains has loaded it
    if code and dist is not None and dist.is_available() and dist.is_initialized():
        # The connections to processes that may be gone: to take them down would wait for seconds, or abort this one.
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code."""
    with safe_output():
        return _run(arguments)


# What an interrupted command leaves.
_LEFT = {
    "train": "the last checkpoint is in the output folder; continue with --resume",
    "reproduce": "every finished run is in the output folder; continue with --resume",
    "verify": "results.json has what was found so far",
    "shards": "the shards written so far are in the output folder; continue with --resume",
    "embed": "no file was written",
    "export": "no file was written",
}


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    try:
        with interruptible():
            _parse_and_call(arguments)
    except KeyboardInterrupt:
        print(f"interrupted; {_LEFT.get(command, 'what was written is in the output folder')}", file=sys.stderr)
        return 130
    except PreemptedError as error:
        print(f"{printable(error)}; continue with --resume", file=sys.stderr)
        return 75  # EX_TEMPFAIL: try again later
    except QuietError as error:
        return error.code
    except Exception as error:
        known = _known(error, command)
        if known is None or sys.flags.dev_mode:  # python -X dev -m aninfonce …: the whole traceback
            raise
        code, text = known
        print(f"error: {printable(text)}", file=sys.stderr)
        return code
    return 0


def _known(error: Exception, command: str) -> tuple[int, str] | None:
    """Exit code and message of an error that users can do something about; None for a fault of the program."""
    failure = told(error, command)
    if failure is not None:
        return 1, failure
    if isinstance(error, ArithmeticError | FailedError | ElsewhereError):
        return 1, str(error)
    return (2, str(error)) if isinstance(error, ValueError | TypeError | MissingExtraError | OSError) else None


def _parse_and_call(arguments: list[str]) -> None:
    if "--version" in arguments[:2] or arguments[:1] == ["-V"]:
        say(f"aninfonce {__version__}")
        return
    _parse(arguments)()


def _parse(arguments: list[str]) -> Callable[[], None]:
    """What the command line asks for.

    Raises:
        ValueError: if the command, or one of its flags, is not there; names what was probably meant.
        SystemExit: after help, and after any other error of usage, which the parser has told.
    """
    tyro: Any = require("tyro", "app")
    completing = any(argument.startswith("--tyro-") for argument in arguments)
    meant = None
    if arguments and not arguments[0].startswith("-"):
        meant = meant_command(arguments[0], list(COMMANDS))
        if meant is None:
            meant = meant_flag(arguments, {name: flags_of(command) for name, command in COMMANDS.items()})
    # The parser has the last word on what is an error; what it says of one that we can say better is dropped.
    with nullcontext() if meant is None else redirect_stderr(StringIO()):
        try:
            found: Callable[[], None] = tyro.extras.subcommand_cli_from_dict(
                {name: parsed(command, completing=completing) for name, command in COMMANDS.items()},
                prog="aninfonce",
                description="What a contrastive encoder throws away, and how to keep it. --version shows the version.",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs),
            )
        except SystemExit as error:
            if meant is not None and error.code:
                raise ValueError(meant) from None
            raise
    return found
