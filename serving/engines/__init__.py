"""Engines: what turns rays into light. `base` holds the protocol and the registry."""
