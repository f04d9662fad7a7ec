"""Built with `python setup.py build_ext --inplace`, where ratelimit can be imported."""

import platform
from importlib.util import find_spec

from Cython.Build import cythonize
from setuptools import Extension, setup

# Cython finds ratelimit's .pxd files as Python finds modules; the C headers that they name lie beside them.
headers = find_spec("ratelimit").submodule_search_locations[0]

setup(
    name="ratelimit-embed-example",
    version="0",
    py_modules=[],
    ext_modules=cythonize(
        Extension(
            "embed",
            ["embed.pyx"],
            include_dirs=[headers],
            # On x86-64, gcc and clang use the 128-bit compare-and-swap of the table only with this option.
            extra_compile_args=["-O3", *(["-mcx16"] if platform.machine() == "x86_64" else [])],
        ),
        compiler_directives={
            "language_level": 3,
            "cdivision": True,  # the inline functions of ratelimit's .pxd files count on C's division
            "boundscheck": False,
            "freethreading_compatible": True,
        },
    ),
)
