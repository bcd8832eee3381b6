"""The compiled kernels: C++ in `cpp/`, compiled by `build`, loaded by `library`, called on threads by `work`.

Every other module here is one kernel, or a few of one kind: the structure that its C function takes, and a
function over numpy arrays that calls it. None of them needs torch.
"""
