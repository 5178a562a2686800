"""The headers in which credentials come."""

from __future__ import annotations

from typing import Final

credential_headers: Final = {"authorization", "proxy-authorization", "cookie", "x-api-key"}
"""Their names, in lower case. What takes credentials from another header adds its name here: for
the whole process, so that no server shows what is a secret of another."""
