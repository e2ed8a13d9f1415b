"""The program inside the packed daemon: what ``myownmesh`` does after the runtime has started."""

import sys

sys.frozen = True  # type: ignore[attr-defined]  # the convention by which programs know that they are packed

from myownmesh.cli import main  # noqa: E402

sys.exit(main())
