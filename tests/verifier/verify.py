"""Command line of the independent verifier of the audit log.

Prints one line. Exit status 0 and `verified: ...` (or `agreed: ...`) when
everything holds, 1 and `refused: ...` (or `disagreed: ...`) when not.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
from typing import Callable

sys.dont_write_bytecode = True

from agree import check_agreement
from common import Refused
from export import verify_export
from note import VerifierKey, parse_verifier_key, read_checkpoint
from tiles import open_source, verify_tiles


def export_command(arguments: argparse.Namespace) -> str:
    keys = _keys(arguments)
    checkpoint = read_checkpoint(arguments.checkpoint, keys)
    since = read_checkpoint(arguments.since, keys) if arguments.since else None
    tiles = open_source(arguments.tiles, _token(arguments)) if arguments.tiles else None
    return verify_export(arguments.export, checkpoint, since, tiles)


def tiles_command(arguments: argparse.Namespace) -> str:
    checkpoint = read_checkpoint(arguments.checkpoint, _keys(arguments))
    source = open_source(arguments.base, _token(arguments))
    verify_tiles(source, checkpoint.size, checkpoint.root, arguments.entries)
    what = "tiles and entries" if arguments.entries else "tiles"
    return f"{checkpoint.origin} at size {checkpoint.size}: {what}"


def agree_command(_: argparse.Namespace) -> str:
    return check_agreement(sys.stdin.buffer)


def self_test_command(_: argparse.Namespace) -> str:
    # Imported here so that the other commands load no test code.
    from self_test import run_self_test

    return run_self_test()


def _keys(arguments: argparse.Namespace) -> list[VerifierKey]:
    return [parse_verifier_key(text) for text in arguments.key]


def _token(arguments: argparse.Namespace) -> str | None:
    if arguments.token_env is None:
        return None
    token = os.environ.get(arguments.token_env)
    if not token:
        raise Refused(f"the environment variable {arguments.token_env} holds no token")
    if not (token.isascii() and token.isprintable()):
        raise Refused("the token has characters that no HTTP header may have")
    return token


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(description="Verifies a transparency log.")
    commands = main_parser.add_subparsers(dest="command", required=True)

    export = commands.add_parser("export", help="verify an exported log")
    export.add_argument("--export", required=True, metavar="FILE")
    export.add_argument("--since", metavar="FILE", help="an older checkpoint")
    export.add_argument(
        "--tiles", metavar="BASE", help="folder or URL of tiles, to name the first wrong entry"
    )
    _add_common(export, export_command)

    tiles = commands.add_parser("tiles", help="verify the tiles of a log")
    tiles.add_argument("base", metavar="BASE", help="folder or http(s) URL above tile/")
    tiles.add_argument("--entries", action="store_true", help="verify the entry bundles too")
    _add_common(tiles, tiles_command)

    agree = commands.add_parser("agree", help="compare roots and proofs read from stdin")
    agree.set_defaults(run=agree_command)

    self_test = commands.add_parser("self-test", help="test this verifier")
    self_test.set_defaults(run=self_test_command)
    return main_parser


def _add_common(
    command: argparse.ArgumentParser, run: Callable[[argparse.Namespace], str]
) -> None:
    command.set_defaults(run=run)
    command.add_argument("--checkpoint", required=True, metavar="FILE")
    command.add_argument("--key", required=True, action="append", help="a verifier key; repeatable")
    command.add_argument(
        "--token-env", metavar="NAME", help="environment variable with a bearer token"
    )


def main(argv: list[str]) -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = parser().parse_args(argv)
    good, bad = "verified", "refused"
    if arguments.command == "agree":
        good, bad = "agreed", "disagreed"
    try:
        line, status = f"{good}: {arguments.run(arguments)}", 0
    except Refused as error:
        line, status = f"{bad}: {error}", 1
    except OSError as error:
        line, status = f"{bad}: {_describe(error)}", 1
    except (ValueError, MemoryError, RecursionError, http.client.HTTPException) as error:
        line, status = f"{bad}: {type(error).__name__}: {error}", 1
    print(_one_line(line))
    return status


def _describe(error: OSError) -> str:
    if error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def _one_line(text: str) -> str:
    """Text from the input may hold line breaks and terminal escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
