"""The command `myownllm`: what a person does with the mesh half of the app.

Commands start quickly, so what only `up` needs (trio, the supervisor) is imported by `up` alone. They reach a running
app through two things that both share: the daemon's control socket and the saved networks.
"""

from myownllm.cli.main import main

__all__ = ["main"]
