"""Endpoints that an application has already, as tools, by an OpenAPI document of them."""
