"""Commands that read runbooks: check, explain, schema. They need no database and no hub."""

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

import click

import watchbill
from watchbill.language.findings import CODES

if TYPE_CHECKING:
    from watchbill.handbook.compile import Handbook
    from watchbill.handbook.files import Folder
    from watchbill.handbook.report import Checked

EXIT_FOUND, EXIT_FAILED, EXIT_WAITS = 1, 2, 3


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text", help="How to print it."
)
@click.option("--strict", is_flag=True, help="Warnings are errors, too.")
@click.option("--color/--no-color", default=None, help="Colours; by default where the output is a terminal.")
@click.option("--cache/--no-cache", default=True, help="Of large folders keep what was read in ~/.cache/watchbill.")
def check(paths: tuple[Path, ...], form: str, strict: bool, color: bool | None, cache: bool) -> None:
    """Read runbooks and say what they mean, and what is wrong with them.

    Each PATH is a handbook: a folder of Markdown (with *.watchbill.yaml and a watchbill.yaml), or one file. Exit codes: 0
    clean, 1 findings at error level (with --strict warnings, too), 2 could not run.
    """
    from watchbill.handbook import report

    books = [_checked(path, cache) for path in paths]
    names: set[str] = set()
    for book in books:
        if book.slug in names:
            click.echo(
                f"watchbill: two of the paths are the handbook “{book.slug}”; set `slug` in one's watchbill.yaml.",
                err=True,
            )
            sys.exit(EXIT_FAILED)
        names.add(book.slug)
    if form == "json":
        for part in report.json_parts(books):
            sys.stdout.write(part)
        sys.stdout.flush()
    elif form == "sarif":
        click.echo(report.as_sarif(books, watchbill.__version__))
    elif form == "github":
        for line in report.as_github(books):
            click.echo(line)
    else:
        colour = sys.stdout.isatty() if color is None else color
        click.echo("\n".join(report.as_text(books, colour)), color=colour)
    levels = {"error", "warning"} if strict else {"error"}
    sys.exit(EXIT_FOUND if any(one.level in levels for book in books for one in book.findings) else 0)


def _checked(path: Path, cache: bool) -> "Handbook | Checked":
    from watchbill.handbook.shelf import cache_place, check_folder

    folder = _folder(path)
    with _without_collecting():
        return check_folder(folder, cache_place(path) if cache else None)


def _folder(path: Path) -> "Folder":
    from watchbill.handbook.files import load

    try:
        return load(path)
    except OSError as error:
        click.echo(f"watchbill: {path} cannot be opened: {(error.strerror or 'unknown').lower()}.", err=True)
        sys.exit(EXIT_FAILED)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Collecting cycles among a million live objects would take longer than reading."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compile(path: Path) -> "Handbook":
    # Imported here: the other commands need not wait for the models.
    from watchbill.handbook.compile import Cache, compile_folder

    folder = _folder(path)
    with _without_collecting():
        return compile_folder(folder, Cache(compact=True, once=True))


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Say what a finding's code means and how to mend it; all codes without one."""
    if code is None:
        for name, known in sorted(CODES.items()):
            click.echo(f"{name}  {known.level:8} {known.title}")
        return
    found = CODES.get(code.upper())
    if found is None:
        click.echo(f"watchbill: {code[:40]} is no code of a finding. `watchbill explain` lists them.", err=True)
        sys.exit(EXIT_FAILED)
    click.echo(page(code.upper()))


def page(code: str) -> str:
    """The page of a code: packaged beside the compiler, or in docs/findings of a checkout."""
    here = Path(watchbill.__file__).resolve().parent
    for folder in (here / "handbook" / "findings", here.parents[1] / "docs" / "findings"):
        path = folder / f"{code}.md"
        if path.is_file():
            return path.read_text("utf-8").rstrip()
    known = CODES[code]
    return f"# {code}: {known.title}\n\n{known.hint}"


@click.command()
@click.argument("what", type=click.Choice(["check", "items", "watchbill.yaml"]))
def schema(what: str) -> None:
    """Print a JSON Schema: of `check --format json`, of explicit items, of watchbill.yaml."""
    from watchbill.handbook import report
    from watchbill.handbook.config import Config

    made = {"check": report.schema, "items": report.items_schema, "watchbill.yaml": Config.model_json_schema}[what]()
    click.echo(json.dumps(made, indent=1, ensure_ascii=False))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="The first day; today, if not said.")
@click.option("--days", type=click.IntRange(1, 3660), default=90, show_default=True, help="How many days.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def simulate(path: Path, first: datetime | None, days: int, form: str) -> None:
    """Say what a handbook would make fall due, on whom, and what collides with holidays. Changes nothing.

    Exit codes: 0 well, 1 the handbook has errors (what could be read is simulated all the same), 2 could not run.
    """
    from watchbill.handbook import simulate as forecasts

    book = _compile(path)
    start = first.date() if first else datetime.now(ZoneInfo(book.config.time_zone)).date()
    found = forecasts.simulate(book, start, days)
    if form == "json":
        click.echo(json.dumps(forecasts.as_json(book, found, start, days), indent=1, ensure_ascii=False))
    else:
        for line in forecasts.as_text(book, found, start, days):
            click.echo(line)
    errors = sum(1 for one in book.findings if one.level == "error")
    if errors:
        click.echo(f"watchbill: {errors} of its findings are errors; see `watchbill check {path}`.", err=True)
    sys.exit(EXIT_FOUND if errors else 0)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", help="How to print it."
)
@click.option(
    "--hub", help="A hub's address: it says what the routes would have done to the alerts of the last 14 days."
)
@click.option("--workspace", help="The workspace's short name there; the handbook's slug, if not said.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="A file with an API token; WATCHBILL_TOKEN, if not said."
)
def plan(path: Path, form: str, hub: str | None, workspace: str | None, token_file: Path | None) -> None:
    """Say what accepting a handbook as it reads now would change, and what of it would weaken the policy.

    Compares the runbooks with watchbill.lock beside them; with --hub, also their routes with the live ones, by the alerts that came
    (needs a token with handbook.read and alert.read). Exit codes: 0 nothing changes, 1 something does, 2 could not run.
    """
    from watchbill.handbook import plan as plans

    book = _compile(path)
    if any(one.code == "WB025" for one in book.findings):
        _refuse(f"{path}: the lock cannot be read; see `watchbill check {path}`.")
    made = plans.make_plan(book, book.lock)
    if form == "json":
        click.echo(json.dumps(plans.as_json(made), indent=1, ensure_ascii=False))
    else:
        for line in plans.as_markdown(made) if form == "markdown" else plans.as_text(made):
            click.echo(line)
    if hub:
        wanted = ("key", "name", "match", "severity", "pages")
        told = (one.model_dump(mode="json") for one in book.items if one.kind == "route" and one.state != "ignored")
        routes = [{name: one[name] for name in wanted} for one in told]
        answer = _ask(hub, f"{workspace or book.slug}/handbook/replay", {"routes": routes}, token_file)
        found = _json(answer)
        if answer.status_code != 200:
            _refused(answer.status_code, found)
        click.echo(found["words"], err=form == "json")
        for words, titles in (("More", found["more"]), ("No longer", found["fewer"])):
            if titles:
                click.echo(f"  {words}: {', '.join(titles)}", err=form == "json")
    sys.exit(EXIT_FOUND if made.steps or made.errors else 0)


def _ask(hub: str, where: str, body: dict[str, Any], token_file: Path | None) -> Any:
    """Sends something to a hub, as whoever has the token. Ends the program where there is none, or nobody answers."""
    import os

    import httpx

    try:
        token = token_file.read_text("utf-8").strip() if token_file else os.environ.get("WATCHBILL_TOKEN", "")
    except OSError as error:
        _refuse(f"{error.filename}: {(error.strerror or 'unknown').lower()}.")
    if not token:
        _refuse("There is no API token. Make one under Account, and set WATCHBILL_TOKEN or --token-file.")
    try:
        return httpx.post(
            f"{hub.rstrip('/')}/api/v1/workspaces/{where}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=120
        )  # fmt: skip
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _refuse(f"{hub} does not answer: {error}.")


def _json(answer: Any) -> dict[str, Any]:
    found = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    return found if isinstance(found, dict) else {}


def _refused(status: int, found: dict[str, Any]) -> NoReturn:
    """The hub's own words of why not."""
    click.echo(f"watchbill: the hub refused ({status}): {found.get('detail', 'it did not say why')}", err=True)
    if found.get("hint"):
        click.echo(f"           {found['hint']}", err=True)
    sys.exit(EXIT_FOUND)


def _refuse(text: str) -> NoReturn:
    click.echo(f"watchbill: {text}", err=True)
    sys.exit(EXIT_FAILED)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
@click.option("--all", "everything", is_flag=True, help="Everything that can be accepted.")
@click.option("--document", "documents", multiple=True, metavar="FILE", help="All items of a document (may repeat).")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="One item by its key (may repeat).")
@click.option(
    "--as",
    "state",
    type=click.Choice(["live", "shadow", "ignored"]),
    default="live",
    show_default=True,
    help="What they become.",
)
@click.option(
    "--renamed", multiple=True, metavar="OLD=NEW", help="Answers the plan: this item is that one under a new name."
)
@click.option("--removed", multiple=True, metavar="KEY", help="Answers the plan: this item is gone.")
def accept(
    path: Path,
    everything: bool,
    documents: tuple[str, ...],
    keys: tuple[str, ...],
    state: str,
    renamed: tuple[str, ...],
    removed: tuple[str, ...],
) -> None:
    """Write what is read now to watchbill.lock, for all items, some documents or some keys.

    The lock is what was accepted; commit it with the runbooks. The hub applies a lock, it never accepts by itself, and there a plan that
    weakens the live policy needs another person's approval. Exit codes: 0 written, 1 something is to be answered first, 2 could not run.
    """
    from watchbill.handbook.accept import Choice, accept_items
    from watchbill.handbook.lock import FILE, dump

    book = _compile(path)
    errors = [one for one in book.findings if one.level == "error"]
    if errors:
        _refuse(f"{path} has {len(errors)} errors and cannot be accepted; see `watchbill check {path}`.")
    if not (everything or documents or keys or renamed or removed):
        raise click.UsageError("Say what: --all, --document FILE or --key KEY.")
    if any("=" not in one for one in renamed):
        raise click.UsageError("Write --renamed OLD=NEW, with the two keys of the plan.")
    choice = Choice(everything, documents, keys, state, dict(one.split("=", 1) for one in renamed), removed)  # type: ignore[arg-type]
    lock, problems, written = accept_items(book, choice)
    if problems:
        for problem in problems:
            click.echo(f"watchbill: {problem}", err=True)
        sys.exit(EXIT_FOUND)
    target = path / FILE
    fresh = target.with_name(f".{FILE}.new")
    try:
        fresh.write_text(dump(lock), encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        _refuse(f"{target} cannot be written: {(error.strerror or 'unknown').lower()}.")
    click.echo(
        f"{written} item{' is' if written == 1 else 's are'} {state} in {target}; {len(lock.items)} are accepted in all."
    )


@click.command()
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
@click.option("--hub", default="http://127.0.0.1:8000", show_default=True, help="The hub's address.")
@click.option("--workspace", help="The workspace's short name; the handbook's slug, if not said.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="A file with an API token; WATCHBILL_TOKEN, if not said."
)
@click.option("--expected", type=int, help="The live revision that this was planned against; another one is refused.")
@click.option("--reason", default="", help="Why, where it weakens the live policy.")
@click.option(
    "--break-glass", is_flag=True, help="Weaken without the approval, where nobody can give it; needs handbook.weaken."
)
def apply(
    path: Path,
    hub: str,
    workspace: str | None,
    token_file: Path | None,
    expected: int | None,
    reason: str,
    break_glass: bool,
) -> None:
    """Make an accepted handbook the live one of a workspace, through the hub's API.

    Needs an API token with handbook.apply. What weakens the live policy waits for another person's approval: say why with --reason,
    and run the same again once it is approved. Exit codes: 0 applied, 1 the hub refused (it says why), 2 could not run, 3 it waits
    for an approval.
    """
    from watchbill.handbook.files import load

    try:
        folder = load(path)
    except OSError as error:
        _refuse(f"{error.filename}: {(error.strerror or 'unknown').lower()}.")
    if folder.lock is None:
        _refuse(f"{path} has no watchbill.lock: nothing is accepted. Run `watchbill accept {path} --all`.")
    slug = workspace or _compile(path).slug
    body = {
        "files": [{"path": source.path, "text": source.text} for source in folder.sources], "lock": folder.lock, "config": folder.config or "",
        "expected": expected, "reason": reason, "break_glass": break_glass,
    }  # fmt: skip
    answer = _ask(hub, f"{slug}/handbook", body, token_file)
    found = _json(answer)
    if answer.status_code == 202:
        click.echo(
            f"It waits for approval: {found['title']}\n  {found['url']}\nRun the same again once it is approved."
        )
        sys.exit(EXIT_WAITS)
    if answer.status_code != 201:
        _refused(answer.status_code, found)
    click.echo(
        f"Revision {found['number']} of {slug} is live: {found['steps']} change{'' if found['steps'] == 1 else 's'}"
        + (", weakening the policy." if found["weakens"] else ".")
    )
