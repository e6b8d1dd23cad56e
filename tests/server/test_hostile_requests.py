"""What should never be a 500, a redirect elsewhere, or an effect."""

from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast, api, signed_in

PAGES = [
    "/", "/w/main/", "/w/main/due", "/w/main/search", "/w/main/audit", "/w/main/people", "/w/main/teams", "/w/main/services",
    "/w/main/services/new", "/w/main/access", "/w/main/settings", "/w/main/settings/events", "/w/main/settings/sessions", "/account",
    "/account/sessions", "/account/password", "/account/two-factor", "/workspaces/new", "/api/v1/docs", "/w/main/handbook", "/w/main/handbook/review", "/w/main/handbook/revisions", "/w/main/runbooks",
    "/w/main/troubleshooting", "/w/main/requests", "/w/main/alerts", "/w/main/integrations", "/w/main/silences", "/w/main/incidents",
    "/w/main/pages", "/w/main/my-paging", "/w/main/settings/channels", "/w/main/oncall", "/w/main/oncall/contacts",
]  # fmt: skip
NASTY = [
    "\x00", "%00", "%ff%fe", "'", '"><script>alert(1)</script>', "{{7*7}}", "{%25 load x %25}", "../../etc/passwd", "..%2f..%2fetc%2fpasswd",
    "%0d%0aSet-Cookie:%20a=b", "a" * 5000, "‮", "💥", "1e999", "-1", "NaN", "2026-99-99", "0000-00-00", "99999-01-01",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_values_in_every_query_parameter(cast: Cast, nasty: str) -> None:
    client = signed_in(cast.ada)
    for name in ("who", "what", "when", "kind", "subject", "from", "to", "before"):
        answer = client.get(f"/w/main/audit?{name}={nasty}")
        assert answer.status_code in {200, 422}, (name, nasty, answer.status_code)
        assert b"<script>alert(1)</script>" not in answer.content
    for address in (
        f"/w/main/search?q={nasty}",
        f"/w/main/people?q={nasty}",
        f"/w/main/services?q={nasty}",
        f"/w/main/handbook?q={nasty}&kind={nasty}&from={nasty}",
        f"/w/main/handbook/review?document={nasty}&from={nasty}&show={nasty}",
        f"/w/main/handbook/revisions?from={nasty}",
        f"/w/main/alerts?q={nasty}&from={nasty}&show={nasty}",
        f"/w/main/troubleshooting?q={nasty}",
        f"/w/main/incidents?q={nasty}&from={nasty}&show={nasty}",
        f"/w/main/incidents/{nasty}",
        f"/w/main/pages?show={nasty}&from={nasty}",
        f"/w/main/silences?match={nasty}&show={nasty}",
        f"/reply/{nasty}",
        f"/feed/{nasty}.ics",
        f"/w/main/runbooks/{nasty}",
        f"/w/{nasty}/",
        f"/w/main/teams/{nasty}",
        f"/signin?next={nasty}",
        f"/{nasty}",
    ):
        answer = client.get(address.replace("\x00", "%00"))
        assert answer.status_code < 500, (address, answer.status_code)
        assert b"<script>alert(1)</script>" not in answer.content
        assert b">49<" not in answer.content


@pytest.mark.parametrize(
    "nasty", ["<script>alert(1)</script>", "{{7*7}}", "javascript:alert(1)", "‮evil", "=cmd|'/c calc'!A0"]
)
def test_nasty_text_in_every_form_is_stored_as_text_or_refused(cast: Cast, nasty: str) -> None:
    client = signed_in(cast.ada)
    client.post("/w/main/teams", {"name": f"T {nasty}", "purpose": nasty})
    client.post("/w/main/people", {"name": nasty, "email": "x@example.org", "role": "viewer"})
    client.post("/w/main/services/new", {"name": f"S {nasty}", "summary": nasty, "links": f"Label {nasty}"})
    client.post("/w/main/settings", {"do": "secret", "name": nasty, "value": "v", "purpose": nasty})
    client.post("/w/main/settings", {"do": "label", "role": "viewer", "label": nasty})
    for page in PAGES:
        answer = client.get(page)
        assert b"<script>alert(1)" not in answer.content, page
        assert b'href="javascript:' not in answer.content, page


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://user:pw@example.org/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://",
        "http://[::1",
        "http://x\r\ny/",
        "https://exa mple.org/",
        "//example.org",
    ],
)
def test_link_fields_take_web_addresses_only(cast: Cast, url: str) -> None:
    program = api(cast.token(cast.ada))
    body = {"name": "S", "links": [{"label": "L", "url": url.ljust(8, "/")}]}
    answer = program.post("/api/v1/workspaces/main/services", body, content_type="application/json")
    assert answer.status_code in ({201} if url == "http://127.0.0.1/" else {422}), url


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'"x"', "application/json"),
        (b'{"name": 5}', "application/json"),
        (b'{"name": null}', "application/json"),
        (b'{"name": "\\ud800"}', "application/json"),
        (b'{"name": "a\\u0000b"}', "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a":' * 50_000, "application/json"),
        (b'{"name": "' + b"x" * 2_000_000 + b'"}', "application/json"),
        (b"name=x", "application/x-www-form-urlencoded"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"", "application/json"),
        (b"{}", "text/\x7f"),
    ],
)
def test_malformed_bodies_are_problems_not_crashes(cast: Cast, body: bytes, content_type: str) -> None:
    program = api(cast.token(cast.ada))
    answer = program.generic("POST", "/api/v1/workspaces/main/teams", body, content_type=content_type)
    assert answer.status_code in {400, 413, 415, 422}, answer.content[:300]
    assert answer["Content-Type"] == "application/problem+json"
    assert "detail" in answer.json()


def test_every_page_carries_the_strict_headers(cast: Cast) -> None:
    client = signed_in(cast.ada)
    for page in [*PAGES, "/nothing-here"]:
        answer = client.get(page)
        policy = answer["Content-Security-Policy"]
        assert "unsafe-inline" not in policy
        assert "default-src 'none'" in policy
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert "no-store" in answer["Cache-Control"]
        assert b"onclick=" not in answer.content
        assert b"style=" not in answer.content


def test_no_page_runs_a_query_per_row(cast: Cast) -> None:
    """The number of queries does not grow with the number of entries, people or services."""
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    from tests.gates.test_requests_are_answered_once_by_others import asks
    from watchbill.catalogue.commands import create_service
    from watchbill.handbook.bindings import bind_name
    from watchbill.handbook.commands import keep_draft
    from watchbill.people.commands import invite_person
    from watchbill.people.teams import create_team
    from watchbill.signals.commands import create_source

    def grow(start: int) -> None:
        for n in range(start, start + 8):
            with cast.acts(cast.ada) as by:
                team = create_team(by=by, workspace_id=cast.main, name=f"T{n}")
                create_service(by=by, workspace_id=cast.main, name=f"S{n}", owner_id=team.id)
                invite_person(by=by, workspace_id=cast.main, name=f"P{n}", email=f"p{n}@example.org")
                create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name=f"I{n}")
                bind_name(by=by, workspace_id=cast.main, name=f"N{n}", target_kind="team", target_id=team.id)
            asks(cast, cast.edo, f"d{n}")
        rows = "".join(f"| SEV-{n} | {n + 1} h |\n" for n in range(start + 8))
        with cast.acts(cast.ada) as by:
            text = f"# A\n\n## Severity\n\n| Severity | Response |\n|---|---|\n{rows}"
            keep_draft(by=by, workspace_id=cast.main, slug="main", files=[("a.md", text)])

    client = signed_in(cast.ada)

    def counts() -> dict[str, int]:
        found = {}
        for page in PAGES[1:]:
            client.get(page)
            with CaptureQueriesContext(connections["default"]) as captured:
                assert client.get(page).status_code == 200, page
            found[page] = len(captured)
        return found

    grow(0)
    before = counts()
    grow(8)
    after = counts()
    assert {page: (before[page], after[page]) for page in before if after[page] > before[page]} == {}


def test_pages_of_another_workspace_are_not_there(cast: Cast) -> None:
    stranger = signed_in(cast.sam)
    for page in PAGES:
        if page.startswith("/w/main"):
            assert stranger.get(page).status_code == 404, page


def test_a_viewer_sees_no_page_beyond_their_permissions_and_no_button_they_cannot_press(cast: Cast) -> None:
    viewer = signed_in(cast.vera)
    for page in (
        "/w/main/audit",
        "/w/main/settings",
        "/w/main/settings/events",
        "/w/main/settings/sessions",
        "/w/main/services/new",
    ):
        assert viewer.get(page).status_code == 403, page
    people = viewer.get("/w/main/people").content
    assert b"Add somebody" not in people
    assert b"Settings" not in people


def test_signed_out_pages_lead_to_sign_in_and_back(cast: Cast) -> None:
    answer = Client().get("/w/main/audit?what=roles")
    assert answer.status_code == 302
    assert answer["Location"] == "/signin?next=%2Fw%2Fmain%2Faudit%3Fwhat%3Droles"


def test_errors_name_the_request_and_a_forged_id_is_replaced(cast: Cast) -> None:
    answer = Client().get("/nothing", headers={"X-Request-Id": "seen-in-the-log"})
    assert b"seen-in-the-log" in answer.content
    assert answer["X-Request-Id"] == "seen-in-the-log"
    forged = Client().get("/nothing", headers={"X-Request-Id": "a\tb <script>"})
    assert forged["X-Request-Id"] != "a\tb <script>"


def asgi(method: str, path: str, headers: list[tuple[bytes, bytes]], chunks: list[bytes] = [b""]) -> tuple[int, bytes]:  # noqa: B006 - not changed
    """One request to the whole ASGI application, as a server would hand it over."""
    import asyncio

    from watchbill.server.asgi import Hub

    sent: list[dict[str, Any]] = []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)} for n, chunk in enumerate(chunks)
    ]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("testserver", 80), "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip

    async def main() -> None:
        hub = Hub()
        hub.door.start()
        try:
            await hub(scope, receive, send)
        finally:
            await hub.door.stop()

    asyncio.run(main())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"content-length", b"99999999999")], 413),
        ([(b"content-length", b"-1")], 400),
        ([(b"content-length", b"ten")], 400),
        ([(b"transfer-encoding", b"chunked")], 411),
        ([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")], 400),
    ],
)
def test_bodies_of_no_or_wrong_length_are_refused_before_they_are_read(
    headers: list[tuple[bytes, bytes]], status: int
) -> None:
    assert asgi("POST", "/api/v1/workspaces/main/files", headers)[0] == status


def test_health_metrics_and_live_answer_for_themselves(db: Any) -> None:
    assert asgi("GET", "/healthz", []) == (200, b'{"status":"ok"}')
    status, body = asgi("GET", "/readyz", [])
    assert status == 200, "without a worker alerts are taken and stored all the same"
    assert b"start watchbill worker" in body
    assert asgi("GET", "/metrics", [])[0] == 200
    assert asgi("GET", "/metrics", [(b"x-forwarded-for", b"1.2.3.4")])[0] == 403
    assert asgi("GET", "/live", [])[0] == 400
    assert asgi("GET", "/healthz\0", [])[0] == 400


def test_live_events_are_for_members(cast: Cast) -> None:
    from watchbill.server.live import _may_listen

    key = signed_in(cast.edo).cookies["watchbill_session"].value
    assert _may_listen(key, cast.main)
    assert not _may_listen(key, cast.other)
    assert not _may_listen("nonsense", cast.main)
    assert not _may_listen("", cast.main)
