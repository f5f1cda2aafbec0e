// Debian 13's libelf.a (elfutils 0.192) calls these and does not bring them: they live in an internal
// library that no package ships. What they prepare and free is the tree behind elf_getdata_rawchunk(),
// which libbpf never calls; the tree itself is part of memory libelf has zeroed. Weak, so that a libelf
// that does bring them keeps its own.

void eu_search_tree_init(void);
void eu_search_tree_fini(void);

__attribute__((weak)) void eu_search_tree_init(void)
{
}

__attribute__((weak)) void eu_search_tree_fini(void)
{
}
