"""Where the files beside the Python package are: configuration and launch files."""

from __future__ import annotations

from pathlib import Path

from s2m2_ros.errors import S2M2Error

SOURCE = Path(__file__).resolve().parents[1]


def shared_file(name: str) -> Path:
    """Return a file of this checkout or, where the package is installed, of its share folder.

    ``name`` is e.g. 'config/stereo.yaml'. Raises :class:`S2M2Error` if it is in neither.
    """
    path = SOURCE / name
    if path.is_file():
        return path
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        path = Path(get_package_share_directory('s2m2_ros')) / name
    except PackageNotFoundError as error:
        raise S2M2Error(
            f"'{name}' is not found: source the setup file of the workspace that s2m2_ros is in"
        ) from error
    if not path.is_file():
        raise S2M2Error(f"this installation lacks '{path}': install s2m2_ros again")
    return path
