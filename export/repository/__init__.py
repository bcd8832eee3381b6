"""A version in the model repository: what it holds, how it gets there, what stands in one."""
