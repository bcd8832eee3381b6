"""A procedural city: posed, sun-lit views with exact depth, written as a nerfstudio dataset.

`config.CityConfig` says what it is like, `generate.generate_city` writes it.
"""
