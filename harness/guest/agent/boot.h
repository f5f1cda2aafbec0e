/* What PID 1 does before it serves: file systems, modules, the shell instead of serving. */
#pragma once
#include <stdbool.h>

void boot_mount_all(void);
/* Take the kernel's BTF out of sight. */
void boot_hide_btf(void);
/* Load the .ko files of /modules in the order of their names. A module that does not load is told on the console. */
void boot_load_modules(void);
void boot_loopback_up(void);
/* Whether the kernel's command line has this word. */
bool boot_has_word(const char *word);
/* Whether it has a word that begins so. */
bool boot_has_prefix(const char *prefix);
/* Run /bin/busybox sh on the console; returns when it ended. */
void boot_shell(void);
/* Say why on the console (NULL: nothing) and power off. Never returns. */
_Noreturn void boot_power_off(const char *why);
