"""Servers of model providers over HTTP, as models."""
