"""The command `myownllm`: what a person does with the mesh half of the app.

Commands start quickly, so what only `up` needs (trio, the supervisor) is imported by `up` alone. They reach a running
app through two things that both share: the daemon's control socket and the saved networks.
"""

import gc
import sys

from mesh_common.streams import prepare, words


def main() -> None:
    """Entry point of the command `myownllm`: whatever ends it becomes an exit status and a sentence.

    With `--json` the sentence is an object. Bugs stay tracebacks. The status tells of the work: words that a pipe or a
    disk does not take change it only where they were all that was asked for.
    """
    as_json = "--json" in sys.argv
    prepare(
        utf8=as_json or sys.stdout is None or sys.stdout.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968")
    )
    words.catch()
    try:
        # Here, so that Ctrl-C while the modules load is no traceback.
        if sys.argv[1:] in (["up"], ["up", "--json"]):  # as nearly always; typer takes a tenth of its start
            gc.disable()  # until all modules are loaded, which leave no garbage
            from myownllm.cli.up import run_up

            run_up(None, (), verbose=False, as_json=as_json)
            raise SystemExit  # as typer ends a command
        from mesh_common.branches import branch
        from myownllm.cli.tree import app

        branch(app, sys.argv[1:])()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except SystemExit as end:
        if not end.code and (lost := words.unsaid()) is not None:
            sys.stderr.write(f"error: the output could not be written: {lost.strerror}\n")
            raise SystemExit(1) from None
        raise
    except Exception as error:  # noqa: BLE001 - raised again unless it is one of those that are expected
        from myownllm.cli.context import refuse

        refuse(error, as_json=as_json)
