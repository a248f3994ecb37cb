"""``slimpack login`` and ``slimpack logout``."""

from __future__ import annotations

import sys

import click

from slimpack.cli.progress import QuietProgress
from slimpack.cli.telling import insecure_option
from slimpack.errors import InputError
from slimpack.registry.login import check_host, login, logout

_MAX_PASSWORD = 64 << 10


@click.command("login", short_help="Log in to a registry.")
@click.argument("host", metavar="HOST")
@click.option("-u", "--username", metavar="USER", help="[default: it is asked for]")
@click.option("--password-stdin", is_flag=True, help="Read the password or token from stdin.")
@insecure_option
def login_command(host: str, username: str | None, password_stdin: bool, insecure: bool) -> None:
    """Log in to the registry HOST, and keep the credentials where docker and podman find them.

    They are tried first. They go to the credential helper that Docker's config.json names
    for HOST; without one they are written into that file, which only you can read, but in
    which they are not encrypted. A password is never an argument: other users of this
    machine would see it.
    """
    host = check_host(host)
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if password_stdin:
        if username is None:
            raise click.UsageError("--password-stdin needs --username")
        password = _from_stdin()
    elif terminal:
        username = username or click.prompt("Username", err=True)
        password = click.prompt("Password", hide_input=True, err=True)
    else:
        raise click.UsageError("there is no terminal to ask on: pass --password-stdin")
    place = login(host, username or "", password, insecure=insecure)
    if place.plain:
        QuietProgress().warn(
            f"the password is kept unencrypted in {place.name}; a credential helper "
            "(credsStore in that file) would keep it in a keyring"
        )
    click.echo(f"logged in to {host}; credentials are kept by {place.name}")


@click.command("logout", short_help="Forget the credentials of a registry.")
@click.argument("host", metavar="HOST")
def logout_command(host: str) -> None:
    """Forget the credentials for the registry HOST that `slimpack login` or docker login kept."""
    host = check_host(host)
    places = logout(host)
    click.echo("\n".join(f"removed from {place}" for place in places) or f"not logged in to {host}")


def _from_stdin() -> str:
    text: bytes = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    try:
        password = text.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError("the password on stdin is not UTF-8 text") from None
    if not password or len(text) > _MAX_PASSWORD:
        raise InputError("no password on stdin" if not password else "the password is too long")
    return password
