"""Finding, starting, watching and ending the mesh daemon of this app (spec 08 §3)."""

from myownllm.supervisor.supervisor import Connection, Supervisor, SupervisorState

__all__ = ["Connection", "Supervisor", "SupervisorState"]
