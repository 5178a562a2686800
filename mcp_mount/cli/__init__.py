"""The command line: `mcp-mount`."""
