"""A server at a path of its own, in front of any ASGI or WSGI application."""
