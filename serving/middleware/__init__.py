"""ASGI middleware, one concern a file. Leaves: used by `app` alone."""
