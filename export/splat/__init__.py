"""Scenes as 3D Gaussians for splat viewers, as docs/splat.md says.

gaussians  what the file holds                  of_voxels  an SVRaster model to Gaussians
ply        the file, written and read           painting   what splat viewers draw of it
"""
