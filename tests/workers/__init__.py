"""Servers in four processes that share a backplane: any of them serves any request."""
