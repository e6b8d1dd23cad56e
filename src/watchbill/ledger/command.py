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

from watchbill.base.actor import Actor
from watchbill.base.errors import Broken
from watchbill.base.ids import HUB
from watchbill.ledger.append import Recorded, append

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


@dataclass
class _Running:
    info: CommandInfo
    by: Actor
    workspace_id: UUID
    using: str
    recorded: list[Recorded] = field(default_factory=list)


_running: ContextVar[_Running | None] = ContextVar("watchbill_command", default=None)


def command(name: str, *, needs: str | None, using: str = "default") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function a command.

    ``needs`` is the permission (``noun.verb``) in ``workspace_id``, or in the hub's own workspace when the function
    takes none. None means that the function decides for itself (a person's own things); it must say so in its docstring.
    ``using`` is the database principal it runs as, where that is not the caller's.
    Raises Broken, at import, when the function's shape is wrong, and at its end, when it recorded nothing.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        wrong = [p.name for p in parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        if wrong or "by" not in parameters:
            raise Broken(f"command {name}: parameters must be keyword-only and include `by: Actor` (wrong: {wrong})")
        if name in COMMANDS:
            raise Broken(f"command {name} is defined twice")
        info = CommandInfo(name, needs, inspect.cleandoc(function.__doc__ or "").split("\n")[0], function.__module__)
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
            running = _Running(info, by, workspace_id, using)
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


def running_actor() -> Actor | None:
    """Who runs the current command, for facts that want to say so."""
    running = _running.get()
    return running.by if running else None
