"""How Schemathesis sends a tenant's file: as it is."""

import schemathesis


@schemathesis.serializer("application/toml")
def toml(_, value):
    text = value if isinstance(value, str) else repr(value)
    return text.encode(errors="ignore")
