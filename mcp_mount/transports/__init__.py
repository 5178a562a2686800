"""Drivers of the protocol core: they read a request, run its calls and write the reply."""
