/* What this kernel can do, for HELLO. */
#pragma once
#include "wire.h"

/* Try everything once and keep the answers; HELLO repeats them. */
void probe_all(void);
/* The port is open: from now on HELLO says how long it took. */
void probe_ready(void);
/* Write HELLO's fields. */
void probe_hello(struct fields *out, uint64_t nonce);
