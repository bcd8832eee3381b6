"""The page: its files, its modules as one script, and what it draws in a browser, for the proof."""
