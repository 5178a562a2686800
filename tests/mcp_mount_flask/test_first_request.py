"""What is done once, at an application's first request."""

from __future__ import annotations

import pytest
from flask import Flask

from mcp_mount_flask import MCPMount


@pytest.mark.parametrize("path", ["/view", "/missing"])
@pytest.mark.parametrize("has_own", [False, True])
def test_later_requests_of_the_application_do_not_pay_for_it(path: str, *, has_own: bool) -> None:
    app = Flask("tests")
    MCPMount(app, "/mcp", open=True)
    seen: list[str | None] = []
    if has_own:
        app.url_value_preprocessor(lambda endpoint, values: seen.append(endpoint))
    MCPMount(app, "/other", open=True)

    @app.get("/view")
    def view() -> str:
        return "here"

    with app.test_client() as client:
        for _ in range(2):
            client.get(path)
    assert len(app.url_value_preprocessors.get(None, ())) == has_own
    # None that comes after ours is passed over.
    assert len(seen) == 2 * has_own
