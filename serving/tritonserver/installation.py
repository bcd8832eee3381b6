"""Where the Triton server of the `nvidia-pytriton` wheel lies, and the backend folder it is started with.

The wheel carries `tritonserver`, its libraries, Triton's python backend and a stub of it for each version of
Python; no other backend. A python-based backend is a folder `<name>/model.py` beside the python backend, so
`backends/onnxruntime` and `backends/pytorch` stand in for the C++ backends of those names: a `config.pbtxt`
that says `backend: "onnxruntime"` loads here and, unchanged, in NVIDIA's container. `backends/neurocity` is
the only one of its name.
"""

import ctypes.util
import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import neurocity
from neurocity.errors import MissingDependencyError

BACKENDS = Path(__file__).parent / "backends"
WHEEL = "nvidia-pytriton"
INSTALL_COMMAND = "pip install 'neurocity[triton-server]'"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The parts of the wheel that a server is started with.

    binary: the `tritonserver` executable.
    libraries: folder of the shared libraries that it and the python backend link to.
    python_backend: folder of the python backend.
    stub: the python backend's executable, linked to this process's version of Python.
    """

    binary: Path
    libraries: Path
    python_backend: Path
    stub: Path

    def assemble_backends(self, target: Path) -> Path:
        """Fill the folder `target` with the python backend, its stub and the python-based backends.

        Copies, because Triton refuses a backend library that is a link out of its folder, and because the
        wheel's folder is not ours to write to.
        """
        python_backend = target / "python"
        python_backend.mkdir(parents=True)
        for part in ("libtriton_python.so", "triton_python_backend_utils.py"):
            shutil.copy2(self.python_backend / part, python_backend)
        stub = Path(shutil.copy2(self.stub, python_backend))
        stub.chmod(0o755)
        # The stubs' tensor names and sessions are this process's; a stub may have no neurocity installed.
        (python_backend / "neurocity").symlink_to(Path(neurocity.__file__).parent)
        shutil.copytree(BACKENDS, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        return target

    def environment(self) -> dict[str, str]:
        """This process's environment, with what the server and its stubs need to find.

        The stub embeds an isolated interpreter (PYTHONPATH is not read) that finds its packages through the
        first `python3` on PATH: that of this process comes first, with its virtual environment.
        """
        libraries = [str(self.libraries), *_libpython_folder()]
        if inherited := os.environ.get("LD_LIBRARY_PATH"):
            libraries.append(inherited)
        return os.environ | {
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }


def find_installation() -> Installation:
    """The installed wheel's parts.

    Raises MissingDependencyError when the wheel is absent or lacks what this version of Python needs.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"a Triton server needs the package {WHEEL}; install it: {INSTALL_COMMAND}"
        )
    package = Path(spec.origin).parent
    server = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    installation = Installation(
        binary=server / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=server / "backends" / "python",
        stub=server / "python_backend_stubs" / version / "triton_python_backend_stub",
    )
    if not installation.stub.is_file():
        offered = sorted(path.parent.name for path in server.glob("python_backend_stubs/*/*_stub"))
        raise MissingDependencyError(
            f"{WHEEL} in {package} has no python backend for Python {version}, "
            f"it has: {', '.join(offered) or 'none'}"
        )
    for part in (installation.binary, installation.libraries, installation.python_backend):
        if not part.exists():
            raise MissingDependencyError(
                f"{WHEEL} is incomplete, {part} is missing; install it: {INSTALL_COMMAND}"
            )
    return installation


def _libpython_folder() -> list[str]:
    """The folder of the shared libpython that the stub links to; none where the loader finds it by itself."""
    name = str(sysconfig.get_config_var("INSTSONAME"))
    folder = Path(str(sysconfig.get_config_var("LIBDIR")))
    if name.endswith(".a") or not (folder / name).is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        if ctypes.util.find_library(f"python{version}") is None:
            raise MissingDependencyError(
                f"Triton's python backend links to libpython{version}.so.1.0, which is not installed; "
                f"install it (Debian: apt install libpython{version}), or use a Python with a shared library"
            )
        return []
    return [str(folder)]
