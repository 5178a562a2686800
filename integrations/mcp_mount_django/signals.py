"""The signals that servers send."""

from django.dispatch import Signal

__all__ = ["call_finished", "sign_in_event"]

call_finished = Signal()
"""Sent after each call of a tool, prompt, resource or completion, when its transaction has ended.

Args:
    sender: The server.
    request: Django's request, or None for a call without one.
    method: The method of the protocol, such as "tools/call".
    name: The name of the tool or prompt, or the URI of the resource.
    arguments: The arguments, as the client sent them.
    outcome: "ok", "failed" (the handler failed), "suspended" (it waits for an answer, or continues
        as a task) or "cancelled".
    seconds: How long the call took.
"""

sign_in_event = Signal()
"""Sent when something happens at the authorization server of a server (`SignIn`).

Args:
    sender: The server.
    event: The `mcp_mount.auth.SignInEvent`, whose `kind` is "client registered", "document
        fetched", "document refused", "consent asked", "consent granted", "consent denied", "tokens
        issued", "tokens refreshed", "code reused", "refresh token reused", "connection revoked" or
        "connection ended".
"""
