"""Upstreams: models that a provider serves over HTTP."""
