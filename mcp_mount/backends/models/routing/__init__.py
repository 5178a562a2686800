"""Routing: models that ask other models of their server, by their names."""
