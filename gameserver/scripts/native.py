"""Compiled scripts: what the library of the engine can do, and its Python module does not offer.

Reading a script costs ten times as much as reading what it was compiled to, and a script whose time is over
can be stopped where it is. Where the library has another form than this file expects, a process does without:
`Native.of` returns None, or the process dies at its start, and is started again without.
"""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple, Self

_GLOBAL, _COMPILE_ONLY = 0, 1 << 5
_BYTECODE = 1 << 0
_POINTER_BYTES = 8
# In the Python object of a context, behind its head. The last is the thread that waits while JavaScript runs,
# and goes on when that calls a Python function.
_RUNTIME_AT, _CONTEXT_AT, _THREAD_AT = 16, 24, 48


class _Value(ctypes.Structure):
    _fields_ = (("payload", ctypes.c_uint64), ("tag", ctypes.c_int64))


_BOOL, _UNDEFINED, _EXCEPTION = 1, _Value(0, 3), 6
_thread = ctypes.pythonapi.PyThreadState_Get
_thread.restype = ctypes.c_void_p
_INTERRUPT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Place(NamedTuple):
    """A context: for the library, and where its Python object notes the thread."""

    context: int
    thread: Any


class Native:
    """The library's own functions."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)  # lets others run meanwhile, as the Python module does
        pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self._runtime_of = function("JS_GetRuntime", pointer, pointer)
        self._eval = function("JS_Eval", _Value, pointer, text, size, text, ctypes.c_int)
        self._write = function("JS_WriteObject", pointer, pointer, ctypes.POINTER(size), _Value, ctypes.c_int)
        self._read = function("JS_ReadObject", _Value, pointer, text, size, ctypes.c_int)
        self._run = function("JS_EvalFunction", _Value, pointer, _Value)
        self._exception = function("JS_GetException", _Value, pointer)
        self._global = function("JS_GetGlobalObject", _Value, pointer)
        self._get = function("JS_GetPropertyStr", _Value, pointer, _Value, text)
        self._call = function(
            "JS_Call", _Value, pointer, _Value, _Value, ctypes.c_int, ctypes.POINTER(_Value)
        )
        self._interrupt = function("JS_SetInterruptHandler", None, pointer, _INTERRUPT, pointer)
        self._free = function("JS_FreeValue", None, pointer, _Value)
        self._release = function("js_free", None, pointer, pointer)

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Open the library of the Python module at a path; None when it does not offer what is needed."""
        if ctypes.sizeof(ctypes.c_void_p) != _POINTER_BYTES:
            return None  # values have another form there
        try:
            return cls(path)
        except (OSError, AttributeError):
            return None

    def place(self, context: Any) -> Place:
        """Find the library's context in the Python object of one. Raises ValueError when it is not there."""
        runtime = ctypes.c_void_p.from_address(id(context) + _RUNTIME_AT).value
        found = ctypes.c_void_p.from_address(id(context) + _CONTEXT_AT).value
        thread = ctypes.c_void_p.from_address(id(context) + _THREAD_AT)
        if not found or not runtime or self._runtime_of(found) != runtime or thread.value:
            raise ValueError("the context has another form")
        return Place(found, thread)

    def compile(self, context: int, text: bytes, file: bytes) -> bytes | None:
        """Compile a script; None when it has a mistake."""
        value = self._eval(context, text, len(text), file, _GLOBAL | _COMPILE_ONLY)
        if value.tag == _EXCEPTION:
            self._free(context, self._exception(context))
            return None
        size = ctypes.c_size_t()
        written = self._write(context, ctypes.byref(size), value, _BYTECODE)
        self._free(context, value)
        if not written:
            self._free(context, self._exception(context))
            return None
        code = ctypes.string_at(written, size.value)
        self._release(context, written)
        return code

    def load(self, context: int, code: bytes) -> None:
        """Run a compiled script of our own."""
        self._free(context, self._run(context, self._read(context, code, len(code), _BYTECODE)))

    def variable(self, context: int, name: bytes) -> Any:
        """Return the value of a global variable. It is the caller's, to be freed before its context."""
        target = self._global(context)
        value = self._get(context, target, name)
        self._free(context, target)
        return value

    def run(self, place: Place, code: bytes, end: Any) -> bool:
        """Run a compiled script, and call `end` with whether it ended well, and its value or error.

        False when that could not be done, for the script was stopped there, or no memory is left.
        """
        context = place.context
        value = self._read(context, code, len(code), _BYTECODE)
        place.thread.value = _thread()
        if value.tag != _EXCEPTION:
            value = self._run(context, value)
        is_good = value.tag != _EXCEPTION
        if not is_good:
            value = self._exception(context)
        told = (_Value * 2)(_Value(int(is_good), _BOOL), value)
        done = self._call(context, end, _UNDEFINED, 2, told)
        if done.tag == _EXCEPTION:
            self._free(context, self._exception(context))
        self._free(context, value)
        place.thread.value = None
        return bool(done.tag != _EXCEPTION)

    def free(self, context: int, value: Any) -> None:
        """Give a value back."""
        self._free(context, value)

    def stop_when(self, context: int, is_over: Any) -> None:
        """Let a script be stopped where it is as soon as `is_over` says so, which `handler` made."""
        self._interrupt(self._runtime_of(context), is_over, None)

    @staticmethod
    def handler(is_over: Callable[[], bool]) -> Any:
        """Make what `stop_when` takes. It must live as long as the contexts do."""
        return _INTERRUPT(lambda _runtime, _nothing: is_over())
