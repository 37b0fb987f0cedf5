"""Compiled functions that are loaded without a compiler.

numba compiles a function once per processor type and source text; what is kept
is its bare object code, which later processes load through LLVM in milliseconds
where importing numba takes half a second and 70 MB. The price: such a function
takes arrays and numbers, returns nothing, allocates nothing and calls no
library. Everything else is compiled by ``jit``.

One file per function lies in the cache directory of ``jit``, below hashes of
processor, compiler and the source texts that went in. Processes that fill the cache together
write the same file, and each write replaces it whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, cast

import llvmlite.binding as llvm  # type: ignore[import-untyped] # ships no types
import numpy as np

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.jit import build_key, cache_directory

_SCALARS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "float32": (ctypes.c_float, float),
    "float64": (ctypes.c_double, float),
    "int64": (ctypes.c_int64, int),
}
_ENTRY = "darkhaloscope_entry"
_LIBM = {"sqrt", "sqrtf"}  # named by LLVM where it emits the processor's own instruction


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target() -> Any:
    """Return LLVM's description of this processor, a new one: an engine takes possession of it."""
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


class Argument(NamedTuple):
    """The declared type of one argument: a number if it has no axes."""

    dtype: str
    axes: int


def parse_signature(signature: str) -> tuple[Argument, ...]:
    """Read a signature such as ``"void(float32[:, ::1], int64)"``.

    Raises
    ------
    ContractError
        If it returns something, or an array is not C-contiguous.
    """
    inside = re.fullmatch(r"void\((.*)\)", signature, re.DOTALL)
    found = re.findall(r"(\w+)(?:\[((?:\s*:\s*,)*\s*::1\s*)\])?\s*(?:,|$)", inside[1]) if inside else []
    arguments = tuple(Argument(dtype, axes.count(",") + 1 if axes else 0) for dtype, axes in found)
    known = all(a.axes or a.dtype in _SCALARS for a in arguments)
    written = ", ".join(a.dtype + ("[" + ":, " * (a.axes - 1) + "::1]" if a.axes else "") for a in arguments)
    if not known or f"void({written})" != signature:
        raise ContractError(
            describe("Signature", expected="void(...) of C-contiguous arrays and numbers", got=signature)
        )
    return arguments


class Inlined:
    """A small function that becomes part of the compiled functions that call it.

    Called from Python it is the plain function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = cast("FunctionType", function)
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate the function in Python."""
        return self.function(*arguments)


class Native:
    """A function of arrays and numbers in machine code, compiled or loaded on its first call.

    Calls release the interpreter's lock. An array argument must have exactly the
    declared type and number of axes and be C-contiguous: nothing is converted.
    Multiplications and additions are fused, so results are the same on processors
    of one type and differ by rounding between types.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.function = cast("FunctionType", function)
        self.arguments = parse_signature(signature)
        self.__doc__ = function.__doc__
        self._engine: Any = None
        self._entry: Callable[..., int] | None = None

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    def __call__(self, *values: Any) -> None:
        """Run on the given arrays and numbers.

        Raises
        ------
        ContractError
            If an argument is not what the signature says.
        """
        flat: list[Any] = []
        for position, (value, declared) in enumerate(zip(values, self.arguments, strict=True)):
            if not declared.axes:
                flat.append(_SCALARS[declared.dtype][1](value))
                continue
            if not (
                isinstance(value, np.ndarray)
                and value.dtype == declared.dtype
                and value.ndim == declared.axes
                and value.flags.c_contiguous
            ):
                got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value)
                where = f"argument {position}"
                raise ContractError(
                    describe(self.name, field=where, expected=f"contiguous {declared}", got=got)
                )
            flat += [value.ctypes.data, *value.shape]
        if self._entry is None:
            self._entry = self._load()
        nothing, error = ctypes.c_void_p(), ctypes.c_void_p()
        if self._entry(ctypes.byref(nothing), ctypes.byref(error), *flat) != 0:
            raise ContractError(describe(self.name, got="an error inside compiled code"))

    def _load(self) -> Callable[..., int]:
        """Return the machine code as a function of pointers, lengths and numbers."""
        _initialise()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
        engine.add_object_file(llvm.ObjectFileRef.from_data(self._object_code()))
        engine.finalize_object()
        self._engine = engine  # owns the memory of the code
        kinds: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]  # where numba puts a result and an exception
        for dtype, axes in self.arguments:
            kinds += [ctypes.c_void_p, *[ctypes.c_int64] * axes] if axes else [_SCALARS[dtype][0]]
        return ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(engine.get_function_address(_ENTRY))

    def _object_code(self) -> bytes:
        """Return the machine code from the cache, or compile it and keep it there."""
        root = cache_directory()
        if root is None:
            return self.compile()[0]
        key = "-".join(build_key(file) for file in dict.fromkeys([*_source_files(self.function), __file__]))
        path = root / key / f"{self.name}.o"
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        code = self.compile()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        Path(file.name).replace(path)
        return code

    def compile(self) -> tuple[bytes, str]:
        """Return the object code and its assembly, newly compiled.

        ``error_model="numpy"`` because the test for division by zero that numba
        inserts otherwise keeps loops from being vectorised. No fast-math beyond
        fused multiply-add: results are those of arithmetic in program order, so they
        do not depend on alignment, and NaN tests work.

        Raises
        ------
        ContractError
            If the code needs anything outside itself, for example because the
            function allocates memory.
        """
        import numba

        types: Any = numba.types
        kinds: list[Any] = []
        for dtype, axes in self.arguments:
            kind = getattr(types, dtype)
            kinds += [types.CPointer(kind), *[types.int64] * axes] if axes else [kind]
        entry = numba.cfunc(types.void(*kinds), error_model="numpy")(self._entry_point())
        # The arrays of a call do not overlap: said here, because numba has no way to say it.
        lines = [
            re.sub(r"ptr ([^,%]*%arg\.)", r"ptr noalias \1", line) if line.startswith("define") else line
            for line in entry.inspect_llvm().splitlines()
        ]
        module = llvm.parse_assembly("\n".join(lines))
        # Of numba's two functions the one for C callers needs Python; the other one is kept.
        for function in module.functions:
            if not function.is_declaration:
                if function.name.startswith(("cfunc.", "NRT_")):
                    function.linkage = "internal"
                else:
                    function.name = _ENTRY
        _initialise()
        target = _target()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        builder = llvm.create_pass_builder(target, options)
        builder.getModulePassManager().run(module, builder)
        outside = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
        if set(outside) - _LIBM:
            raise ContractError(describe(self.name, expected="code that needs no library", got=outside))
        return target.emit_object(module), target.emit_assembly(module)

    def _entry_point(self) -> FunctionType:
        """Return a function of pointers, lengths and numbers that calls the compiled one."""
        names, values = [], []
        for position, (_, axes) in enumerate(self.arguments):
            lengths = [f"a{position}_{axis}" for axis in range(axes)]
            names += [f"a{position}", *lengths]
            values.append(f"carray(a{position}, ({', '.join(lengths)},))" if axes else f"a{position}")
        from numba import carray  # type: ignore[attr-defined] # numba does not say what it exports

        scope: dict[str, Any] = {"carray": carray, "body": _jitted(self.function)}
        exec(f"def entry({', '.join(names)}):\n    body({', '.join(values)})", scope)  # noqa: S102  # no input: names made above
        found: FunctionType = scope["entry"]
        return found


def _source_files(function: FunctionType) -> list[str]:
    """Return the files that hold a function and, in order of use, the inlined functions it calls."""
    found = [function.__code__.co_filename]
    for name in function.__code__.co_names:
        called = function.__globals__.get(name)
        if isinstance(called, Inlined):
            found += _source_files(called.function)
    return found


def _jitted(function: FunctionType) -> Any:
    """Return the function for numba, with the inlined functions it calls made known to numba."""
    import numba

    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(scope.get(name), Inlined):
            scope[name] = _jitted(scope[name].function)
    copy = FunctionType(function.__code__, scope, function.__name__)
    return numba.njit(forceinline=True, error_model="numpy", fastmath={"contract"})(copy)


inlined = Inlined
"""Decorator of functions that compiled functions call."""


def native(signature: str) -> Callable[[Callable[..., Any]], Native]:
    """Declare a function as compiled ahead, for one signature.

    Parameters
    ----------
    signature : str
        For example ``"void(float32[:, ::1], int64)"``. The function writes into
        its arrays, which must not overlap, and returns nothing; it allocates nothing
        and calls :data:`inlined` functions only.
    """
    return lambda function: Native(function, signature)
