"""Exposure of photographs: the affine maps, what they learn, and that nothing but training knows of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures_training import train_instant_ngp
from PIL import Image
from sphere_photographs import COUNTS
from tiny_families import tiny_training
from torch.utils.data import DataLoader, Dataset
from training_states import checkpoint_of, differences, state

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.data.datasets import TrainingRays, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import CheckpointError, ConfigError
from neurocity.families import FAMILIES, find_family
from neurocity.light import linear_to_srgb, srgb_to_linear
