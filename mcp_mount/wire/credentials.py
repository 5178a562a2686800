"""The headers in which credentials come, and what is shown of a request's headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

credential_headers: Final = {"authorization", "proxy-authorization", "cookie", "x-api-key"}
"""Their names, in lower case. What takes credentials from another header adds its name here: for
the whole process, so that no server shows what is a secret of another."""

forwarded_headers: Final = set[str]()
"""More headers, in lower case, that calls of existing endpoints pass on because a user has named
them (`forward=`). The endpoints' answers may depend on them, so that caches keep them apart."""


class ShownHeaders(Mapping[str, str]):
    """The headers of a request, as handlers and policies get them. Names are in lower case.

    Credentials are there for those who ask for them by name (`headers["authorization"]`), and for
    nobody else: they are left out where headers are listed, copied, compared or printed, so that
    no log and no call to another service has them by accident.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._headers if name not in credential_headers)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))
