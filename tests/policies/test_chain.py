"""Levels of policies: what is declared at one, and what counts as nothing."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.policies.chain import READERS, PolicyChain, policies_of, read
from mcp_mount.policies.kinds import PolicyLevel

OF_SEVERAL = ("budget", "call_middleware", "max_concurrency", "redact", "throttle")
"""The options of which those of all levels hold: None declares nothing."""


def middleware(call: Any) -> Any:
    return (yield)


@pytest.mark.parametrize("name", READERS)
def test_a_level_is_empty_where_nothing_is_declared(name: str) -> None:
    level = PolicyLevel("tool", read({name: None}))
    # None lifts what an outer level declares of the others.
    assert level.is_empty is (name in OF_SEVERAL)


def test_what_is_added_is_declared() -> None:
    level = PolicyLevel("server")
    level.add("redact", [])
    assert level.is_empty
    level.add("redact", ["pin"])
    assert not level.is_empty


def test_a_chain_is_made_anew_when_one_of_its_levels_changes() -> None:
    outer, inner = PolicyLevel("server"), PolicyLevel("tool")
    chain, other = PolicyChain((outer, inner)), PolicyChain((inner,))
    assert (chain.chain, other.chain) == ((), ())
    outer.declare(read({"call_middleware": middleware}))
    assert (len(chain.chain), other.chain) == (1, ())
    inner.declare(read({"timeout": 5}))
    assert (len(chain.chain), len(other.chain)) == (2, 1)
    assert chain.chain is chain.chain


def test_levels_do_not_keep_chains_of_entries_that_are_gone() -> None:
    chain = policies_of("tool", {"timeout": 5})
    [level] = chain.levels
    assert len(chain.chain) == 1
    assert len(level.chains) == 1
    del chain
    assert len(level.chains) == 0


def test_extra_arguments_are_dropped_from_when_that_is_declared() -> None:
    chain = policies_of("tool", {})
    assert chain.chain == ()
    assert not chain.ignores_extra_arguments
    chain.levels[0].declare(read({"extra_arguments": "ignore"}))
    assert chain.ignores_extra_arguments


@pytest.mark.parametrize("value", [5, [5], object(), b"pin"])
def test_what_is_left_out_of_logs_is_named(value: Any) -> None:
    with pytest.raises(DefinitionError, match="redact is a name, or a list of names, not "):
        read({"redact": value})
