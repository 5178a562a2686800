"""Models that ask other models of their server: routes, and models under another name."""
