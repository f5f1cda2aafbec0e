"""The guest: agent, initramfs, wire protocol, QEMU, snapshots. Nothing outside this package knows QEMU."""
