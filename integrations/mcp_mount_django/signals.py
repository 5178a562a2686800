"""Signals of a server."""

from django.dispatch import Signal

call_finished = Signal()
"""Sent after each call of a tool, prompt, resource or completer, when its transaction is over.

sender: the server. request: Django's request, None for a call without one. method: "tools/call"
and the like. name: of the tool or prompt, or the URI of the resource. arguments: as the client
sent them. outcome: "ok", "failed" (the handler said so, or raised), "suspended" (it waits for an
answer, or goes on as a task) or "cancelled". seconds: how long it took.
"""
