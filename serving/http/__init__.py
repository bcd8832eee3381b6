"""Cameras by HTTP: routes, what clients send, and the pages that a browser opens."""
