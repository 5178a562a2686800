"""A small weather service."""
