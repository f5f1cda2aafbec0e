"""`bpftool feature probe` in the same guest: what people would ask with otherwise, and where it differs."""
