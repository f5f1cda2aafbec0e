"""The catalogue: files people write about kernels and programs, read strictly."""
