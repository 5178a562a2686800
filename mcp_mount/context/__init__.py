"""What a handler may ask for while it runs: progress, log, input, another tool, the request."""
