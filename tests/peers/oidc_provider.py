"""A real OpenID Connect provider (Canaille), run in its own environment: python oidc_provider.py PORT REDIRECT_URI.

It knows Edo (in the group ops_editor) and Nobody (whom the hub does not know); both with the password below.
"""

import datetime
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey

PASSWORD = "correct horse battery"
port, redirect_uri = int(sys.argv[1]), sys.argv[2]
key = RSAKey.generate_key(2048, auto_kid=True, parameters={"use": "sig", "alg": "RS256"}).as_dict(private=True)
app = create_app(
    {
        "SECRET_KEY": "test",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"NAME": "Provider", "DATABASE": "memory"},
        "CANAILLE_OIDC": {"REQUIRE_NONCE": False, "ACTIVE_JWKS": [key]},
    },
    init_backend=True,
)
with app.app_context(), Backend.instance.session():
    people = {}
    for login, name, email in (("edo", "Edo Editor", "edo@example.org"), ("nobody", "No Body", "nobody@example.org")):
        people[login] = models.User(
            formatted_name=name,
            given_name=name.split()[0],
            family_name=name.split()[1],
            user_name=login,
            emails=[email],
            password=PASSWORD,
        )
        Backend.instance.save(people[login])
    group = models.Group(display_name="ops_editor", members=[people["edo"]])
    Backend.instance.save(group)
    people["edo"].groups = [group]
    client = models.Client(
        client_id="watchbill",
        client_secret="provider-secret",
        client_name="Watchbill",
        redirect_uris=[redirect_uri],
        grant_types=["authorization_code"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
        client_id_issued_at=datetime.datetime.now(datetime.UTC),
    )
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)
app.run(port=port)
