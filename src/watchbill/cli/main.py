"""`watchbill`: the command line. Exit codes: 0 well, 1 something found or refused, 2 could not run, 64 wrong usage."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

import watchbill
from watchbill.base.config import Config, read_config
from watchbill.base.errors import WatchbillError
from watchbill.cli import handbook

EXIT_FOUND, EXIT_FAILED, EXIT_USAGE = 1, 2, 64


def _fail(error: WatchbillError) -> NoReturn:
    click.echo(f"watchbill: {error.detail}", err=True)
    if error.hint:
        click.echo(f"           {error.hint}", err=True)
    sys.exit(EXIT_FAILED)


def _attach() -> None:
    from watchbill.server.attach import attach

    attach()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings are environment variables: docs/settings.md. Exit codes: 0 well, 1 something was found or refused, 2 could not run, 64 wrong usage.",
)
@click.version_option(watchbill.__version__, prog_name="watchbill")
def cli() -> None:
    """Watchbill, an operations hub that runs your runbooks."""


@cli.command()
@click.option("--host", help="The address to listen on (WATCHBILL_HOST).")
@click.option("--port", type=click.IntRange(1, 65535), help="The one port to listen on (WATCHBILL_PORT).")
@click.option("--data", type=click.Path(path_type=Path), help="The data folder (WATCHBILL_DATA).")
def serve(host: str | None, port: int | None, data: Path | None) -> None:
    """Run everything on this machine: PostgreSQL, web and worker."""
    from watchbill.server.supervisor import Hub

    for name, value in (("WATCHBILL_HOST", host), ("WATCHBILL_PORT", port), ("WATCHBILL_DATA", data)):
        if value is not None:
            os.environ[name] = str(value)
    sys.exit(Hub(read_config(), say=lambda text: click.echo(text, err=False)).run())


@cli.command()
@click.option("--bootstrap", is_flag=True, help="Also make the first admin and workspace, and print a sign-in link.")
def migrate(bootstrap: bool) -> None:
    """Bring the database up to date (needs the owner's DATABASE_URL)."""
    from watchbill.server.attach import set_up

    set_up("migrate")
    from watchbill.server import bootstrap as steps

    try:
        steps.migrate()
        if bootstrap:
            from django.conf import settings

            admin = steps.first_admin()
            examples = steps.begin(admin)
            if examples:
                click.echo(f"Example handbooks are live in the workspaces {', '.join(examples)}")
            click.echo(f"Watchbill {watchbill.__version__} runs at {settings.PUBLIC_URL}")
            click.echo(f"Sign in (once, within 30 minutes): {steps.sign_in_link(admin)}")
    finally:
        steps.close()


@cli.command()
def web() -> None:
    """Run one web process against DATABASE_URL; any number may run."""
    from watchbill.server.attach import find_database, set_up

    find_database()
    set_up("web")
    from watchbill.server.web import run

    sys.exit(run(read_config()))


@cli.command()
def worker() -> None:
    """Run one worker against DATABASE_URL; any number may run."""
    from watchbill.server.attach import find_database, set_up

    find_database()
    set_up("worker")
    from watchbill.server.worker import run

    sys.exit(run())


@cli.command()
@click.argument("person", required=False)
@click.option("--workspace", default="hub", show_default=True, help="A workspace the person is in.")
@click.option("--break-glass", is_flag=True, help="Passes by the second factor; loud in the ledger. Needs --reason.")
@click.option("--reason", default="", help="Why the glass is broken.")
def link(person: str | None, workspace: str, break_glass: bool, reason: str) -> None:
    """Make a one-time sign-in link for PERSON (an e-mail address or id; the first admin unless given)."""
    _attach()
    from watchbill.base.actor import system
    from watchbill.cli import people
    from watchbill.server.bootstrap import first_admin

    person_id = people.find_person(person) if person else first_admin()
    click.echo(people.make_sign_in_link(system("cli"), person_id, workspace, break_glass, reason))


@cli.command()
@click.argument("email")
@click.option("--name", required=True)
@click.option("--workspace", default="hub", show_default=True)
@click.option("--role", default="viewer", show_default=True)
def invite(email: str, name: str, workspace: str, role: str) -> None:
    """Add a person to a workspace and print a sign-in link."""
    _attach()
    from watchbill.base.actor import system
    from watchbill.cli import people

    click.echo(people.invite(system("cli"), email, name, workspace, role))


@cli.group()
def export() -> None:
    """Write things out for others."""


@export.command("ledger")
@click.option("--workspace", default="hub", show_default=True, help="The workspace's short name.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output.")
def export_ledger(workspace: str, output: Path | None) -> None:
    """Write a workspace's sealed ledger as JSON lines, with its checkpoints."""
    _attach()
    from watchbill.cli import ledger

    count = ledger.export(workspace, output)
    if output:
        click.echo(f"{count} lines written to {output}")


@cli.command()
def key() -> None:
    """Print the public key that checkpoints are signed with, for `watchbill verify --key`."""
    _attach()
    from watchbill.cli import ledger

    click.echo(ledger.public_key())


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "key_text", required=True, help="The public key (name+hash+base64), or a file that holds it.")
@click.option(
    "--checkpoint",
    "outside",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of checkpoints that was kept outside of the hub, such as its anchor. May be given more than once.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def verify(file: Path, key_text: str, outside: tuple[Path, ...], form: str) -> None:
    """Verify an exported ledger; needs no hub and no database. Exit 0: verified, 1: not verified."""
    from watchbill.ledger import notes
    from watchbill.ledger.verify import FileLines, as_data, as_text, read_notes, verify_export

    text = Path(key_text).read_text() if len(key_text) < 4096 and Path(key_text).is_file() else key_text
    try:
        name, public = notes.parse_verifier_key(text)
    except notes.BadNote as error:
        from watchbill.base.errors import Invalid

        raise Invalid(
            f"The key cannot be used: {error}.", hint="Print it on the hub's machine: watchbill key"
        ) from None
    kept = [note for path in outside for note in read_notes(path.read_text(encoding="utf-8", errors="replace"))]
    report = verify_export(FileLines(file), name=name, key=public, outside=kept)
    click.echo(json.dumps(as_data(report), indent=2) if form == "json" else "\n".join(as_text(report)))
    sys.exit(0 if report.ok else EXIT_FOUND)


@cli.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def doctor(form: str) -> None:
    """Check what a person would check, and say what to do about it. Exit 0: well, 1: something is wrong."""
    from watchbill.server.doctor import examine

    findings = examine(read_config())
    if form == "json":
        click.echo(json.dumps([finding.__dict__ for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(
                f"{finding.level:>7}  {finding.part}: {finding.text}"
                + (f"\n         → {finding.remedy}" if finding.remedy else "")
            )
    sys.exit(EXIT_FOUND if any(finding.level == "wrong" for finding in findings) else 0)


@cli.command()
def rewrap() -> None:
    """Wrap all secrets and second factors by the current master key, after it was changed (WATCHBILL_KEY_PREVIOUS holds the old one)."""
    _attach()
    from watchbill.base.actor import system
    from watchbill.cli import people

    click.echo(
        f"{people.rewrap_all(system('cli'))} secrets and second factors wrapped anew; WATCHBILL_KEY_PREVIOUS can go."
    )


@cli.command()
def settings() -> None:
    """List every setting with its default."""
    from watchbill.base.config import SETTINGS

    for setting in SETTINGS:
        click.echo(f"{setting.name}\n    {setting.help}\n    Default: {setting.default}")


for _command in (
    handbook.check,
    handbook.explain,
    handbook.schema,
    handbook.simulate,
    handbook.plan,
    handbook.accept,
    handbook.apply,
):
    cli.add_command(_command)


def main(argv: list[str] | None = None) -> None:
    """The entry point: every error is a sentence and an exit code, never a traceback."""
    run: Callable[..., Any] = cli.main
    try:
        run(args=argv, prog_name="watchbill", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except WatchbillError as error:
        _fail(error)
    except Exception as error:
        known = _known(error)
        if known is None or os.environ.get("WATCHBILL_LOG_LEVEL") == "DEBUG":
            raise
        _fail(known)


def _known(error: Exception) -> WatchbillError | None:
    """Errors of the database and the system, in our words."""
    from watchbill.base.errors import Unavailable

    if type(error).__module__.startswith(("django.db", "psycopg")):
        return Unavailable(
            f"The database refuses: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
            hint="Check DATABASE_URL and that the server runs; watchbill doctor looks further.",
        )
    if isinstance(error, OSError):
        return Unavailable(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    return None


def config() -> Config:
    """The settings, for tests."""
    return read_config()


if __name__ == "__main__":
    main()
