"""Tell users to install Django if it is missing; the package imports this module first."""

try:
    import django  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "django":
        raise
    raise ModuleNotFoundError(
        "mcp_mount_django needs Django: pip install 'mcp-mount[django]'", name="django"
    ) from None
