"""``slimpack sign``, and the options that tell how things are signed."""

from __future__ import annotations

import click

from slimpack.cli.telling import insecure_option
from slimpack.registry.connecting import Registries
from slimpack.signing import Signer

key_help = "cosign's private key: a file, or a URI of one (awskms://..., env://NAME)."
tlog_option = click.option(
    "--tlog/--no-tlog",
    default=False,
    show_default=True,
    help="Tell the public transparency log, which shows everybody the image's name and digest.",
)


@click.command("sign", short_help="Sign images in a registry with cosign.")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("--key", required=True, metavar="KEY", help=key_help)
@tlog_option
@insecure_option
def sign_command(references: tuple[str, ...], key: str, tlog: bool, insecure: bool) -> None:
    """Sign what each REF names, by its digest, with cosign's key.

    cosign has to be on PATH. It takes the key's password from COSIGN_PASSWORD, or asks for
    it. Of an index, all its images are signed as well.
    """
    from slimpack.attaching import find_subject
    from slimpack.cli.images import reference

    signer = Signer(key, tlog=tlog, insecure=insecure)
    signer.check()
    parsed = [reference(text) for text in references]
    with Registries(insecure=insecure) as registries:
        for one in parsed:
            subject = find_subject(one, registries)
            signer.sign(str(subject.reference), recursive=subject.is_index)
            click.echo(f"signed    {subject.reference}")
