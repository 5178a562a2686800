"""What the fork server of the tests imports at its start."""

from tests.prepared import prepare

prepare()
