"""What pyproject.toml cannot say: the compiled kernels are built when the package is."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))
from neurocity.kernels import build


class BuildKernels(build_ext):
    """Compiles the kernels where an extension module would be."""

    def run(self) -> None:
        build.build(Path("." if self.inplace else self.build_lib, "neurocity", "kernels", "lib"))

    def get_outputs(self) -> list[str]:
        return []


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python: the libraries know nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def compiler_requirement() -> list[str]:
    """The package that brings a compiler, where there is none."""
    try:
        build.find_compiler()
    except build.BuildError:
        return ["ziglang>=0.15"]
    return []


setup(
    ext_modules=[Extension("neurocity.kernels.lib", [])],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
    setup_requires=compiler_requirement(),
)
