"""An OAuth 2.1 authorization server for the tests: Authlib's, in Flask, on real HTTP.

It registers clients (RFC 7591), lets ada log in without a question, gives codes with PKCE, and
tokens that are JWTs for the `resource` that the client names (RFC 8707), or opaque ones
(ISSUE=opaque), of which it tells by introspection (RFC 7662). POST /rotate makes it sign with a new
key; POST /revoke_all forgets all opaque tokens.
"""

from __future__ import annotations

import os
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response, jsonify, request
from joserfc.jwk import KeySet, RSAKey

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:9")
OPAQUE = os.environ.get("ISSUE") == "opaque"
SCOPES = ("orders:read", "orders:write")
RESOURCE_SERVER = ("resource-server", "resource-server-secret")


class User:
    def get_user_id(self) -> str:
        return "ada"


class Client(ClientMixin):
    def __init__(self, client_id: str, secret: str, metadata: dict[str, Any]) -> None:
        self.client_id = client_id
        self.client_secret = secret
        self.metadata = metadata

    @property
    def client_info(self) -> dict[str, Any]:
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    @property
    def client_metadata(self) -> dict[str, Any]:
        return self.metadata

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return str(self.metadata["redirect_uris"][0])

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.metadata["redirect_uris"]

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    def __init__(self, code: str, asked: Any) -> None:
        payload = asked.payload.data
        self.code = code
        self.client_id = asked.client.client_id
        self.redirect_uri = payload.get("redirect_uri")
        self.scope = asked.payload.scope or ""
        self.code_challenge = payload.get("code_challenge")
        self.code_challenge_method = payload.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return self.scope


class Token:
    def __init__(self, token: dict[str, Any], client: Client, audience: str | None) -> None:
        self.scope = token.get("scope", "")
        self.client_id = client.client_id
        self.audience = audience
        self.expires_at = int(time.time()) + int(token["expires_in"])

    def is_expired(self) -> bool:
        return self.expires_at < time.time()

    def is_revoked(self) -> bool:
        return False


clients: dict[str, Client] = {RESOURCE_SERVER[0]: Client(*RESOURCE_SERVER, {"redirect_uris": []})}
codes: dict[str, Code] = {}
tokens: dict[str, Token] = {}
keys: list[RSAKey] = []


def rotate() -> None:
    number = len(keys) + 1
    keys[:] = [RSAKey.generate_key(2048, {"kid": f"key-{number}-{time.time()}", "use": "sig"})]


class AuthorizationCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")

    def save_authorization_code(self, code: str, request: Any) -> None:
        codes[code] = Code(code, request)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found = codes.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> User:
        return User()


class JWTs(JWTBearerTokenGenerator):  # type: ignore[misc]
    def get_jwks(self) -> dict[str, Any]:
        return dict(keys[-1].as_dict(private=True))

    def get_audiences(self, client: Client, user: Any, scope: str) -> str:
        return str(request.form.get("resource") or client.client_id)

    def get_extra_claims(self, client: Any, grant: str, user: Any, scope: str) -> dict[str, Any]:
        return {"roles": ["clerk"]}


class Registration(ClientRegistrationEndpoint):  # type: ignore[misc]
    def authenticate_token(self, request: Any) -> bool:
        return True

    def get_server_metadata(self) -> dict[str, Any]:
        return metadata()

    def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> Client:
        client = Client(client_info["client_id"], client_info["client_secret"], client_metadata)
        clients[client.client_id] = client
        return client


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    def check_permission(self, token: Any, client: Client, request: Any) -> bool:
        return client.client_id == RESOURCE_SERVER[0]

    def query_token(self, token_string: str, token_type_hint: str) -> Token | None:
        return tokens.get(token_string)

    def introspect_token(self, token: Token) -> dict[str, Any]:
        return {
            "client_id": token.client_id,
            "sub": "ada",
            "scope": token.scope,
            "aud": token.audience,
            "iss": ISSUER,
            "exp": token.expires_at,
        }


def metadata() -> dict[str, Any]:
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "registration_endpoint": f"{ISSUER}/register",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/jwks",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": list(SCOPES),
    }


def save_token(token: dict[str, Any], asked: Any) -> None:
    tokens[token["access_token"]] = Token(token, asked.client, request.form.get("resource"))


app = Flask(__name__)
server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
server.register_grant(AuthorizationCode, [CodeChallenge(required=True)])
server.register_endpoint(Registration)
server.register_endpoint(Introspection)
rotate()
if OPAQUE:
    server.register_token_generator(
        "default", BearerTokenGenerator(lambda *args, **more: os.urandom(24).hex())
    )
else:
    server.register_token_generator("default", JWTs(ISSUER))


@app.get("/.well-known/oauth-authorization-server")
def show_metadata() -> Response:
    return jsonify(metadata())


@app.get("/jwks")
def show_keys() -> Response:
    return jsonify(KeySet(keys).as_dict(private=False))


@app.get("/authorize")
def authorize() -> Any:
    grant = server.get_consent_grant(end_user=User())
    return server.create_authorization_response(grant=grant, grant_user=User())


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.post("/register")
def register() -> Any:
    return server.create_endpoint_response("client_registration")


@app.post("/introspect")
def introspect() -> Any:
    return server.create_endpoint_response("introspection")


@app.post("/rotate")
def rotate_now() -> str:
    rotate()
    return ""


@app.post("/revoke_all")
def revoke_all() -> str:
    tokens.clear()
    return ""
