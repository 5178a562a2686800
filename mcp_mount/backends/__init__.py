"""Replaceable parts: an interface each, and a default that is embedded in the process."""
