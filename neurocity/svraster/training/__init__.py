"""What trains an `SVRaster`, whichever loop runs it: configuration, steps, losses, and how voxels change."""
