"""Bad and good values for every field that a schema of the Admin API describes."""

BAD_TYPES = {"string": (1, "expected a string"), "number": ("1", "expected a number"),
             "integer": (1.5, "expected an integer"), "boolean": ("true", "expected a boolean"),
             "array": ("a", "expected an array"), "set": ("a", "expected a set"),
             "map": ("a", "expected a map"), "record": ("a", "expected a record"),
             "foreign": ({"id": None}, {"id": "missing primary key"})}


def at(path, value):
    """{"a": {"b": value}} for ("a", "b")."""
    for name in reversed(path):
        value = {name: value}
    return value


def merged(base, more):
    """As two JSON bodies would be, records deep."""
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{name: merged(base.get(name, {}), value) for name, value in more.items()}}


def fields_of(schema, path=()):
    """Every field, and those of records in it: (path, attributes)."""
    for entry in schema["fields"]:
        for name, field in entry.items():
            yield (*path, name), field
            if field["type"] == "record":
                yield from fields_of(field, (*path, name))


def bad_values(field):
    """Values that the field refuses, each with its message."""
    yield BAD_TYPES[field["type"]]
    if "one_of" in field:
        odd = 77 if isinstance(field["one_of"][0], int) else "odd one"
        yield odd, "expected one of: " + ", ".join(map(str, field["one_of"]))
    if "between" in field:
        low, high = field["between"]
        if float(low).is_integer() and high < 2**31:
            yield high + 1, f"value should be between {low} and {high}"
    if "gt" in field:
        yield field["gt"], f"value must be greater than {field['gt']}"
    if field.get("uuid"):
        yield "1", "expected a valid UUID"
    if field["type"] == "string" and "between" not in field and "one_of" not in field and (
            not field.get("uuid")):
        yield "", "length must be at least 1"
    if field.get("required") and "default" not in field and field["type"] != "record" and (
            not field.get("auto")):
        yield None, "required field missing"


def good_values(field):
    """Values that the schema alone says are fine: each listed one, both ends, both booleans."""
    yield from field.get("one_of", [])
    yield from field.get("between", [])
    if field["type"] == "boolean":
        yield from (True, False)


def error_at(fields, path):
    """What a refusal's `fields` say of that path; None: nothing."""
    for step in path:
        fields = fields.get(step) if isinstance(fields, dict) else fields
    return fields
