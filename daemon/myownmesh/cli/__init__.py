"""The command ``myownmesh``: this module decides what to load, so that the common calls stay fast."""

from __future__ import annotations

import sys

from mesh_common.streams import prepare, words


def main(argv: list[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code.

    0 success, help and version; 2 a command line that cannot be understood; 1 everything else (spec 07 §6.1).
    Supervisors probe ``--version`` and start ``serve``, so neither waits for the command-line library; nor do
    ``turn-worker`` and ``relay-worker``, which the daemon starts for itself.
    """
    arguments = sys.argv[1:] if argv is None else argv
    prepare()
    if arguments in (["--version"], ["-V"]):
        return _version()
    if arguments == ["serve"]:
        if getattr(sys, "frozen", False):  # only a release of its own replaces itself
            from myownmesh.updates.boot import begin

            begin()
        from myownmesh.daemon.serve import serve

        return serve()
    if arguments == ["turn-worker"]:
        from myownmesh.turn_worker.worker import main as turn_worker

        return turn_worker()
    if arguments == ["relay-worker"]:
        from myownmesh.relay_worker.worker import main as relay_worker

        return relay_worker()
    if argv is None:
        import signal

        # An interrupted command ends as any other tool does: by the signal, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if arguments in (["netcheck"], ["netcheck", "--json"]):
        from myownmesh.cli.netcheck import run as netcheck

        return netcheck(as_json=len(arguments) == 2)
    from myownmesh.cli.app import run

    return run(arguments)


def _version() -> int:
    """Answer the probe, unless this installation has only the light half: then it is no daemon (spec 09 §3.1)."""
    from mesh_common.version import VERSION
    from myownmesh.daemon import needs

    words.catch()
    absent = needs.missing()
    if absent:
        print(f"error: {needs.missing_text(absent)}", file=sys.stderr)
        return 1
    print(f"myownmesh {VERSION}")
    if (lost := words.unsaid()) is not None:
        print(f"error: write output: {lost.strerror}", file=sys.stderr)
        return 1
    return 0
