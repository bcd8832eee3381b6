"""What CUDA devices run in place of the PyTorch definitions: kernels in OpenAI Triton, one operator a module.

`block` says how many rays or points a program takes. Importing another module here takes `triton`, and makes
its operator known to torch; `rendering.cuda_kernels` says when that is done.
"""
