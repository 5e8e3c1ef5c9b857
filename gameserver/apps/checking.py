"""Compares what a definition says with its types and collects every mistake, not only the first."""

import json
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct, inspect
from msgspec.structs import FieldInfo

from gameserver.apps.definition import Settings, file_inside, is_secret
from gameserver.apps.references import Declares, Names, Refers, declarations, fields, hint, mark
from gameserver.apps.toml_lines import KeyPath

_SHOWN_MAX = 60


class Checker:
    """Checks one definition.

    `report` is called with the path of a key and what is wrong with it. Secrets named by environment
    variables are filled in on the way, so the checked table can be converted afterwards. `offered` are names
    that settings may refer to though no app declares them, by kind.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        report: Callable[[KeyPath, str], None],
        offered: Mapping[str, Iterable[str]],
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.report = report
        self.names = Names(offered)

    def check_file(self, table: dict[str, Any], kind: type[Struct]) -> bool:
        """Check a whole definition and its references. True when everything has its type."""
        for declares in declarations(kind):
            self.names.declare(declares, ())
        good = self.check(table, kind)
        for path, complaint in self.names.unknown():
            self.report(path, complaint)
        return good

    def check(self, value: Any, kind: Any, path: KeyPath = ()) -> bool:
        """Check a value against a type. True when nothing was wrong."""
        value_type, notes = _bare(kind)
        if (declares := mark(kind, Declares)) and isinstance(value, dict | list):
            self.names.declare(declares, value)
        if isinstance(value, dict) and isinstance(value_type, type) and issubclass(value_type, Struct):
            return self._struct(value, value_type, path)
        if not self._children(value, value_type, path):
            return False
        if complaint := _misfit(value, kind):
            self.report(path, complaint)
            return False
        if any((note.extra or {}).get("file") for note in notes):
            return self._file(value, path)
        self._refer(value, kind, path)
        return True

    def _refer(self, value: Any, kind: Any, path: KeyPath) -> None:
        refers = mark(kind, Refers)
        if refers and isinstance(value, str):
            self.names.use(path, refers, value)

    def _children(self, value: Any, value_type: Any, path: KeyPath) -> bool:
        origin, arguments = get_origin(value_type), get_args(value_type)
        if origin is dict and isinstance(value, dict):
            keys, values = arguments
            return _all(self._entry(key, item, keys, values, path) for key, item in value.items())
        if origin is list and isinstance(value, list):
            return _all(self.check(item, arguments[0], (*path, i)) for i, item in enumerate(value))
        if origin in (Union, types.UnionType):
            return self._union(value, arguments, path)
        return True

    def _entry(self, key: str, value: Any, keys: Any, values: Any, path: KeyPath) -> bool:
        if complaint := _misfit(key, keys):
            self.report((*path, key), f"unusable name: {complaint}")
            return False
        self._refer(key, keys, (*path, key))
        return self.check(value, values, (*path, key))

    def _union(self, value: Any, options: tuple[Any, ...], path: KeyPath) -> bool:
        structs = [option for option in options if _is_struct(option)]
        if isinstance(value, dict) and len(structs) > 1:
            by_tag = {option.__struct_config__.tag: option for option in structs}
            tag_field = structs[0].__struct_config__.tag_field
            known = " or ".join(_quoted(tag) for tag in by_tag)
            if tag_field not in value:
                self.report((*path, str(tag_field)), f"missing; expected {known}")
                return False
            if (chosen := by_tag.get(value[tag_field])) is None:
                self.report((*path, tag_field), f"expected {known}, got {_shown(value[tag_field])}")
                return False
            return self.check(value, chosen, path)
        fitting = [option for option in options if _could_be(value, option)]
        return self.check(value, fitting[0], path) if len(fitting) == 1 else True

    def _struct(self, table: dict[str, Any], kind: type[Struct], path: KeyPath) -> bool:
        known = {f.encode_name: f for f in fields(kind)}
        from_environment = {n: f"{n}_env" for n in known if self._is_named_secret(n, known)}
        good = _all(
            self._secret(table, name, variable, known[name], path)
            for name, variable in from_environment.items()
        )
        tag_field = kind.__struct_config__.tag_field
        for key in [key for key in table if key not in known and key != tag_field]:
            self.report((*path, key), f"unknown key{hint(key, known)}")
            good = False
        for name, f in known.items():
            declares = mark(f.type, Declares)
            if declares and table.get(declares.open_if) is True:
                self.names.open.add(declares.kind)
            if name in table:
                shown_as = from_environment.get(name, name)
                written = shown_as if shown_as in table else name
                good &= self.check(table[name], f.type, (*path, written))
            elif f.default is NODEFAULT and f.default_factory is NODEFAULT:
                self.report((*path, name), f"missing; expected {describe(f.type)}")
                good = False
        return good and self._whole(table, kind, path)

    def _whole(self, table: dict[str, Any], kind: type[Struct], path: KeyPath) -> bool:
        """Build the settings of a table whose parts are right, and let them look at themselves."""
        try:
            settings = msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            self.report(path, str(error.__cause__ or error))
            return False
        good = True
        if isinstance(settings, Settings):
            for key, complaint in settings.mistakes(self.folder):
                self.report((*path, *((key,) if isinstance(key, str) else key)), complaint)
                good = False
        return good

    @staticmethod
    def _is_named_secret(name: str, known: dict[str, FieldInfo]) -> bool:
        return f"{name}_env" in known and is_secret(known[name].type)

    def _secret(self, table: dict[str, Any], name: str, variable: str, f: FieldInfo, path: KeyPath) -> bool:
        if variable not in table:
            required = any((note.extra or {}).get("secret") == "required" for note in _bare(f.type)[1])
            if required and name not in table:
                self.report((*path, name), f"missing; give it, or {variable}")
                return False
            return True
        if name in table:
            self.report((*path, variable), f"expected either {name} or {variable}, got both")
            return False
        wanted = table[variable]
        if isinstance(wanted, str) and wanted:
            if wanted not in self.environ:
                self.report((*path, variable), f"the environment variable {wanted} is not set")
                return False
            table[name] = self.environ[wanted]
        return True

    def _file(self, reference: str, path: KeyPath) -> bool:
        try:
            file_inside(self.folder, reference)
        except (OSError, ValueError) as error:
            self.report(path, str(error))
            return False
        return True


def _all(results: Iterator[bool]) -> bool:
    """Like all(), but without stopping at the first that failed."""
    return False not in list(results)


def _bare(kind: Any) -> tuple[Any, list[Meta]]:
    if get_origin(kind) is Annotated:
        bare, *notes = get_args(kind)
        return bare, [note for note in notes if isinstance(note, Meta)]
    return kind, []


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _could_be(value: Any, kind: Any) -> bool:
    """Tell whether a value is of the right sort for one option of a union, its parts aside."""
    bare = _bare(kind)[0]
    if bare is type(None):
        return False
    if isinstance(value, dict):
        return _is_struct(bare) or get_origin(bare) is dict
    if isinstance(value, list):
        return get_origin(bare) is list
    return isinstance(bare, type) and not _is_struct(bare) and type(value) is bare


def _misfit(value: Any, kind: Any) -> str:
    """Say how a value misses its type; empty when it fits."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if error.__cause__ is not None:
            return str(error.__cause__)
        return f"expected {describe(kind)}, got {_shown(value, secret=is_secret(kind))}"
    return ""


def describe(kind: Any) -> str:
    """Describe a type to an operator, such as "a whole number from 30 to 60"."""
    return _described(inspect.type_info(kind))


def _described(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner, extra=extra):
            return str(extra["expected"]) if extra and "expected" in extra else _described(inner)
        case inspect.IntType():
            return "a whole number" + _range(info)
        case inspect.FloatType():
            return "a number" + _range(info)
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            matching = f" that matches {pattern}" if pattern else ""
            return "text" + _span(least, most, "characters") + matching
        case inspect.LiteralType(values=values):
            return _one_of(values)
        case inspect.EnumType(cls=cls):
            return _one_of(member.value for member in cls)
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return "a list" + _span(least, most, "entries") + f", each {_described(item)}"
        case inspect.UnionType(types=options):
            return " or ".join(_described(o) for o in options if not isinstance(o, inspect.NoneType))
    return _PLAIN_NAMES.get(type(info), "another type")


_PLAIN_NAMES: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
    inspect.DateTimeType: "a date with a time",
}


def _one_of(values: Iterable[object]) -> str:
    return " or ".join(_quoted(value) for value in values)


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {_plain(info.ge)} to {_plain(info.le)}"
    limits = (
        ("of at least", info.ge),
        ("of at most", info.le),
        ("above", info.gt),
        ("below", info.lt),
    )
    return "".join(f" {word} {_plain(limit)}" for word, limit in limits if limit is not None)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _span(least: int | None, most: int | None, unit: str) -> str:
    if least is not None and most is not None:
        return f" of {least} to {most} {unit}"
    if least is not None:
        return f" of at least {least} {unit}"
    return f" of at most {most} {unit}" if most is not None else ""


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(value: Any, *, secret: bool = False) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if secret:
        return f"{len(value)} characters" if isinstance(value, str) else "another type"
    text = _quoted(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
