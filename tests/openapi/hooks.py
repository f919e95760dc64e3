"""Serialises a tenant file for Schemathesis without changes."""

import schemathesis


@schemathesis.serializer("application/toml")
def toml(_, value):
    text = value if isinstance(value, str) else repr(value)
    return text.encode(errors="ignore")
