"""bpfmatrix: load eBPF program variants in real kernels and report what each kernel answers."""
