"""Exception groups: nurseries wrap what ends them, and people are told what it was."""

from __future__ import annotations


def unwrapped(error: BaseException, expected: tuple[type[BaseException], ...]) -> BaseException:
    """The failure that a group is about; anything else is itself.

    A group is about its only member, at any depth, and about the first one when all are `expected`. One with a bug
    among several members stays whole.
    """
    found = leaves(error)
    if len(found) == 1 or all(isinstance(leaf, expected) for leaf in found):
        return found[0]
    return error


def leaves(error: BaseException) -> list[BaseException]:
    """Everything that was raised, in order, without the groups around it."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for member in error.exceptions for leaf in leaves(member)]
