#include "fixups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MAX_POISONED 16

/* One case per process, so its state can be file-local. */
static struct {
	const struct btf *btf;
	struct bpf_insn *insns;
	size_t insn_count;
	enum bpf_attach_type attach_type;
	enum bpf_attach_type loaded_attach_type;
	bool loaded;
	bool btf_sanitised;
	unsigned int relocated, changed, poisoned;
	char last_relocation[400];
	char poison[MAX_POISONED][420];
	struct substitution {
		int from, to;
		unsigned int times;
	} helpers[8];
} seen;

static void note_helper(int from, int to)
{
	struct substitution *s = seen.helpers;

	while (s < seen.helpers + 8 && s->times && (s->from != from || s->to != to))
		s++;
	if (s == seen.helpers + 8)
		return;
	s->from = from;
	s->to = to;
	s->times++;
}

/* Compare what the kernel is asked to load with what the object held. The program itself comes first, the
 * subprograms libbpf appends follow. */
static void on_load(const union bpf_attr *attr, void *unused)
{
	const struct bpf_insn *now = (const struct bpf_insn *)(uintptr_t)attr->insns;
	const struct bpf_insn *was = seen.insns;
	size_t i;

	(void)unused;
	seen.loaded = true;
	seen.loaded_attach_type = attr->expected_attach_type;
	for (i = 0; was && i < seen.insn_count && i < attr->insn_cnt; i++)
		if (was[i].code == (BPF_JMP | BPF_CALL) && was[i].src_reg == 0 && now[i].code == was[i].code &&
		    now[i].src_reg == 0 && now[i].imm != was[i].imm)
			note_helper(was[i].imm, now[i].imm);
}

static void on_btf(const union bpf_attr *attr, void *unused)
{
	uint32_t size = 0;
	const void *raw = seen.btf ? btf__raw_data(seen.btf, &size) : NULL;

	(void)unused;
	/* libbpf's feature probes load tiny BTF of their own; the object's keeps its size or nearly so. */
	if (!raw || attr->btf_size < size / 2)
		return;
	seen.btf_sanitised = attr->btf_size != size || memcmp(raw, (void *)(uintptr_t)attr->btf, size) != 0;
}

void fixups_before(struct load_job *job, struct bpf_object *object, struct bpf_program *program)
{
	size_t bytes;

	seen.btf = bpf_object__btf(object);
	seen.attach_type = bpf_program__expected_attach_type(program);
	seen.insn_count = bpf_program__insn_cnt(program);
	bytes = seen.insn_count * sizeof(struct bpf_insn);
	seen.insns = malloc(bytes);
	if (seen.insns)
		memcpy(seen.insns, bpf_program__insns(program), bytes);
	job->trace.on_load = on_load;
	job->trace.on_btf = on_btf;
}

/* "… patched insn #%d (LDX/ST/STX) off %llu -> %llu": a relocation that changed something, or left it as it was. */
static void note_patch(const char *text)
{
	const char *arrow = strstr(text, " -> "), *before;

	seen.relocated++;
	if (!arrow)
		return;
	for (before = arrow; before > text && before[-1] != ' '; before--)
		;
	if (strtoull(before, NULL, 10) != strtoull(arrow + 4, NULL, 10))
		seen.changed++;
}

static void note_poison(const char *text)
{
	const char *insn = strstr(text, "insn #");

	if (seen.poisoned < MAX_POISONED)
		snprintf(seen.poison[seen.poisoned], sizeof(seen.poison[0]), "%d: %s", insn ? atoi(insn + 6) : -1,
			 seen.last_relocation);
	seen.poisoned++;
}

/* The formats are those of libbpf 1.x's relo_core.c and libbpf.c. */
void fixups_message(const char *format, va_list args)
{
	bool patch = strstr(format, "patched insn #") && strstr(format, " -> ");
	bool poison = strstr(format, "w/ invalid insn") != NULL;
	bool relocation = strstr(format, "relo #%d: %s\n") != NULL;
	char text[600], *colon;

	if (!patch && !poison && !relocation)
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = 0;
	if (patch)
		note_patch(text);
	else if (poison)
		note_poison(text);
	else if ((colon = strstr(text, "relo #")) && (colon = strstr(colon, ": ")))
		snprintf(seen.last_relocation, sizeof(seen.last_relocation), "%.390s", colon + 2);
}

static void tell_relocations(struct load_job *job)
{
	unsigned int i;

	if (seen.changed)
		fixup(job, "CO-RE changed %u of %u relocated values to this kernel's layout", seen.changed, seen.relocated);
	for (i = 0; i < seen.poisoned && i < MAX_POISONED; i++)
		fixup(job, "CO-RE relocation failed, instruction poisoned (refused if it can be reached): instruction %s",
		      seen.poison[i]);
	if (seen.poisoned > MAX_POISONED)
		fixup(job, "CO-RE relocation failed for %u more instructions", seen.poisoned - MAX_POISONED);
}

static void tell_program(struct load_job *job)
{
	const struct substitution *s;

	if (seen.btf_sanitised)
		fixup(job, "BTF sanitised before loading: this kernel does not know all of its kinds");
	for (s = seen.helpers; s < seen.helpers + 8 && s->times; s++)
		fixup(job, "helper call #%d replaced by #%d, %u times: this kernel lacks the former", s->from, s->to, s->times);
	if (seen.loaded && seen.loaded_attach_type != seen.attach_type)
		fixup(job, "expected_attach_type changed from %d to %d", seen.attach_type, seen.loaded_attach_type);
	if (job->trace.load_attempts > 1)
		fixup(job, "BPF_PROG_LOAD was made %u times", job->trace.load_attempts);
}

static void tell_map(struct load_job *job, const struct map_attempt *map, const struct map_definition *def)
{
	const char *what = map->type == BPF_MAP_TYPE_RINGBUF || map->type == BPF_MAP_TYPE_USER_RINGBUF ? "ring buffer" : "map";
	const char *why = "";

	if (map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY && def->max_entries == 0)
		why = " (the number of CPUs)";
	else if (what[0] == 'r')
		why = " (a power of two and a multiple of the page size)";
	if (map->max_entries != def->max_entries)
		fixup(job, "%s '%s': declared max_entries %u, created with %u%s", what, def->name, def->max_entries,
		      map->max_entries, why);
	if (map->flags != def->map_flags)
		fixup(job, "map '%s': declared flags %#x, created with %#x", def->name, def->map_flags, map->flags);
	if (map->key_size != def->key_size || map->value_size != def->value_size)
		fixup(job, "map '%s': declared key/value sizes %u/%u, created with %u/%u", def->name, def->key_size,
		      def->value_size, map->key_size, map->value_size);
	if (map->type != def->type)
		fixup(job, "map '%s': declared type %u, created as %u", def->name, def->type, map->type);
}

/* The map of a data section is made mappable where the kernel can do it (5.5); where not, libbpf drops the flag.
 * Such maps are called by the object's name (load_libbpf.c) and the section's. */
static void tell_section(struct load_job *job, const struct map_attempt *map)
{
	if (strncmp(map->name, "obj.", 4) == 0 && strcmp(map->name, "obj.kconfig") != 0 && !(map->flags & BPF_F_MMAPABLE))
		fixup(job, "map '%s': flag BPF_F_MMAPABLE dropped, this kernel does not know it", map->name);
}

void fixups_after(struct load_job *job)
{
	const struct map_attempt *map = job->trace.maps, *end = map + job->trace.map_count;

	for (; map < end; map++) {
		const struct map_definition *def = mapdefs_find(job->declared, job->declared_count, map->name);
		bool retried = map + 1 < end && strcmp(map->name, map[1].name) == 0;

		if (def && !retried)
			tell_map(job, map, def);
		else if (!def)
			tell_section(job, map);
	}
	tell_relocations(job);
	tell_program(job);
}
