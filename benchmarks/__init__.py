"""Speed and memory, measured beside what one would do by hand: `make bench`."""
