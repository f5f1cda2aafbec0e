"""From a program's file to a BPF object: render, compile, read; results cached by content."""
