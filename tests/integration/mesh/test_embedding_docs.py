"""docs/embedding.md: its program is run as it stands, twice, and the two answer each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import trio

from support.signaling import relay_server, url_of

DOC = Path(__file__).parents[3] / "docs" / "embedding.md"


async def test_the_program_of_the_page_works(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert block is not None
    program = tmp_path / "program.py"
    program.write_text(block[1])
    outputs: list[str] = []

    async def run(name: str, relay: str) -> None:
        done = await trio.run_process(
            [sys.executable, str(program), str(tmp_path / name), relay],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        outputs.append(done.stdout.decode())

    with trio.fail_after(60):
        async with relay_server() as server, trio.open_nursery() as programs:
            programs.start_soon(run, "a", url_of(server))
            programs.start_soon(run, "b", url_of(server))
    assert [output.splitlines()[1:] for output in outputs] == [["My program answers 42"]] * 2, outputs
