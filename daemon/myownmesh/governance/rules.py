"""What a network asks of governance: strict, unless a switch restores a point of v0.3.8 (spec 10 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from msgspec.structs import fields

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rules(Value, frozen=True):
    """The compatibility switches of governance; each restores exactly its point. All off is ours."""

    adopt_any_genesis: bool = False
    """A founding entry of anybody is trusted at first sight (02 FIX 2)."""
    replayable_logs: bool = False
    """Repeated and spent entries count from whoever brings them (02 FIX 3, 4, 24.3)."""
    controller_demotes_owner: bool = False
    """A controller's grant may lower an owner (02 FIX 5)."""
    roles_from_open_phase: bool = False
    """Roles that were seated while the network was open count (02 FIX 6)."""
    unauthorised_splits: bool = False
    """Split entries of anybody enter the log (02 FIX 7)."""
    ratify_everything: bool = False
    """Every node ratifies every proposal by itself (02 FIX 9)."""
    closed_local_approve: bool = False
    """A local approval admits on a closed network (02 FIX 18)."""
    open_network_evict: bool = False
    """Anybody's removals act on an open network (02 FIX 35)."""

    @classmethod
    def of(cls, *compat: Mapping[str, bool]) -> Self:
        """The rules of a network: what a later object of `compat` says wins; other names are not looked at."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: switches[name] for switches in compat for name in names if name in switches})


STRICT: Final = Rules()
