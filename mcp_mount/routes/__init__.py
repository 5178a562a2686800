"""Routers: parts that a server is put together from, each with MCP features and HTTP routes."""
