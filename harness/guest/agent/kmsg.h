/* The kernel's log: what came during a case, and what looked like a splat outside of one. */
#pragma once
#include "wire.h"

/* Open /dev/kmsg behind its last line. */
void kmsg_open(void);
/* Add the lines since the last call to `out` as fields `tag`; only those that look like a splat when
 * `splats_only`. At most 400 lines a call; a line that had to be left out is counted in a last one. */
void kmsg_take(struct fields *out, uint16_t tag, bool splats_only);
/* The splat-looking lines of the whole log so far. */
void kmsg_boot_splats(struct fields *out, uint16_t tag);
