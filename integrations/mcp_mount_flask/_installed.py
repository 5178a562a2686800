"""Tell users to install Flask if it is missing; the package imports this module first."""

try:
    import flask  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise ModuleNotFoundError(
        "mcp_mount_flask needs Flask: pip install 'mcp-mount[flask]'", name="flask"
    ) from None
