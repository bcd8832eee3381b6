"""A procedural city: posed, sun-lit views with exact depth, written as a nerfstudio dataset."""

from neurocity.data.city.config import CityConfig
from neurocity.data.city.generate import generate_city

__all__ = ["CityConfig", "generate_city"]
