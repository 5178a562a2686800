"""What is known of a caller by an access token, however a verifier of the user's own writes it."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.auth import AccessToken


@pytest.mark.parametrize("names", [["read", "write"], ("read", "write"), {"read", "write"}])
def test_scopes_and_roles_may_be_any_collection(names: Any) -> None:
    token = AccessToken("ada", scopes=names, roles=names)
    assert token.scopes == token.roles == frozenset({"read", "write"})
    assert hash(token.scopes)


def test_scopes_may_be_one_text_as_they_are_in_tokens() -> None:
    assert AccessToken("ada", scopes="read write").scopes == {"read", "write"}  # type: ignore[arg-type]
    assert AccessToken("ada", scopes=None).scopes == frozenset()  # type: ignore[arg-type]
