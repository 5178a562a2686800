"""Says what to install where Flask is not there. Imported before all else of the package."""

try:
    import flask  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise ModuleNotFoundError(
        "mcp_mount_flask needs Flask: pip install 'mcp-mount[flask]'", name="flask"
    ) from None
