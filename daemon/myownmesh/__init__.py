"""A private mesh: the daemon, and the same node as a library for trio programs.

`open_mesh` is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from mesh_common.version import VERSION as __version__

TYPE_CHECKING = False  # importing `typing` for it would double the time of `myownmesh --version`
if TYPE_CHECKING:
    from myownmesh.mesh.embed import OpenMesh, OpenNetwork, open_mesh
    from myownmesh.mesh.errors import MeshError

__all__ = ["MeshError", "OpenMesh", "OpenNetwork", "__version__", "open_mesh"]


def __getattr__(name: str) -> object:
    match name:
        case "open_mesh" | "OpenMesh" | "OpenNetwork":
            from myownmesh.mesh import embed

            return getattr(embed, name)
        case "MeshError":
            from myownmesh.mesh.errors import MeshError

            return MeshError
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
