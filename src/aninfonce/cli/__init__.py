"""The command line: one function a command; tyro makes flags of its arguments and help of its docstring.

Exit codes: 0 done, 1 the computation failed or a statement of the theory was refuted, 2 a setting or a file is not as
it must be, 75 a training asked to stop (SIGTERM) that left a checkpoint to go on from, 130 interrupted (Ctrl-C).
"""

from __future__ import annotations

import sys
from typing import Any

from aninfonce._extras import MissingExtraError, require
from aninfonce.cli._common import FailedError
from aninfonce.cli.embed import embed
from aninfonce.cli.export import export
from aninfonce.cli.reproduce import reproduce
from aninfonce.cli.shards import shards
from aninfonce.cli.train import compare, train
from aninfonce.cli.verify import verify
from aninfonce.cli.watch import watch
from aninfonce.training import ElsewhereError, PreemptedError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Arguments:
        arguments: the command line without the program's name; default: the process's own.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code."""
    try:
        tyro: Any = require("tyro", "app")
        tyro.extras.subcommand_cli_from_dict(
            {
                "reproduce": reproduce,
                "train": train,
                "compare": compare,
                "embed": embed,
                "export": export,
                "watch": watch,
                "shards": shards,
                "verify": verify,
            },
            prog="aninfonce",
            description="What does a contrastive encoder throw away, and how to keep it.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs),
        )
    except (ValueError, TypeError, MissingExtraError, OSError) as error:
        if sys.flags.dev_mode:  # python -X dev -m aninfonce …: the whole traceback
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ArithmeticError, FailedError, ElsewhereError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PreemptedError as error:
        print(f"{error}: go on with --resume", file=sys.stderr)
        return 75  # EX_TEMPFAIL: try again later
    except KeyboardInterrupt:
        print("interrupted; what was computed is in the output folder: reproduce and train --resume", file=sys.stderr)
        return 130
    return 0
