"""What a process begins with that was forked."""

from __future__ import annotations

import os

import pytest

from mcp_mount.wire.forks import after_fork


class Counted:
    def __init__(self) -> None:
        self.forks = 0
        after_fork(self.note)

    def note(self) -> None:
        self.forks += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_methods_are_called_in_a_child_process() -> None:
    counted = [Counted(), Counted()]
    child = os.fork()
    if child == 0:
        os._exit(sum(one.forks for one in counted))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert [one.forks for one in counted] == [0, 0]
