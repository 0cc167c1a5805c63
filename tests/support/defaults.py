"""What a client that fills defaults in from the node's schemas (as decK does) expects a body to be."""

AUTO = {"id", "created_at", "updated_at"}


def _of_record(fields, given, shorthands=()):
    """`given` with every field of the record that it lacks at its default, null where it has none."""
    known = {name: field for entry in fields for name, field in entry.items()}
    whole = {name: fill(field, given[name]) if given.get(name) is not None else _default(field)
             for name, field in known.items() if name not in AUTO}
    for entry in shorthands:  # older names, repeated beside what has replaced them
        for name, field in entry.items():
            value = whole
            for step in field.get("translate_backwards", [None]):
                value = value.get(step) if isinstance(value, dict) else None
            if "translate_backwards" in field:
                whole[name] = value
    return whole


def _default(field):
    if field["type"] == "record":
        inner = [one for entry in field["fields"] for one in entry.values()]
        if not field.get("required") and any(
                one.get("required") and one.get("default") is None and one["type"] != "record"
                for one in inner):
            return None  # there is none that could be made without being told more
        return _of_record(field["fields"], field.get("default") or {},
                          field.get("shorthand_fields", ()))
    return fill(field, field["default"]) if field.get("default") is not None else None


def fill(field, value):
    """A value as the field's schema completes it."""
    if field["type"] == "record" and isinstance(value, dict):
        return _of_record(field["fields"], value, field.get("shorthand_fields", ()))
    if field["type"] in ("array", "set") and isinstance(value, list):
        return [fill(field["elements"], element) for element in value]
    if field["type"] == "map" and isinstance(value, dict):
        return {key: fill(field["values"], element) for key, element in value.items()}
    if field["type"] == "set" and value == {}:
        return []
    return value


def body_of(schema, given):
    """The whole body of an entity that is written as `given`, but for what the server makes."""
    return _of_record(schema["fields"], given)
