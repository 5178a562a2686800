"""Says what to install where Django is not there. Imported before all else of the package."""

try:
    import django  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "django":
        raise
    raise ModuleNotFoundError(
        "mcp_mount_django needs Django: pip install 'mcp-mount[django]'", name="django"
    ) from None
