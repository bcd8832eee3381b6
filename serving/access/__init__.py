"""Who may: API keys and signed links, by scene."""
