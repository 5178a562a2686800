"""Access tokens in Django: the project's own users behind them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import sys
    from tests.auth.apps import _configure_django
    _configure_django()
    from django.core.management import call_command
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import Group, Permission, User
    from django.test import Client
    from django.urls import include, path
    from mcp_mount import AccessToken, SyncContext
    from mcp_mount.auth import TokenVerifier
    from mcp_mount_django import MCPServer

    ada = User.objects.create_user("ada")
    ada.groups.add(Group.objects.create(name="clerks"))
    ada.user_permissions.add(Permission.objects.get(codename="view_user"))
    gone = User.objects.create_user("gone", is_active=False)

    def verify(token):
        return AccessToken(token)

    def find(token):
        return User.objects.filter(username=token.subject).first()

    server = MCPServer(
        "users", auth=TokenVerifier(verify), find_user=find, auth_required={required}
    )

    @server.tool(permission="auth.view_user", roles="clerks")
    def whoami(ctx: SyncContext) -> str:
        return f"{{ctx.request.user}} {{ctx.caller}} {{ctx.access_token.subject}}"

    import tests.auth.django_urls as urls
    urls.urlpatterns[:] = [path("mcp", include(server.urls))]
    body = {{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {{"name": "whoami", "arguments": {{}}, "_meta": {{
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {{}}}}}}}}
    headers = {{"accept": "application/json, text/event-stream", "host": "127.0.0.1",
        "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "whoami"}}

    def post(token):
        own = headers if token is None else {{**headers, "authorization": f"Bearer {{token}}"}}
        return Client().post("/mcp", body, content_type="application/json", headers=own)

    for token in ("ada", "gone", "nobody", None):
        response = post(token)
        result = response.json().get("result", {{}})
        print(response.status_code, result.get("content", [{{}}])[0].get("text"))
"""


@pytest.mark.parametrize(("required", "anonymous"), [(True, "401 None"), (False, "400 None")])
def test_the_token_stands_for_a_user_of_the_project(required: bool, anonymous: str) -> None:
    script = textwrap.dedent(SCRIPT).format(required=required)
    output = subprocess.check_output([sys.executable, "-W", "error", "-c", script], text=True)
    assert output.splitlines() == ["200 ada 1 ada", "401 None", "401 None", anonymous]
