"""The API's root: /api/v1, its documentation, and how errors are answered."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

import watchbill
from watchbill.base.errors import Invalid, NotFound, SignInNeeded, WatchbillError
from watchbill.catalogue.api import router as catalogue
from watchbill.console.api import router as console
from watchbill.gates.api import router as gates
from watchbill.handbook.api import router as handbook
from watchbill.incidents.api import router as incidents
from watchbill.oncall.api import router as oncall
from watchbill.paging.api import router as paging
from watchbill.people.api import router as people
from watchbill.runtime.http import as_watchbill_error, problem
from watchbill.runtime.rest import HubAuth
from watchbill.secrets.api import router as secrets
from watchbill.server.api_docs import PlainDocs
from watchbill.signals.api import router as signals
from watchbill.signin.api import router as signin


class HubAPI(NinjaAPI):
    """Publishes errors under their own media type."""

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """The OpenAPI document; error answers are application/problem+json (RFC 9457)."""
        schema = super().get_openapi_schema(**kwargs)
        for methods in schema["paths"].values():
            for operation in methods.values():
                for status, answer in operation["responses"].items():
                    if int(status) >= 400 and "application/json" in answer.get("content", {}):
                        answer["content"] = {"application/problem+json": answer["content"]["application/json"]}
        return schema


api = HubAPI(
    title="Watchbill",
    version=watchbill.__version__,
    description="Everything that the console does. Errors are problem+json (RFC 9457); lists come in pages (`next`); writes take an `Idempotency-Key`.",
    auth=HubAuth(),
    docs=PlainDocs(),
    openapi_url="/openapi.json",
    docs_url="/docs",
    urls_namespace="api",
)
for tag, router in (
    ("people", people),
    ("services", catalogue),
    ("handbook", handbook),
    ("requests", gates),
    ("alerts", signals),
    ("incidents", incidents),
    ("paging", paging),
    ("on-call", oncall),
    ("secrets", secrets),
    ("sign-in", signin),
    ("hub", console),
):
    api.add_router("", router, tags=[tag])


@api.exception_handler(WatchbillError)
def _known(request: HttpRequest, error: WatchbillError) -> HttpResponse:
    return problem(request, error)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first: dict[str, Any] = error.errors[0] if error.errors else {"loc": (), "msg": "is not valid"}
    field = ".".join(str(part) for part in first["loc"][1:] if part not in {"payload", "body"})
    message = str(first["msg"]).removeprefix("Value error, ")
    return problem(request, Invalid(f"{field or 'The request'}: {message}", field=field))


@api.exception_handler(AuthenticationError)
def _unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(request, SignInNeeded("This needs a token or a session."))


@api.exception_handler(HttpError)
def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    known = NotFound(str(error)) if error.status_code == 404 else Invalid(str(error))
    return problem(request, known)


@api.exception_handler(Exception)
def _other(request: HttpRequest, error: Exception) -> HttpResponse:
    known = as_watchbill_error(error)
    if known.status >= 500:
        import structlog

        structlog.get_logger("watchbill.api").error("request.failed", exc_info=error)
    return problem(request, known)
