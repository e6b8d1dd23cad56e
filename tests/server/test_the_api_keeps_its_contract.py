"""Every operation of the published OpenAPI document, signed in, under generated good and bad input."""

import re
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ninja import Schema
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.cast import Cast, api, signed_in
from watchbill.base.ids import uuid7

load_all_checks()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations() -> list[tuple[str, str]]:
    """Method and path of every operation in the published document."""
    from watchbill.server.api import api as root

    return [
        (method.upper(), path) for path, methods in root.get_openapi_schema()["paths"].items() for method in methods
    ]


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_operation_answers_as_published(cast: Cast, method: str, path: str) -> None:
    contract = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())
    token = cast.token(cast.ada)
    strategy = contract[path][method].as_strategy()

    @given(case=strategy, inside=st.booleans())
    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def run(case: Any, inside: bool) -> None:
        if inside and "slug" in (case.path_parameters or {}):
            case.path_parameters["slug"] = "main"
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    run()


def test_the_document_is_published_and_browsable(cast: Cast) -> None:
    client = signed_in(cast.vera)
    document = client.get("/api/v1/openapi.json").json()
    assert document["info"]["title"] == "Watchbill"
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    for path in document["paths"]:
        assert path.encode() in page.content


def test_without_a_token_nothing_is_told(cast: Cast) -> None:
    document = signed_in(cast.vera).get("/api/v1/openapi.json").json()
    from django.test import Client

    stranger = Client()
    for path, methods in document["paths"].items():
        address = re.sub(r"\{\w+\}", str(uuid7()), path.replace("{slug}", "main").replace("{role}", "viewer"))
        for method in methods:
            response = stranger.generic(method.upper(), address, b"{}", content_type="application/json")
            assert response.status_code in {401, 422}, (method, path, response.status_code)
            assert response["Content-Type"] == "application/problem+json"
            if response.status_code == 422:
                assert "main" not in response.content.decode()


def test_a_stranger_gets_the_same_answer_for_a_closed_workspace_and_an_absent_one(cast: Cast) -> None:
    program = api(cast.token(cast.sam))
    answers = [program.get(f"/api/v1/workspaces/{slug}/people").json() for slug in ("main", "nowhere")]
    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1]


def test_pages_follow_each_other_without_gaps(cast: Cast) -> None:
    from watchbill.people.teams import create_team

    for number in range(7):
        with cast.acts(cast.ada) as by:
            create_team(by=by, workspace_id=cast.main, name=f"Team {number}")
    program, seen, cursor = api(cast.token(cast.ada)), [], ""
    for _ in range(10):
        page = program.get(f"/api/v1/workspaces/main/ledger?limit=3&action=team.&cursor={cursor}").json()
        seen += [item["detail"]["name"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"Team {number}" for number in reversed(range(7))]
    assert program.get("/api/v1/workspaces/main/ledger?cursor=%00%ff").status_code == 422


def test_people_come_in_pages_by_name(cast: Cast) -> None:
    program, names, cursor = api(cast.token(cast.ada)), [], ""
    while cursor is not None:
        page = program.get(f"/api/v1/workspaces/main/people?limit=1&cursor={cursor}").json()
        names += [person["name"] for person in page["items"]]
        cursor = page["next"]
    assert names == ["Ada Admin", "Apo Approver", "Aud Auditor", "Edo Editor", "Vera Viewer"]


def test_a_repeated_write_has_one_effect(cast: Cast, db: Any) -> None:
    program = api(cast.token(cast.ada))

    def post(name: str, key: str) -> Any:
        return program.post(
            "/api/v1/workspaces/main/teams",
            {"name": name},
            content_type="application/json",
            headers={"Idempotency-Key": key},
        )

    first, second = post("Once", "k"), post("Once", "k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert second["Idempotency-Replayed"] == "true"
    assert post("Other", "k").status_code == 422
    assert post("Once", "k2").status_code == 409
    assert db.run("SELECT count(*) FROM people_team") == [(1,)]
    assert "Once" not in str(db.run("SELECT body FROM runtime_idempotency_key"))


def test_a_refused_write_is_refused_again_with_the_same_answer(cast: Cast) -> None:
    program = api(cast.token(cast.ada))
    first, second = (
        program.post(
            "/api/v1/workspaces/main/teams",
            {"name": "\x07"},
            content_type="application/json",
            headers={"Idempotency-Key": "k"},
        )
        for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (422, 422)
    assert first.content == second.content


def test_who_asks_too_fast_is_told_when_to_come_again(cast: Cast) -> None:
    from watchbill.runtime import rest
    from watchbill.runtime.ratelimit import Buckets

    before, rest._buckets[:] = list(rest._buckets), [Buckets(60, 3)]
    try:
        program = api(cast.token(cast.ada))
        statuses = [program.get("/api/v1/me") for _ in range(5)]
    finally:
        rest._buckets[:] = before
    assert [r.status_code for r in statuses] == [200, 200, 200, 429, 429]
    assert int(statuses[-1]["Retry-After"]) >= 1


def test_request_ids_reach_answer_log_and_ledger(cast: Cast, db: Any, caplog: Any) -> None:
    program = api(cast.token(cast.ada))
    answer = program.post(
        "/api/v1/workspaces/main/teams",
        {"name": "Traced"},
        content_type="application/json",
        headers={"X-Request-Id": "trace-12345678"},
    )
    assert answer["X-Request-Id"] == "trace-12345678"
    assert "trace-12345678" in caplog.text
    assert "trace-12345678" in db.run("SELECT body FROM ledger_entry ORDER BY id DESC LIMIT 1")[0][0]


def test_a_write_with_a_session_needs_the_csrf_token(cast: Cast) -> None:
    from django.test import Client

    browser = signed_in(cast.ada)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    answer = strict.post("/api/v1/workspaces/main/teams", {"name": "Forged"}, content_type="application/json")
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert strict.post("/w/main/teams", {"name": "Forged"}).status_code == 403


def test_files_come_back_as_downloads_never_as_pages(cast: Cast) -> None:
    program = api(cast.token(cast.ada))
    body = b"<script>alert(1)</script>"
    made = program.post(
        "/api/v1/workspaces/main/files?name=..%2F..%2Fevil.html", body, content_type="application/octet-stream"
    )
    assert made.status_code == 201
    assert made.json()["name"] == "evil.html"
    browser = signed_in(cast.ada)
    address = f"/w/main/files/{made.json()['id']}"
    assert browser.get(address).status_code == 403
    from tests.cast import acting, as_owner
    from watchbill.blobs.models import Blob

    with acting(cast.ada):
        assert Blob.objects.get().scan == "waiting"
    as_owner("UPDATE blobs_blob SET scan = 'clean'")
    answer = browser.get(address)
    assert b"".join(answer.streaming_content) == body
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert signed_in(cast.sam).get(address).status_code == 404


def test_no_two_schemas_have_one_name() -> None:
    """The published contract knows a schema by its name alone: of two, one would stand for both."""
    import watchbill.server.api  # noqa: F401 - every router is loaded

    def below(kind: type) -> set[type]:
        return {one for each in kind.__subclasses__() for one in {each, *below(each)}}

    ours = [one for one in below(Schema) if one.__module__.startswith("watchbill.") and one.__module__.endswith(".api")]
    names = [one.__name__ for one in ours]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_a_nul_character_is_refused_as_a_value_not_a_failure(cast: Cast) -> None:
    for path, body in (
        ("secrets", {"name": "grafana", "value": "s3cret", "purpose": "a\0b"}),
        ("incidents", {"title": "a\0b", "pages": "x\0y"}),
    ):
        answer = api(cast.token(cast.ada)).post(
            f"/api/v1/workspaces/main/{path}", body, content_type="application/json"
        )
        assert answer.status_code == 422, answer.content
