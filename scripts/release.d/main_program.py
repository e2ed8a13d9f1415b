"""The program inside the packed daemon: what ``myownmesh`` does after the runtime has started."""

import os
import sys

sys.frozen = True  # type: ignore[attr-defined]  # the convention by which programs know that they are packed

# The packed TLS library looks for certificates where its build machine had them; other systems keep them elsewhere.
_USUAL = "/usr/lib/ssl/certs"
_ELSEWHERE = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
if "SSL_CERT_FILE" not in os.environ and not os.path.isdir(_USUAL):  # noqa: PTH112 - pathlib is slow to load
    for _path in _ELSEWHERE:
        if os.path.isfile(_path):  # noqa: PTH113
            os.environ["SSL_CERT_FILE"] = _path
            break

from myownmesh.cli import main  # noqa: E402

sys.exit(main())
