"""The catalogue."""

from typing import Any

import pytest

from tests.cast import Cast, signed_in
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.base.ids import uuid7
from watchbill.catalogue import commands
from watchbill.catalogue.queries import access_service, access_services
from watchbill.people.teams import create_team


def test_a_service_has_owner_environments_and_links(cast: Cast) -> None:
    with cast.acts(cast.edo) as by:
        team = create_team(by=by, workspace_id=cast.main, name="Platform")
        production = commands.create_environment(by=by, workspace_id=cast.main, name="Production")
        commands.create_service(
            by=by,
            workspace_id=cast.main,
            name="Ledger API",
            owner_id=team.id,
            environment_ids=[production.id],
            links=[("Logs", "https://logs.example.org/?q=1")],
        )
        found = access_service(by, cast.main, "ledger-api")
    assert (
        found.owner.slug,
        [e.slug for e in found.environments.all()],
        [link.label for link in found.links.all()],
    ) == ("platform", ["production"], ["Logs"])


def test_what_is_refused(cast: Cast) -> None:
    def create(**fields: Any) -> None:
        with cast.acts(cast.edo) as by:
            commands.create_service(by=by, workspace_id=cast.main, **({"name": "S"} | fields))

    create()
    for error, fields in (
        (Conflict, {}),
        (Invalid, {"name": "!!!"}),
        (Invalid, {"name": "L", "links": [("x", "javascript:alert(1)")]}),
        (Invalid, {"name": "L", "links": [("x", "https://e.org/")] * 21}),
        (NotFound, {"name": "L", "owner_id": uuid7()}),
        (NotFound, {"name": "L", "environment_ids": [uuid7()]}),
    ):
        with pytest.raises(error):
            create(**fields)
    with pytest.raises(Denied), cast.acts(cast.vera) as by:
        commands.create_service(by=by, workspace_id=cast.main, name="X")


def test_a_team_of_another_workspace_cannot_own(cast: Cast) -> None:
    with cast.acts(cast.sam) as by:
        theirs = create_team(by=by, workspace_id=cast.other, name="Theirs")
    with pytest.raises(NotFound), cast.acts(cast.edo) as by:
        commands.create_service(by=by, workspace_id=cast.main, name="X", owner_id=theirs.id)


def test_a_retired_service_is_gone_from_the_list_and_stays_in_history(cast: Cast) -> None:
    with cast.acts(cast.edo) as by:
        service = commands.create_service(by=by, workspace_id=cast.main, name="Old")
        commands.retire_service(by=by, workspace_id=cast.main, service_id=service.id)
        assert list(access_services(by, cast.main)) == []
    assert b"Old" in signed_in(cast.ada).get("/w/main/audit").content
