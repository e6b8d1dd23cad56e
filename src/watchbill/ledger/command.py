"""`@command`: the only way to change state.

A command is keyword-only, names its actor in ``by``, checks its permission before anything else, runs in one
transaction, and is rolled back when it ends without an entry in the ledger. Commands called by a command join it.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.db import transaction

from watchbill.base.actor import SYSTEM_IDS, Actor
from watchbill.base.errors import Broken
from watchbill.base.ids import HUB
from watchbill.ledger.append import Recorded, append
from watchbill.ledger.quieter import Quieter

P = ParamSpec("P")
R = TypeVar("R")

#: Every command of the program by its name; the docs and the Access page list them.
COMMANDS: dict[str, "CommandInfo"] = {}


@dataclass(frozen=True)
class CommandInfo:
    """A command's name (which its entries carry), the permission it needs, and its first line of documentation."""

    name: str
    needs: str | None
    doc: str
    module: str
    quieter: Quieter


@dataclass(frozen=True)
class Announcement:
    """What a command made quieter: words with ``{0}``, ``{1}`` … for the persons of ``people``, whom it takes a page from, and how it is undone.

    ``undo`` is a command and what it is called with, beside actor and workspace; empty where nothing in the hub can undo it.
    """

    command: str
    by: Actor
    workspace_id: UUID
    words: str
    people: tuple[UUID, ...] = ()
    loses: tuple[UUID, ...] = ()
    undo: tuple[str, Mapping[str, Any]] | None = None


@dataclass
class _Running:
    info: CommandInfo
    by: Actor
    workspace_id: UUID
    using: str
    outer: "_Running | None" = None
    recorded: list[Recorded] = field(default_factory=list)


_running: ContextVar[_Running | None] = ContextVar("watchbill_command", default=None)
#: Every command as it is called, by its name: to undo what one did by calling another.
CALLS: dict[str, Callable[..., Any]] = {}
#: What the hub does by itself is nobody's doing. The command line is somebody's.
_BY_ITSELF = {one for part, one in SYSTEM_IDS.items() if part != "cli"}
#: Who keeps announcements, in the command's transaction; set where messages are sent.
_keepers: list[Callable[[Announcement], None]] = []


def command(
    name: str, *, needs: str | None, quieter: Quieter, using: str = "default"
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function a command.

    ``needs`` is the permission (``noun.verb``) in ``workspace_id``, or in the hub's own workspace when the function
    takes none. None means that the function decides for itself (a person's own things); it must say so in its docstring.
    ``quieter`` says whether it can make the hub quieter, and what guards it then. ``using`` is the database principal it runs as, where that
    is not the caller's.
    Raises Broken, at import, when the function's shape is wrong, and at its end, when it recorded nothing.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        wrong = [p.name for p in parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        if wrong or "by" not in parameters:
            raise Broken(f"command {name}: parameters must be keyword-only and include `by: Actor` (wrong: {wrong})")
        if name in COMMANDS:
            raise Broken(f"command {name} is defined twice")
        info = CommandInfo(
            name, needs, inspect.cleandoc(function.__doc__ or "").split("\n")[0], function.__module__, quieter
        )
        if not info.doc:
            raise Broken(f"command {name} has no docstring")
        COMMANDS[name] = info

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            by = kwargs.get("by")
            if not isinstance(by, Actor):
                raise Broken(f"command {name} was called without an actor")
            workspace_id = kwargs.get("workspace_id", HUB)
            if not isinstance(workspace_id, UUID):
                raise Broken(f"command {name}: workspace_id is not a UUID")
            if needs is not None:
                by.require(needs, workspace_id)
            running = _Running(info, by, workspace_id, using, _running.get())
            token = _running.set(running)
            try:
                with transaction.atomic(using=using):
                    result = function(*args, **kwargs)
                    if not running.recorded:
                        raise Broken(f"command {name} ended without an entry in the ledger; it was rolled back")
            finally:
                _running.reset(token)
            return result

        run.command = info  # type: ignore[attr-defined]
        CALLS[name] = run
        return run

    return decorate


def record(
    subject: tuple[str, object],
    *,
    action: str = "",
    workspace_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
    personal: Mapping[str, Any] | None = None,
    about: Iterable[UUID] = (),
) -> Recorded:
    """Appends the running command's entry: its name, actor and workspace, unless told otherwise."""
    running = _running.get()
    if running is None:
        raise Broken("record() outside of a command")
    recorded = append(
        workspace_id=workspace_id or running.workspace_id,
        by=running.by,
        action=action or running.info.name,
        subject=subject,
        detail=detail,
        personal=personal,
        about=about,
        using=running.using,
    )
    running.recorded.append(recorded)
    return recorded


def announce(
    words: str, *, people: Iterable[UUID] = (), loses: Iterable[UUID] = (), undo: tuple[str, Mapping[str, Any]] | None = None
) -> None:  # fmt: skip
    """The running command makes the hub quieter this time: who else looks after the workspace, and who loses a page, hear of it.

    ``words`` is a sentence without a full stop that names persons as ``{0}`` …, by their place in ``people``. A command that runs within another
    one which is gated or announced itself is a part of it, and what the hub does by itself is nobody's doing: neither is announced.
    """
    running = _running.get()
    if running is None or running.info.quieter.guard != "announced":
        raise Broken("announce() outside of a command that is declared as announced")
    outer = running.outer
    while outer is not None:
        if outer.info.quieter.guard != "no":
            return
        outer = outer.outer
    if running.by.id in _BY_ITSELF:
        return
    made = Announcement(running.info.name, running.by, running.workspace_id, words, tuple(people), tuple(loses), undo)
    for keep in _keepers:
        keep(made)


def keeps_announcements(function: Callable[[Announcement], None]) -> Callable[[Announcement], None]:
    """Declares who keeps what was announced, until it is sent."""
    _keepers.append(function)
    return function


def running_actor() -> Actor | None:
    """Who runs the current command, for facts that want to say so."""
    running = _running.get()
    return running.by if running else None
