"""The command `myownllm`: what a person does with the mesh half of the app.

Commands start quickly, so what only `up` needs (trio, the supervisor) is imported by `up` alone. They reach a running
app through two things that both share: the daemon's control socket and the saved networks.
"""


def main() -> None:
    """Entry point of the command `myownllm`."""
    try:
        from myownllm.cli.main import app  # here, so that Ctrl-C while the modules load is no traceback

        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
