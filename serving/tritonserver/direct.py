"""HTTP to a server of this machine, past the proxies that the environment names for others."""

import urllib.request

open_direct = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""As `urllib.request.urlopen`."""
