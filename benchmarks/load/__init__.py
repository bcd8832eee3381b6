"""The gateway under load: what becomes of requests, and which of the gateway's bars hold."""
