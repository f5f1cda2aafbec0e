"""What a compiled BPF object uses, what of it is optional, and what of it a kernel lacks.

`read_bpf_object` reads the file, `uses_of` lists what it uses, `judge` compares that with a kernel,
`minimum_kernels` looks for the lowest. Nothing here boots or loads anything.
"""
