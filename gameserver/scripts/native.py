"""The engine by its library, which can do more than its Python module offers.

A script is compiled once and read ten times faster from then on, its context holds no more of the language
than it names, and one whose time is over is stopped where it is. Where the library has another form than this
file expects, the process notices at its start and ends; it is started again to use the module (see `plain`).
"""

import ctypes
import json
import os
import re
from collections.abc import Callable
from typing import Any

Ended = tuple[str, bytes, str]
"""How a script ended: a kind of failure or none, the JSON of the result or a message, and a stack."""

_BYTECODE, _STRIP, _COMPILE_ONLY = 1 << 0, (1 << 4) + (1 << 5), 1 << 5
_POINTER_BYTES = 8
_USAGE_NUMBERS = 64  # more than the engine tells of its memory
_MESSAGE_BYTES, _STACK_BYTES = 8000, 20_000


class _Value(ctypes.Structure):
    _fields_ = (("payload", ctypes.c_uint64), ("tag", ctypes.c_int64))


class _Property(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_int), ("value", _Value), ("getter", _Value), ("setter", _Value))


class _Class(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("functions", ctypes.c_void_p * 3), ("exotic", ctypes.c_void_p))


_OBJECT, _NULL, _UNDEFINED, _EXCEPTION = -1, 2, 3, 6  # tags
_NOTHING = _Value(0, _UNDEFINED)
_Interrupt = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_GetProperty = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, _Value, ctypes.c_uint32)

_ALWAYS = ("BaseObjects", "Eval", "RegExp", "JSON", "BigInt")
_NAMED = (  # what takes long to make, and is reached by its name alone
    ("Date", r"Date"),
    ("Proxy", r"Proxy"),
    ("Promise", r"Promise|[aA]sync"),
    ("WeakRef", r"WeakRef|FinalizationRegistry"),
    ("MapSet", r"Map|Set|groupBy"),
    ("TypedArrays", r"(Int|Uint|Float|Clamped)\w*Array|ArrayBuffer|DataView|Atomics"),
    ("AToB", r"atob|btoa"),
    ("DOMException", r"atob|btoa|DOMException"),
)
_ANY_NAME = re.compile(r"eval|Function|constructor|globalThis|\bthis\b|import|\\u")
_PENDING, _REJECTED = 0, 2  # states of promises


class Code:
    """A compiled script, and what its context needs."""

    def __init__(self, code: bytes | None, parts: list[Any], bridge: bytes | None) -> None:
        self.code = code  # None when it has a mistake
        self.parts = parts
        self.bridge = bridge  # what it needs of `bridge.js`, if anything


class Engine:
    """Makes realms. `ask` answers what `bridge.js` asks: with JSON, or None when it refuses."""

    def __init__(
        self,
        path: str,
        ask: Callable[[bytes], bytes | None],
        is_over: Callable[[], bool],
        bridge: Callable[[tuple[str, ...]], str],
    ) -> None:
        """Open the library of the Python module at a path. `bridge` gives sections of `bridge.js`.

        Raises OSError, AttributeError or ValueError where it does not offer what is needed.
        """
        if ctypes.sizeof(ctypes.c_void_p) != _POINTER_BYTES:
            raise ValueError("values have another form on 32 bits")
        library = ctypes.PyDLL(path)
        pointer, text, size, whole = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
        out = ctypes.POINTER(size)

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.new_runtime = function("JS_NewRuntime", pointer)
        self.free_runtime = function("JS_FreeRuntime", None, pointer)
        self.new_context = function("JS_NewContextRaw", pointer, pointer)
        self.free_context = function("JS_FreeContext", None, pointer)
        self.limit = function("JS_SetMemoryLimit", None, pointer, size)
        self.usage = function("JS_ComputeMemoryUsage", None, pointer, pointer)
        self.on_interrupt = function("JS_SetInterruptHandler", None, pointer, _Interrupt, pointer)
        self.evaluate = function("JS_Eval", _Value, pointer, text, size, text, whole)
        self.write = function("JS_WriteObject", pointer, pointer, out, _Value, whole)
        self.read = function("JS_ReadObject", _Value, pointer, text, size, whole)
        self.run = function("JS_EvalFunction", _Value, pointer, _Value)
        self.run_job = function("JS_ExecutePendingJob", whole, pointer, ctypes.POINTER(pointer))
        self.is_promise = function("JS_IsPromise", ctypes.c_bool, _Value)
        self.promise_state = function("JS_PromiseState", whole, pointer, _Value)
        self.promise_result = function("JS_PromiseResult", _Value, pointer, _Value)
        self.is_error = function("JS_IsError", ctypes.c_bool, _Value)
        self.exception = function("JS_GetException", _Value, pointer)
        self.variables = function("JS_GetGlobalObject", _Value, pointer)
        self.get = function("JS_GetPropertyStr", _Value, pointer, _Value, text)
        self.set = function("JS_SetPropertyStr", whole, pointer, _Value, text, _Value)
        self.parse = function("JS_ParseJSON", _Value, pointer, text, size, text)
        self.stringify = function("JS_JSONStringify", _Value, pointer, _Value, _Value, _Value)
        self.text_of = function("JS_ToCStringLen2", pointer, pointer, out, _Value, ctypes.c_bool)
        self.text_of_name = function("JS_AtomToCStringLen", pointer, pointer, out, ctypes.c_uint32)
        self.free_text = function("JS_FreeCString", None, pointer, pointer)
        self.new_class_id = function(
            "JS_NewClassID", ctypes.c_uint32, pointer, ctypes.POINTER(ctypes.c_uint32)
        )
        self.new_class = function("JS_NewClass", whole, pointer, ctypes.c_uint32, ctypes.POINTER(_Class))
        self.new_object = function("JS_NewObjectProtoClass", _Value, pointer, _Value, ctypes.c_uint32)
        self.free = function("JS_FreeValue", None, pointer, _Value)
        self._release = function("js_free", None, pointer, pointer)
        self.always = [function(f"JS_AddIntrinsic{name}", whole, pointer) for name in _ALWAYS]
        self._named = {name: function(f"JS_AddIntrinsic{name}", whole, pointer) for name, _ in _NAMED}

        self.interrupt = _Interrupt(lambda _runtime, _nothing: is_over())
        self.size = size()  # of the text that was asked for last
        self.to_size = ctypes.byref(self.size)
        self._ask = ask
        self.class_of_ask = self._class_of_ask()
        self._bridge = bridge
        self._bridges: dict[tuple[str, ...], bytes] = {}

    def _class_of_ask(self) -> _Class:
        """Return a class whose objects have as properties what `ask` answers."""
        self._on_get = _GetProperty(self._answer)
        self._exotic = (ctypes.c_void_p * 16)(ctypes.cast(self._on_get, ctypes.c_void_p))
        return _Class(b"Ask", (None, None, None), ctypes.addressof(self._exotic))

    def realm(self) -> "Realm":
        """Make a context in which no script was ever run."""
        return Realm(self)

    def code_of(self, context: int, text: str, needs: tuple[str, ...]) -> Code:
        """Compile a script in the context of its first run. `needs` are sections of `bridge.js`."""
        of_bridge = {"Proxy" if needs else "", "Date" if "time" in needs else ""}
        parts = [
            self._named[name]
            for name, words in _NAMED
            if name in of_bridge or _ANY_NAME.search(text) or re.search(words, text)
        ]
        bridge = self._bridge_of(needs) if needs else None
        return Code(self.compile(context, text.encode(), b"script"), parts, bridge)

    def _bridge_of(self, needs: tuple[str, ...]) -> bytes:
        code = self._bridges.get(needs)
        if code is None:
            realm = self.realm()
            code = self.compile(realm.context, self._bridge(needs).encode(), b"bridge.js", _BYTECODE | _STRIP)
            realm.close()
            if code is None:
                raise ValueError("the engine does not read what it should")
            self._bridges[needs] = code
        return code

    def compile(self, context: int, text: bytes, file: bytes, form: int = _BYTECODE) -> bytes | None:
        """Compile a script; None when it has a mistake."""
        value, size = self.evaluate(context, text, len(text), file, _COMPILE_ONLY), ctypes.c_size_t()
        written = None
        if value.tag != _EXCEPTION:
            written = self.write(context, ctypes.byref(size), value, form)
            self.free(context, value)
        if not written:
            self.free(context, self.exception(context))
            return None
        code = ctypes.string_at(written, size.value)
        self._release(context, written)
        return code

    def _answer(self, context: int, found: int, _: _Value, name: int) -> int:
        """Answer what is asked: the engine looks for a property of that name.

        Of what the engine calls, this is what returns no value but a number, as a function in Python must.
        """
        try:
            text = self.text_of_name(context, self.to_size, name)
            if not text:
                return -1
            asked = ctypes.string_at(text, self.size.value)
            self.free_text(context, text)
            answer = self._ask(asked)
            if answer is None:
                return 0
            value = self.parse(context, answer, len(answer), b"answer")
            if value.tag == _EXCEPTION:
                return -1
            described = _Property.from_address(found)
            described.flags, described.value = 0, value
        except BaseException:  # noqa: BLE001 - ctypes would drop any, and the script take it for a refusal
            os._exit(1)
        return 1


class Realm:
    """A context in which no script was ever run, with a runtime of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.runtime = engine.new_runtime()
        self.context = engine.new_context(self.runtime)
        for add in engine.always:
            add(self.context)

    def run(self, program: Any, data: bytes, memory_bytes: int) -> Ended:
        """Run a script. `data` is JSON."""
        engine, context = self.engine, self.context
        if program.code is None:
            program.code = engine.code_of(context, program.text, program.needs)
        code: Code = program.code
        for add in code.parts:
            add(context)
        if code.bridge is not None:
            self._load_bridge(code.bridge)
        engine.limit(self.runtime, memory_bytes)
        engine.on_interrupt(self.runtime, engine.interrupt, None)
        if not self._set(b"data", engine.parse(context, data, len(data), b"data")):
            return self._failed("thrown")
        if code.code is None:
            text = program.text.encode()
            value = engine.evaluate(context, text, len(text), b"script", 0)
        else:
            value = engine.read(context, code.code, len(code.code), _BYTECODE)
            if value.tag != _EXCEPTION:  # there was room for it
                value = engine.run(context, value)
        if value.tag == _EXCEPTION or not self._run_jobs():
            engine.free(context, value)
            return self._failed("thrown")
        return self._result(value)

    def _load_bridge(self, code: bytes) -> None:
        engine, context = self.engine, self.context
        number = ctypes.c_uint32()
        engine.new_class_id(self.runtime, ctypes.byref(number))
        engine.new_class(self.runtime, number, ctypes.byref(engine.class_of_ask))
        self._set(b"__ask", engine.new_object(context, _Value(0, _NULL), number))
        engine.free(context, engine.run(context, engine.read(context, code, len(code), _BYTECODE)))

    def _set(self, name: bytes, value: _Value) -> bool:
        """Set a variable; False when that failed, or the making of the value had."""
        if value.tag == _EXCEPTION:
            return False
        engine, context = self.engine, self.context
        variables = engine.variables(context)
        done = engine.set(context, variables, name, value)
        engine.free(context, variables)
        return bool(done >= 0)

    def _run_jobs(self) -> bool:
        """Run what waits for promises; False when something was thrown."""
        which = ctypes.c_void_p()
        while (done := self.engine.run_job(self.runtime, ctypes.byref(which))) > 0:
            pass
        return bool(done == 0)

    def _result(self, value: _Value) -> Ended:
        engine, context = self.engine, self.context
        if value.tag == _OBJECT and engine.is_promise(value):
            state = engine.promise_state(context, value)
            promise, value = value, engine.promise_result(context, value)
            engine.free(context, promise)
            if state == _PENDING:
                engine.free(context, value)
                return "unsettled", b"the script's result is a promise that nothing will settle", ""
            if state == _REJECTED:
                return self._failed("thrown", value)
        if value.tag == _UNDEFINED:
            return "", b"null", ""
        text = self._json(value, b"null")
        engine.free(context, value)
        return self._failed("not_json") if text is None else ("", text, "")

    def _failed(self, kind: str, error: _Value | None = None) -> Ended:
        """Tell of an error; of the one that was thrown last, where none is given."""
        engine, context = self.engine, self.context
        if error is None:
            error = engine.exception(context)
        stack: bytes | None = b""
        if engine.is_error(error):
            stack, message = self._text(engine.get(context, error, b"stack")), None
            if stack is not None:
                message = self._text_of(error)
        else:
            message = self._json(error, b"undefined")
            if message is not None and message.startswith(b'"'):
                message = json.loads(message).encode("utf-8", "replace")
        engine.free(context, error)
        if message is None:
            engine.free(context, engine.exception(context))
            message = b"something was thrown that cannot be shown"
        return kind, message[:_MESSAGE_BYTES], (stack or b"")[:_STACK_BYTES].decode("utf-8", "replace")

    def _json(self, value: _Value, otherwise: bytes) -> bytes | None:
        """Return a value as JSON, or `otherwise` where it has no form there; None when that has thrown."""
        text = self.engine.stringify(self.context, value, _NOTHING, _NOTHING)
        return otherwise if text.tag == _UNDEFINED else self._text(text)

    def _text(self, value: _Value) -> bytes | None:
        """Return a value as text, and give it back; None when something has thrown."""
        if value.tag == _EXCEPTION:
            return None
        text = self._text_of(value)
        self.engine.free(self.context, value)
        return text

    def _text_of(self, value: _Value) -> bytes | None:
        text = self.engine.text_of(self.context, self.engine.to_size, value, False)
        if not text:
            return None
        found = ctypes.string_at(text, self.engine.size.value)
        self.engine.free_text(self.context, text)
        return found

    @property
    def memory_used(self) -> int:
        """Bytes that the script holds."""
        usage = (ctypes.c_int64 * _USAGE_NUMBERS)()
        self.engine.usage(self.runtime, usage)
        return usage[0]

    def close(self) -> None:
        """Give everything back."""
        self.engine.free_context(self.context)
        self.engine.free_runtime(self.runtime)
